"""`DEISMultistepScheduler`: `DEIS`, on trained betas, a grid or a flow.

- `solver_order`: 1, 2 or 3.
- `lower_order_final`: the last orders fall to 1 if there are fewer than 15 steps.
- `algorithm_type`, `solver_type`: checked, but all allowed values give the same method.

The last step arrives at the noise level of timestep 0; on a grid or a flow it has no length.
`multistep` describes the timesteps, grids and flows.
"""

from schedalg.interop.diffusers import grids
from schedalg.interop.diffusers.classes import multistep
from schedalg.interop.diffusers.ending import End
from schedalg.interop.diffusers.flow import FLOW
from schedalg.interop.diffusers.grids import GRIDS
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import THRESHOLDING
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import TRAINED
from schedalg.samplers import DEIS
from schedalg.schedule import Schedule


def _path(options: Options, request: Request) -> Schedule:
    if options.flag("use_flow_sigmas"):
        return multistep.on_flow(options, request, "stay")
    end: End = "first" if grids.asked(options) is None else "stay"
    return multistep.on_betas(options, request, end)


def _sampler(options: Options, schedule: Schedule) -> DEIS:
    options.choice("algorithm_type", ("deis", "dpmsolver", "dpmsolver++"))
    options.choice("solver_type", ("logrho", "midpoint", "heun", "bh1", "bh2"))
    return DEIS(
        order=multistep.order(options, schedule),
        lower_order_final=multistep.lowers_last(options, schedule),
    )


DEIS_MULTISTEP = Record(
    name="DEISMultistepScheduler",
    defaults={
        **TRAINED,
        **THRESHOLDING,
        **GRIDS,
        **FLOW,
        "solver_order": 2,
        "algorithm_type": "deis",
        "solver_type": "logrho",
        "lower_order_final": True,
        "timestep_spacing": "linspace",
    },
    path=_path,
    sampler=_sampler,
)
