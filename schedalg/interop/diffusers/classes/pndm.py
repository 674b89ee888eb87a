"""`PNDMScheduler`: `PNDM`, the multistep method alone.

- `timestep_spacing`, `steps_offset`: which timesteps are visited.
- `set_alpha_to_one`: whether the last step arrives at clean data, or at the noise level of timestep
  0.
- `skip_prk_steps`: must be True; the Runge-Kutta steps before the multistep method are not
  supported.
"""

from schedalg.interop.diffusers import betas
from schedalg.interop.diffusers.ending import final_alpha
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import TRAINED
from schedalg.samplers import PNDM
from schedalg.schedule import Schedule


def _path(options: Options, request: Request) -> Schedule:
    return betas.path(options, request, final_alpha(options))


def _sampler(options: Options, schedule: Schedule) -> PNDM:
    if not options.flag("skip_prk_steps"):
        options.refuse("skip_prk_steps", "the Runge-Kutta warm-up is not supported: set it to True")
    return PNDM()


PNDM_SCHEDULER = Record(
    name="PNDMScheduler",
    defaults={
        **TRAINED,
        "skip_prk_steps": False,
        "set_alpha_to_one": False,
        "timestep_spacing": "leading",
    },
    path=_path,
    sampler=_sampler,
)
