"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

from schedalg.model import Denoiser, TimestepRemap
from schedalg.point import Point
from schedalg.samplers import DDIM, DDPM, Denoise, Noise, Sampler
from schedalg.sampling import sample, sample_steps
from schedalg.schedule import Schedule

__version__ = "0.1.0"

__all__ = [
    "DDIM",
    "DDPM",
    "Denoise",
    "Denoiser",
    "Noise",
    "Point",
    "Sampler",
    "Schedule",
    "TimestepRemap",
    "sample",
    "sample_steps",
]
