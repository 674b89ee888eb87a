"""`LCMScheduler` and `TCDScheduler`: samplers of networks that were distilled into few steps.

- `original_inference_steps`: the steps of the distillation, from which the timesteps are selected.
- `timestep_scaling`: that of `LCM`; TCD does not use it.
- `thresholding`, `clip_sample`: bound x0 in LCM; in TCD they are an error.
- `timestep_spacing`, `steps_offset`, `set_alpha_to_one`: have no effect. LCM ends at clean data,
  TCD at the noise level of timestep 0.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from schedalg.interop.diffusers import betas
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import CLIPPING, THRESHOLDING
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.spacing import distilled
from schedalg.interop.diffusers.trained import STABLE_DIFFUSION, TRAINED, trained
from schedalg.samplers import LCM, TCD
from schedalg.schedule import Schedule

_DEFAULTS: Final[Mapping[str, Any]] = {
    **TRAINED,
    **STABLE_DIFFUSION,
    **THRESHOLDING,
    **CLIPPING,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "original_inference_steps": 50,
    "set_alpha_to_one": True,
    "timestep_spacing": "leading",
    "timestep_scaling": 10.0,
    "rescale_betas_zero_snr": False,
}


def _spacing(options: Options, base: Schedule, steps: int) -> np.ndarray:
    """Return timesteps spread evenly over those of the distillation."""
    n, original = options.count("num_train_timesteps"), options.count("original_inference_steps")
    if original > n:
        options.refuse("original_inference_steps", f"there are {n} training steps")
    if steps > original:
        raise ValueError(f"steps must be at most original_inference_steps={original}, got {steps}")
    timesteps = distilled(n, original, original, steps)
    if timesteps[-1] > len(base) - 1:
        options.refuse("num_train_timesteps", f"trained_betas holds {len(base)} values")
    return timesteps


def _lcm_path(options: Options, request: Request) -> Schedule:
    return betas.path(options, request, "clean", spacing=_spacing)


def _lcm(options: Options, schedule: Schedule) -> LCM:
    return LCM(timestep_scaling=options.number("timestep_scaling"))


LCM_SCHEDULER = Record(name="LCMScheduler", defaults=_DEFAULTS, path=_lcm_path, sampler=_lcm)


def _tcd_path(options: Options, request: Request) -> Schedule:
    return betas.path(options, request, "first", spacing=_spacing)


def _tcd(options: Options, schedule: Schedule) -> TCD:
    return TCD(gamma=0.3, trained=trained(options))


TCD_SCHEDULER = Record(
    name="TCDScheduler",
    defaults=_DEFAULTS,
    unsupported={
        "thresholding": "TCD does not bound x0",
        "clip_sample": "TCD does not bound x0",
    },
    path=_tcd_path,
    sampler=_tcd,
)
