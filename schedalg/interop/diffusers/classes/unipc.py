"""`UniPCMultistepScheduler`: `UniPC`, on trained betas, a grid or a flow.

- `solver_order`: 1, 2 or 3.
- `solver_type`: the `variant` of `UniPC`; values of other classes, which `from_config` copies, mean
  "bh2".
- `lower_order_final`: the last orders fall to 1.
- `predict_x0`, `disable_corrector`, `solver_p`: an error if they ask for another method.
- `final_sigmas_type`: whether the last step arrives at clean data, or with "sigma_min" at the noise
  level of timestep 0; on a grid or a flow it then has no length.
- `sigma_min`, `sigma_max`: where a grid ends, in place of the trained noise levels.
- `shift_terminal`: the lowest noise level of a flow, to which the others are stretched.
- `sigmas=` may be given in place of steps on a flow.

`multistep` describes the timesteps, grids and flows.
"""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from schedalg.interop.diffusers import grids
from schedalg.interop.diffusers.classes import multistep
from schedalg.interop.diffusers.ending import final_sigma
from schedalg.interop.diffusers.flow import FLOW
from schedalg.interop.diffusers.grids import GRIDS
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import THRESHOLDING
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import TRAINED
from schedalg.samplers import UniPC
from schedalg.schedule import Schedule

_VARIANTS: Final[Mapping[str, Literal["bh1", "bh2"]]] = {
    "bh1": "bh1",
    "bh2": "bh2",
    "midpoint": "bh2",
    "heun": "bh2",
    "logrho": "bh2",
}


def _path(options: Options, request: Request) -> Schedule:
    if not options.flag("use_flow_sigmas"):
        least = final_sigma(options, "first" if grids.asked(options) is None else "stay")
        return multistep.on_betas(options, request, least)
    sigma = multistep.flow_noise_levels(options, request, _flow_spacing)
    if abs(sigma[-1] - 1) < 1e-6:
        sigma[-1] -= 1e-6
    return multistep.through_flow(options, sigma, final_sigma(options, "stay"))


def _flow_spacing(n: int, steps: int) -> np.ndarray:
    return np.linspace(1, 1 / n, steps + 1)[-2::-1]


def _sampler(options: Options, schedule: Schedule) -> UniPC:
    return UniPC(
        order=multistep.order(options, schedule),
        variant=options.meaning("solver_type", _VARIANTS),
        lower_order_final=options.flag("lower_order_final"),
    )


UNIPC_MULTISTEP = Record(
    name="UniPCMultistepScheduler",
    defaults={
        **TRAINED,
        **THRESHOLDING,
        **GRIDS,
        **FLOW,
        "solver_order": 2,
        "predict_x0": True,
        "solver_type": "bh2",
        "lower_order_final": True,
        "disable_corrector": [],
        "solver_p": None,
        "timestep_spacing": "linspace",
        "final_sigmas_type": "zero",
        "rescale_betas_zero_snr": False,
        "sigma_min": None,
        "sigma_max": None,
        "shift_terminal": None,
    },
    unsupported={
        "predict_x0": "UniPC in the noise prediction is not supported",
        "disable_corrector": "the corrector is on in all steps",
        "solver_p": "another predictor is not supported",
    },
    path=_path,
    sampler=_sampler,
)
