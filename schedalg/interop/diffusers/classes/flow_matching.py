"""`FlowMatchEulerDiscreteScheduler` and `FlowMatchHeunDiscreteScheduler`: networks of a flow.

- `shift`: moves the noise levels, once.
- `timesteps=` and `sigmas=` may be given in place of steps, also both.

The last step of `FlowMatchHeunDiscreteScheduler` is an Euler step.

Of `FlowMatchEulerDiscreteScheduler` alone:

- `use_dynamic_shifting`, `time_shift_type`: the shift is `mu=`, or exp(mu). Pipelines compute `mu`
  from `base_shift`, `max_shift` and their lengths.
- `shift_terminal`: the lowest noise level, to which the others are stretched.
- `use_karras_sigmas` and its like: a grid between the shifted ends.
- `stochastic_sampling`: adds new noise to the x0 prediction in each step, as `LCM` does.
- `invert_sigmas`: an error.
"""

import numpy as np

from schedalg.interop.diffusers import flow, grids
from schedalg.interop.diffusers.grids import GRIDS
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.parameterization import Prediction
from schedalg.samplers import LCM, Euler, Heun
from schedalg.schedule import Schedule


def _path(options: Options, request: Request) -> Schedule:
    name = grids.asked(options)
    sigma = flow.noise_levels(options, request, _spacing, shift="shift")
    if name is not None and request.steps is not None:
        sigma = grids.grid(name, float(sigma[0]), float(sigma[-1]), request.steps)
    if request.timesteps is not None:
        return flow.through(sigma, request.timesteps[::-1])
    return flow.through(sigma, f"{options.count('num_train_timesteps')} flow_time")


def _spacing(n: int, steps: int) -> np.ndarray:
    return np.linspace(1, 1 / n, steps)[::-1]


def _prediction(options: Options) -> Prediction:
    return "flow"


def _euler(options: Options, schedule: Schedule) -> Euler | LCM:
    return LCM() if options.flag("stochastic_sampling") else Euler()


FLOW_MATCH_EULER_DISCRETE = Record(
    name="FlowMatchEulerDiscreteScheduler",
    defaults={
        **GRIDS,
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": False,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "invert_sigmas": False,
        "shift_terminal": None,
        "time_shift_type": "exponential",
        "stochastic_sampling": False,
    },
    unsupported={"invert_sigmas": "a flow from data to noise is not supported"},
    path=_path,
    sampler=_euler,
    prediction=_prediction,
)

FLOW_MATCH_HEUN_DISCRETE = Record(
    name="FlowMatchHeunDiscreteScheduler",
    defaults={"num_train_timesteps": 1000, "shift": 1.0},
    path=_path,
    sampler=lambda options, schedule: Heun(clean_stages=False),
    prediction=_prediction,
)
