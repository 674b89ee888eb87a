"""What the multistep solvers have in common: their timesteps, grids and flows, and their order.

`DPMSolverMultistepScheduler`, `UniPCMultistepScheduler` and `DEISMultistepScheduler` run

- on trained betas, where "leading" and "linspace" space one timestep more than there are steps and
  leave out the least noisy;
- on a grid (`use_karras_sigmas` and its like) between the trained noise levels, whose timesteps
  are integers;
- on a flow (`use_flow_sigmas`), whose timesteps are integers as well. There a grid,
  `rescale_betas_zero_snr` and `timesteps=` are errors.
"""

from collections.abc import Callable

import numpy as np

from schedalg.interop.diffusers import betas, flow, grids
from schedalg.interop.diffusers.ending import End, ended
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.spacing import spaced, whole
from schedalg.interop.diffusers.trained import through, timesteps_at
from schedalg.schedule import Schedule


def _spacing(options: Options, base: Schedule, steps: int) -> np.ndarray:
    return spaced(options, base, steps, one_more=True)


def on_betas(
    options: Options,
    request: Request,
    end: End,
    *,
    spacing: betas.Spacing = _spacing,
    truncated: bool = False,
) -> Schedule:
    """Return the path of a network that was trained on betas.

    Args:
        options: The configuration.
        request: The requested points.
        end: Where the last step arrives.
        spacing: Returns the timesteps for a number of steps.
        truncated: Whether the timesteps of all grids are truncated to integers. Otherwise those of
            "karras" and "lu" are rounded to the nearest integer.

    Raises:
        ValueError: An option, or the request, has a wrong value or contradicts another.
    """

    def on_grid(options: Options, base: Schedule, grid: str, steps: int) -> Schedule:
        sigma = grids.between(options, base, grid, steps, np.array([0, len(base) - 1]))
        timesteps = timesteps_at(base, sigma)
        nearest = grid in ("karras", "lu") and not truncated
        return through(sigma, timesteps.round() if nearest else whole(timesteps))

    flow.check_off(options)
    return betas.path(options, request, end, spacing=spacing, on_grid=on_grid)


def flow_noise_levels(
    options: Options, request: Request, spacing: Callable[[int, int], np.ndarray]
) -> np.ndarray:
    """Return the noise levels of a flow, as `flow.noise_levels` does.

    Raises:
        ValueError: An option, or the request, has a wrong value or contradicts a flow.
    """
    for key in ("rescale_betas_zero_snr", "use_lu_lambdas", *grids.GRIDS):
        if options.flag(key):
            options.refuse(key, "it contradicts use_flow_sigmas=True")
    if request.timesteps is not None:
        raise ValueError("timesteps= contradicts use_flow_sigmas=True: give sigmas=")
    return flow.noise_levels(options, request, spacing, shift="flow_shift")


def through_flow(options: Options, sigma: np.ndarray, end: End) -> Schedule:
    """Return the flow through noise levels, whose timesteps are integers."""
    timesteps = whole(options.count("num_train_timesteps") * sigma)
    return ended(flow.through(sigma, timesteps), end)


def on_flow(options: Options, request: Request, end: End) -> Schedule:
    """Return the path of a network that was trained on a flow, in DPM-Solver and DEIS.

    Raises:
        ValueError: An option, or the request, has a wrong value or contradicts a flow.
    """
    if request.sigmas is not None:
        raise ValueError(f"sigmas= does not go with {options.name}: give steps=")
    return through_flow(options, flow_noise_levels(options, request, _flow_spacing), end)


def _flow_spacing(n: int, steps: int) -> np.ndarray:
    return 1 - np.linspace(1, 1 / n, steps + 1)[1:]


def order(options: Options, schedule: Schedule) -> int:
    """Return `solver_order`, or the number of steps if that is less.

    Raises:
        ValueError: `solver_order` is not 1, 2 or 3.
    """
    order = options.count("solver_order")
    if order > 3:
        options.refuse("solver_order", "allowed are 1, 2, 3")
    return min(order, max(len(schedule), 1))


def lowers_last(options: Options, schedule: Schedule) -> bool:
    """Return whether `lower_order_final` lowers the last orders: below 15 steps, in diffusers."""
    return options.flag("lower_order_final") and len(schedule) < 15
