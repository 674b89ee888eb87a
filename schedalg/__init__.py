"""Noise schedules of diffusion models as values, and samplers that run on any of them."""

from schedalg.bulk.generation import generate
from schedalg.bulk.recipe import Recipe
from schedalg.bulk.sweep_table import Sweep
from schedalg.bulk.sweeping import sweep
from schedalg.bulk.verification import Verification, verify
from schedalg.expressions import parse_sampler, parse_schedule
from schedalg.fitting.choosing import choose_by_rollout, trajectory_costs
from schedalg.fitting.least_squares import fit
from schedalg.fitting.trajectories import Trajectories, trajectories
from schedalg.fitting.tuning import tune
from schedalg.network.bounds import DynamicThreshold
from schedalg.network.denoiser import Denoiser
from schedalg.network.guidance import ClassifierFreeGuidance, classifier_guidance
from schedalg.network.inpainting import inpaint
from schedalg.network.remap import TimestepRemap
from schedalg.network.switching import switch
from schedalg.parameterization import Parameterization, convert, edm
from schedalg.plan.columns import Evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.plotting.samples import plot_samples
from schedalg.plotting.trajectories import plot_trajectories
from schedalg.running.backend import Backend, BackendStatus, backends
from schedalg.running.errors import network_errors
from schedalg.running.frames import FrameRun
from schedalg.running.initial_noise import check_initial_noise, initial_noise
from schedalg.running.lengths import score_lengths
from schedalg.running.likelihood import LogLikelihood, log_likelihood
from schedalg.running.matrix import frames
from schedalg.running.network_input import NetworkInput, network_input
from schedalg.running.parallel import parallel
from schedalg.running.pool import Pool
from schedalg.running.sampling import run, sample, sample_steps
from schedalg.running.state import Run, begin, resume
from schedalg.running.transitions import Transition, log_prob, transition
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
    FlowCPS,
    FlowSDE,
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
from schedalg.schedule.moving import minimize
from schedalg.schedule.plotting import plot_schedules

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
    "FlowCPS",
    "FlowSDE",
    "FrameRun",
    "Heun",
    "LogLikelihood",
    "Midpoint",
    "NetworkInput",
    "Parameterization",
    "Plan",
    "Point",
    "Pool",
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
    "Trajectories",
    "Transition",
    "UniPC",
    "Verification",
    "backends",
    "begin",
    "check_initial_noise",
    "choose",
    "choose_by_rollout",
    "classifier_guidance",
    "convert",
    "edm",
    "fit",
    "frames",
    "generate",
    "initial_noise",
    "inpaint",
    "log_likelihood",
    "log_prob",
    "minimize",
    "network_errors",
    "network_input",
    "parallel",
    "parse_sampler",
    "parse_schedule",
    "plot_samples",
    "plot_schedules",
    "plot_trajectories",
    "resume",
    "run",
    "sample",
    "sample_steps",
    "sampler_from_dict",
    "sampler_to_dict",
    "score_lengths",
    "sweep",
    "switch",
    "trajectories",
    "trajectory_costs",
    "transition",
    "tune",
    "verify",
]
