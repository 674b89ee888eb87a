"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

from schedalg.backend import Backend, BackendStatus, backends
from schedalg.bounds import DynamicThreshold
from schedalg.columns import Levels
from schedalg.guidance import ClassifierFreeGuidance, classifier_guidance, inpaint, switch
from schedalg.model import Denoiser, TimestepRemap
from schedalg.parameterization import Parameterization, convert, edm
from schedalg.plan import Plan
from schedalg.point import Point
from schedalg.samplers import (
    DDIM,
    DDPM,
    DEIS,
    IPNDM,
    LCM,
    LMS,
    PNDM,
    TCD,
    Denoise,
    DPMSolver,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    Heun,
    Midpoint,
    Noise,
    Planner,
    RePaint,
    Restart,
    RungeKutta,
    Sampler,
    SASolver,
    Tableau,
    UniPC,
)
from schedalg.sampling import sample, sample_steps
from schedalg.schedule import Schedule
from schedalg.steps import Steps

__version__ = "0.1.0"

__all__ = [
    "DDIM",
    "DDPM",
    "DEIS",
    "IPNDM",
    "LCM",
    "LMS",
    "PNDM",
    "TCD",
    "Backend",
    "BackendStatus",
    "ClassifierFreeGuidance",
    "DPMSolver",
    "DPMSolverPP",
    "Denoise",
    "Denoiser",
    "DynamicThreshold",
    "Euler",
    "EulerAncestral",
    "Heun",
    "Levels",
    "Midpoint",
    "Noise",
    "Parameterization",
    "Plan",
    "Planner",
    "Point",
    "RePaint",
    "Restart",
    "RungeKutta",
    "SASolver",
    "Sampler",
    "Schedule",
    "Steps",
    "Tableau",
    "TimestepRemap",
    "UniPC",
    "backends",
    "classifier_guidance",
    "convert",
    "edm",
    "inpaint",
    "sample",
    "sample_steps",
    "switch",
]
