"""What a network's output means, and what is done to it before a sampler sees it."""
