"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

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
from schedalg.running.lengths import score_lengths
from schedalg.running.sampling import run, sample, sample_steps
from schedalg.running.state import Run, begin, resume
from schedalg.running.trajectory import choose_by_rollout, trajectory
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
from schedalg.schedule import Point, Schedule
from schedalg.schedule.choosing import choose
from schedalg.schedule.moving import minimize

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
    "Restart",
    "Run",
    "RungeKutta",
    "SASolver",
    "Sampler",
    "Schedule",
    "StepSampler",
    "Steps",
    "TableSampler",
    "Tableau",
    "TimestepRemap",
    "UniPC",
    "backends",
    "begin",
    "check_initial_noise",
    "choose",
    "choose_by_rollout",
    "classifier_guidance",
    "convert",
    "edm",
    "initial_noise",
    "inpaint",
    "minimize",
    "network_errors",
    "resume",
    "run",
    "sample",
    "sample_steps",
    "score_lengths",
    "switch",
    "trajectory",
]
