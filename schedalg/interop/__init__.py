"""Drop-in replacements and readers for guided-diffusion, diffusers, k-diffusion and EDM."""
