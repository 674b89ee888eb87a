"""`DPMSolverMultistepScheduler`: `DPMSolverPP`, on trained betas, a grid or a flow.

- `solver_order`: 1, 2 or 3.
- `algorithm_type`: "dpmsolver++" is deterministic, "sde-dpmsolver++" has eta = 1. Those without
  "++" are an error: they use the noise prediction.
- `solver_type`: "midpoint"; values of other classes, which `from_config` copies, mean the same.
  "heun" is the exact integral of the line through two predictions, up to order 2.
- `lower_order_final`: the last orders fall to 1 if there are fewer than 15 steps.
- `euler_at_final`: the last order is 1, unless the schedule ends at clean data, where it is 1
  anyway. Order 3 cannot lower the last order alone.
- `final_sigmas_type`: whether the last step arrives at clean data, or at the noise level of
  timestep 0; "sigma_min" is an error on a flow.
- `lambda_min_clipped`: leaves out the trained steps with a lower log(alpha/sigma); an error with
  trailing spacing.
- `use_lu_lambdas`: a grid, evenly spaced in log sigma.
- `use_karras_sigmas`, `use_lu_lambdas`: their timesteps are rounded to the nearest integer; with
  the cosine `beta_schedule` they are truncated, as on the other grids.
- `variance_type`: has no effect.

`multistep` describes the timesteps, grids and flows.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from schedalg.interop.diffusers.classes import multistep
from schedalg.interop.diffusers.ending import final_sigma
from schedalg.interop.diffusers.flow import FLOW
from schedalg.interop.diffusers.grids import GRIDS
from schedalg.interop.diffusers.methods import LowerOrderFinal
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import THRESHOLDING
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.spacing import spaced
from schedalg.interop.diffusers.trained import TRAINED
from schedalg.samplers import DPMSolverPP, SASolver
from schedalg.samplers.protocols import TableSampler
from schedalg.schedule import Schedule

#: Options of the solver, with their defaults.
SOLVER: Final[Mapping[str, Any]] = {
    **THRESHOLDING,
    "solver_order": 2,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
}
_ETA: Final[Mapping[str, float]] = {"dpmsolver++": 0.0, "sde-dpmsolver++": 1.0, "deis": 0.0}


def _path(options: Options, request: Request) -> Schedule:
    end = final_sigma(options, "first")
    if not options.flag("use_flow_sigmas"):
        cosine = options["beta_schedule"] == "squaredcos_cap_v2"
        truncated = cosine and not options.is_set("trained_betas")
        return multistep.on_betas(options, request, end, spacing=_spacing, truncated=truncated)
    if end != "clean":
        options.refuse("final_sigmas_type", "it is not a noise level of a flow: use 'zero'")
    return multistep.on_flow(options, request, end)


def _spacing(options: Options, base: Schedule, steps: int) -> np.ndarray:
    last = options.count("num_train_timesteps")
    if options["lambda_min_clipped"] != -math.inf:
        if options["timestep_spacing"] == "trailing":
            options.refuse("lambda_min_clipped", "it does not go with timestep_spacing='trailing'")
        least = options.number("lambda_min_clipped")
        last -= int((base.to_log_snr() / 2 < least).sum())
        if last <= 0:
            options.refuse("lambda_min_clipped", "no trained step has so large a log(alpha/sigma)")
    return spaced(options, base, steps, one_more=True, last=last)


def solver(options: Options, schedule: Schedule) -> TableSampler:
    """Return the sampler for the options of the solver.

    Raises:
        ValueError: The value of an option is not supported.
    """
    if options["algorithm_type"] in ("dpmsolver", "sde-dpmsolver"):
        options.refuse(
            "algorithm_type", "DPM-Solver in the noise prediction is not supported: add '++'"
        )
    eta = options.meaning("algorithm_type", _ETA)
    order = multistep.order(options, schedule)
    lowered = multistep.lowers_last(options, schedule)
    if options.flag("euler_at_final") and schedule.origin.sigma != 0 and not lowered:
        if order == 3:
            options.refuse("euler_at_final", "with solver_order=3 it needs lower_order_final=True")
        lowered = True
    kind = options.choice("solver_type", ("midpoint", "heun", "logrho", "bh1", "bh2"))
    if kind == "heun" and order > 1:
        if order == 3:
            options.refuse("solver_type", "with solver_order=3 it is not supported")
        exact = tuple(SASolver(order=k, corrector_order=0, tau=eta) for k in (1, 2))
        return LowerOrderFinal(exact) if lowered else exact[1]
    return DPMSolverPP(order=order, eta=eta, lower_order_final=lowered)


DPM_SOLVER_MULTISTEP = Record(
    name="DPMSolverMultistepScheduler",
    defaults={
        **TRAINED,
        **SOLVER,
        **GRIDS,
        **FLOW,
        "use_lu_lambdas": False,
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    path=_path,
    sampler=solver,
)
