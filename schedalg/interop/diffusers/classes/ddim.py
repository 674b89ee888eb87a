"""`DDIMScheduler`: `DDIM`, or `ClippedDDIM` where x0 is bounded.

- `timestep_spacing`, `steps_offset`: which timesteps are visited.
- `set_alpha_to_one`: whether the last step arrives at clean data, or at the noise level of timestep
  0.
- `thresholding`, `clip_sample`: bound x0 and leave the noise prediction as it is, which
  `ClippedDDIM` does.
"""

from schedalg.interop.diffusers import betas
from schedalg.interop.diffusers.ending import final_alpha
from schedalg.interop.diffusers.methods import ClippedDDIM
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import CLIPPING, THRESHOLDING, bounds
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import TRAINED
from schedalg.samplers import DDIM
from schedalg.schedule import Schedule


def _path(options: Options, request: Request) -> Schedule:
    return betas.path(options, request, final_alpha(options))


def _sampler(options: Options, schedule: Schedule) -> DDIM | ClippedDDIM:
    return DDIM() if bounds(options) is None else ClippedDDIM()


DDIM_SCHEDULER = Record(
    name="DDIMScheduler",
    defaults={
        **TRAINED,
        **THRESHOLDING,
        **CLIPPING,
        "set_alpha_to_one": True,
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    path=_path,
    sampler=_sampler,
    clip=bounds,
)
