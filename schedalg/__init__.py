"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

from schedalg.fitting.least_squares import fit
from schedalg.fitting.trajectories import Trajectories, trajectories
from schedalg.fitting.tuning import tune
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
from schedalg.running.parallel import parallel
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
    "Trajectories",
    "UniPC",
    "backends",
    "begin",
    "check_initial_noise",
    "choose",
    "classifier_guidance",
    "convert",
    "edm",
    "fit",
    "initial_noise",
    "inpaint",
    "network_errors",
    "parallel",
    "resume",
    "run",
    "sample",
    "sample_steps",
    "switch",
    "trajectories",
    "tune",
]
