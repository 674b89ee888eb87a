"""Taking x through a plan, or along a schedule by a sampler's steps."""
