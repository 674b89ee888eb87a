"""Moving in from other codebases: guided-diffusion, diffusers, k-diffusion and EDM."""
