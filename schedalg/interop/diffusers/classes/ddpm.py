"""`DDPMScheduler`: `DDPM`, which ends at clean data.

- `timestep_spacing`, `steps_offset`: which timesteps are visited.
- `variance_type`: the `variance` of `DDPM`; those with "_log" are the same variances.
  "learned" is an error: diffusers uses the output itself as the variance.
"""

from collections.abc import Mapping
from typing import Final

from schedalg.interop.diffusers import betas
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import CLIPPING, THRESHOLDING
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import TRAINED
from schedalg.samplers import DDPM
from schedalg.schedule import Schedule

_SAMPLERS: Final[Mapping[str, DDPM]] = {
    "fixed_small": DDPM("fixed_small"),
    "fixed_small_log": DDPM("fixed_small"),
    "fixed_large": DDPM("fixed_large"),
    "fixed_large_log": DDPM("fixed_large"),
    "learned_range": DDPM("learned_range"),
}


def _path(options: Options, request: Request) -> Schedule:
    return betas.path(options, request, "clean")


def _sampler(options: Options, schedule: Schedule) -> DDPM:
    if options["variance_type"] == "learned":
        options.refuse("variance_type", "diffusers uses the output itself as the variance there")
    return options.meaning("variance_type", _SAMPLERS)


DDPM_SCHEDULER = Record(
    name="DDPMScheduler",
    defaults={
        **TRAINED,
        **THRESHOLDING,
        **CLIPPING,
        "variance_type": "fixed_small",
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    path=_path,
    sampler=_sampler,
)
