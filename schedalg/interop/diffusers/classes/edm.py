"""`EDMEulerScheduler` and `EDMDPMSolverMultistepScheduler`: networks of EDM, given ln(sigma)/4.

- `sigma_schedule`: `Schedule.karras` with `rho`, or `Schedule.exponential`, between `sigma_min` and
  `sigma_max`. `timesteps=` and `sigmas=` are an error: such a schedule can be made directly.
- `num_train_timesteps`: the number of steps if `steps` is not given.
- `sigma_data`, `prediction_type`: the parameterization of EDM; "v_prediction" changes the sign of
  the network's output.
- `final_sigmas_type`: whether the last step arrives at clean data, or at `sigma_min`, and so has no
  length unless it is the only step.

diffusers starts from sqrt(sigma_max² + 1) times noise, and the schedule's prior is sigma_max times
noise: 80.006 and 80. The options of the solver are those of `dpm_solver`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from schedalg.interop.diffusers.classes.dpm_solver import SOLVER, solver
from schedalg.interop.diffusers.ending import ended, final_sigma
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import through
from schedalg.parameterization import Parameterization, edm
from schedalg.samplers import Euler
from schedalg.schedule import Schedule

_DEFAULTS: Final[Mapping[str, Any]] = {
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "final_sigmas_type": "zero",
}


def _path(options: Options, request: Request) -> Schedule:
    if request.timesteps is not None or request.sigmas is not None:
        raise ValueError(
            f"timesteps= and sigmas= do not go with {options.name}: make the schedule itself, by "
            "Schedule.from_sigmas(sigmas, timesteps=np.log(sigmas) / 4)"
        )
    n = options.count("num_train_timesteps") if request.steps is None else request.steps
    low, high = options.number("sigma_min"), options.number("sigma_max")
    if options.choice("sigma_schedule", ("karras", "exponential")) == "karras":
        grid = Schedule.karras(n, low, high, options.number("rho"))
    else:
        grid = Schedule.exponential(n, low, high)
    schedule = through(np.asarray(grid.to_sigmas()), "log_sigma/4").as_ve()
    lowest = Schedule.from_sigmas([low])
    return ended(replace(schedule, network_kind="ve"), final_sigma(options, "first"), lowest)


def _prediction(options: Options) -> Parameterization:
    positive = edm(options.number("sigma_data"))
    signs = {"epsilon": positive, "v_prediction": _negative(positive)}
    return options.meaning("prediction_type", signs)


def _negative(positive: Parameterization) -> Parameterization:
    """Return the parameterization of a network with the opposite sign."""

    def weights(alpha: Any, sigma: Any) -> tuple[Any, Any]:
        p, q = positive.weights_at(alpha, sigma)
        return -p, -q

    return Parameterization(
        positive.c_x,
        lambda alpha, sigma: -positive.c_out(alpha, sigma),
        positive.c_in,
        weights,
    )


EDM_EULER = Record(
    name="EDMEulerScheduler",
    defaults=_DEFAULTS,
    path=_path,
    sampler=lambda options, schedule: Euler(),
    prediction=_prediction,
)

EDM_DPM_SOLVER_MULTISTEP = Record(
    name="EDMDPMSolverMultistepScheduler",
    defaults={**_DEFAULTS, **SOLVER},
    path=_path,
    sampler=solver,
    prediction=_prediction,
)
