"""The network as a process sees it: told the timesteps that it was trained with."""

from collections.abc import Callable
from functools import partial
from typing import Any

from schedalg.arrays import Array
from schedalg.checks import check_callable
from schedalg.network.remap import TimestepRemap
from schedalg.schedule import Schedule


class WrappedModel:
    """A network, or a classifier's gradient, that is called with positions in a short schedule.

    Args:
        told: Returns the timesteps at positions; one serves all networks of a process, so that its
            table is uploaded once.
        model: Called as `model(x, timesteps, **kwargs)`.

    Raises:
        TypeError: `model` cannot be called.
    """

    def __init__(self, told: TimestepRemap, model: Callable[..., Any]) -> None:
        check_callable("model", model)
        self.told = told
        self.model = model

    def __call__(self, x: Array, ts: Array, **kwargs: Any) -> Any:
        """Return `model(x, timesteps at ts, **kwargs)`."""
        timesteps = self.told(x, ts)
        if timesteps.is_floating_point():
            timesteps = timesteps.float()  # as networks are written for, be x in float64
        return self.model(x, timesteps, **kwargs)


def wrapper(
    schedule: Schedule, rescale_timesteps: bool, original_num_steps: int
) -> Callable[[Callable[..., Any]], WrappedModel]:
    """Return the function that wraps a network for a schedule; see `TimestepRemap`."""
    told = TimestepRemap(_timesteps, schedule, rescale_timesteps, original_num_steps)
    return partial(WrappedModel, told)


def _timesteps(x: Array, timesteps: Array) -> Array:
    return timesteps
