"""The samplers, one file for each family."""

from schedalg.samplers.adams_bashforth import IPNDM, LMS, PNDM
from schedalg.samplers.consistency import LCM, TCD
from schedalg.samplers.ddim import DDIM
from schedalg.samplers.ddpm import DDPM
from schedalg.samplers.deis import DEIS
from schedalg.samplers.dpm_solver import DPMSolver
from schedalg.samplers.dpm_solver_pp import DPMSolverPP
from schedalg.samplers.euler import Euler, EulerAncestral, Heun, Midpoint
from schedalg.samplers.flow_sde import FlowCPS, FlowSDE
from schedalg.samplers.predictor_corrector import SASolver, UniPC
from schedalg.samplers.protocols import Sampler, StepSampler, TableSampler
from schedalg.samplers.restart import RePaint, Restart
from schedalg.samplers.runge_kutta import RungeKutta, Tableau

__all__ = [
    "DDIM",
    "DDPM",
    "DEIS",
    "IPNDM",
    "LCM",
    "LMS",
    "PNDM",
    "TCD",
    "DPMSolver",
    "DPMSolverPP",
    "Euler",
    "EulerAncestral",
    "FlowCPS",
    "FlowSDE",
    "Heun",
    "Midpoint",
    "RePaint",
    "Restart",
    "RungeKutta",
    "SASolver",
    "Sampler",
    "StepSampler",
    "TableSampler",
    "Tableau",
    "UniPC",
]
