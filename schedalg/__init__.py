"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

from schedalg.bulk.generation import generate
from schedalg.bulk.recipe import Recipe
from schedalg.bulk.sweep_table import Sweep
from schedalg.bulk.sweeping import sweep
from schedalg.bulk.verification import Verification, verify
from schedalg.expressions import parse_sampler, parse_schedule
from schedalg.network.bounds import DynamicThreshold
from schedalg.network.denoiser import Denoiser
from schedalg.network.guidance import (
    ClassifierFreeGuidance,
    classifier_guidance,
    inpaint,
    switch,
)
from schedalg.network.remap import TimestepRemap
from schedalg.parameterization import Parameterization, convert, edm
from schedalg.plan.columns import Evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.running.backend import Backend, BackendStatus, backends
from schedalg.running.errors import network_errors
from schedalg.running.initial_noise import check_initial_noise, initial_noise
from schedalg.running.sampling import run, sample, sample_steps
from schedalg.running.state import Run, begin, resume
from schedalg.samplers import (
    DDIM,
    DDPM,
    DEIS,
    IPNDM,
    LCM,
    LMS,
    PNDM,
    TCD,
    DPMSolver,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    Heun,
    Midpoint,
    RePaint,
    Restart,
    RungeKutta,
    Sampler,
    SASolver,
    StepSampler,
    Tableau,
    TableSampler,
    UniPC,
)
from schedalg.samplers.serialization import sampler_from_dict, sampler_to_dict
from schedalg.schedule import Point, Schedule
from schedalg.schedule.choosing import choose

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
    "Denoiser",
    "DynamicThreshold",
    "Euler",
    "EulerAncestral",
    "Evaluations",
    "Heun",
    "Midpoint",
    "Parameterization",
    "Plan",
    "Point",
    "RePaint",
    "Recipe",
    "Restart",
    "Run",
    "RungeKutta",
    "SASolver",
    "Sampler",
    "Schedule",
    "StepSampler",
    "Steps",
    "Sweep",
    "TableSampler",
    "Tableau",
    "TimestepRemap",
    "UniPC",
    "Verification",
    "backends",
    "begin",
    "check_initial_noise",
    "choose",
    "classifier_guidance",
    "convert",
    "edm",
    "generate",
    "initial_noise",
    "inpaint",
    "network_errors",
    "parse_sampler",
    "parse_schedule",
    "resume",
    "run",
    "sample",
    "sample_steps",
    "sampler_from_dict",
    "sampler_to_dict",
    "sweep",
    "switch",
    "verify",
]
