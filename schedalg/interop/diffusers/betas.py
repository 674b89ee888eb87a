"""The path of a network that was trained on betas."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from schedalg.interop.diffusers import grids
from schedalg.interop.diffusers.ending import End, ended
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.spacing import spaced
from schedalg.interop.diffusers.trained import on_curve, sigmas_at, through, trained
from schedalg.schedule import Schedule

#: (options, trained schedule, steps) -> timesteps, rising.
Spacing: TypeAlias = Callable[[Options, Schedule, int], np.ndarray]
#: (options, trained schedule, grid, steps) -> the schedule on that grid.
OnGrid: TypeAlias = Callable[[Options, Schedule, str, int], Schedule]
#: (trained schedule, noise levels) -> the schedule through them.
OnSigmas: TypeAlias = Callable[[Schedule, np.ndarray], Schedule]


def path(
    options: Options,
    request: Request,
    end: End,
    *,
    spacing: Spacing = spaced,
    on_grid: OnGrid | None = None,
    on_sigmas: OnSigmas | None = None,
) -> Schedule:
    """Return the schedule through the requested points.

    Args:
        options: The configuration.
        request: The requested points.
        end: Where the last step arrives.
        spacing: Returns the timesteps for a number of steps.
        on_grid: Returns the schedule on a grid of noise levels, for classes with such options.
        on_sigmas: Returns the schedule through given noise levels, the last of which is where it
            ends; for classes with the argument `sigmas`.

    Raises:
        ValueError: An option, or the request, has a wrong value or contradicts another.
    """
    base, grid = trained(options), grids.asked(options)
    _check(options, request, grid)
    n, steps = options.count("num_train_timesteps"), request.steps
    if request.sigmas is not None:
        if on_sigmas is None:
            raise ValueError(
                f"sigmas= goes with EulerDiscreteScheduler and flows, not {options.name}"
            )
        return on_curve(on_sigmas(base, request.sigmas), base)
    if grid is not None and steps is not None and on_grid is not None:
        return on_curve(ended(on_grid(options, base, grid, steps), end, base), base)
    if request.timesteps is not None:
        timesteps = request.timesteps[::-1]
        last = len(base) - 1
        if timesteps[0] < 0 or timesteps[-1] > last:
            k = 0 if timesteps[-1] > last else len(timesteps) - 1
            raise ValueError(
                f"timesteps[{k}] is {request.timesteps[k]:g}: the trained ones are 0 to {last}"
            )
    else:
        timesteps = np.arange(min(n, len(base))) if steps is None else spacing(options, base, steps)
    return on_curve(ended(_at(base, timesteps), end, base), base)


def _check(options: Options, request: Request, grid: str | None) -> None:
    for key in ("sigma_min", "sigma_max"):
        if options.is_set(key) and grid is None:
            options.refuse(key, "it needs one of use_karras_sigmas, use_exponential_sigmas, ...")
    given = [key for key in ("timesteps", "sigmas") if getattr(request, key) is not None]
    if len(given) > 1:
        raise ValueError("give timesteps= or sigmas=, not both")
    if given and grid is not None:
        raise ValueError(f"{given[0]}= contradicts the {grid} noise levels of the config")


def _at(base: Schedule, timesteps: np.ndarray) -> Schedule:
    """Return the points at timesteps, which may lie between trained timesteps."""
    if (timesteps == np.rint(timesteps)).all():
        return base[timesteps.astype(np.int64)]
    return through(sigmas_at(base, timesteps), timesteps)
