"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

from schedalg.bounds import DynamicThreshold
from schedalg.model import Denoiser, TimestepRemap
from schedalg.parameterization import Parameterization, convert, edm
from schedalg.plan import Levels, Plan
from schedalg.point import Point
from schedalg.samplers import DDIM, DDPM, Denoise, Noise, Planner, Sampler
from schedalg.sampling import sample, sample_steps
from schedalg.schedule import Schedule
from schedalg.steps import Steps

__version__ = "0.1.0"

__all__ = [
    "DDIM",
    "DDPM",
    "Denoise",
    "Denoiser",
    "DynamicThreshold",
    "Levels",
    "Noise",
    "Parameterization",
    "Plan",
    "Planner",
    "Point",
    "Sampler",
    "Schedule",
    "Steps",
    "TimestepRemap",
    "convert",
    "edm",
    "sample",
    "sample_steps",
]
