"""The samplers, a file per family, each reading like its paper."""

from schedalg.samplers.base import Denoise, Noise, Planner, Sampler
from schedalg.samplers.ddim import DDIM
from schedalg.samplers.ddpm import DDPM

__all__ = ["DDIM", "DDPM", "Denoise", "Noise", "Planner", "Sampler"]
