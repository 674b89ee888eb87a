"""How a network reads x and how its output is read, for x in the scale of a schedule."""

import math
from typing import Any

import numpy as np

from schedalg.parameterization import Parameterization
from schedalg.schedule import Schedule
from schedalg.schedule.path import Kind


def read_columns(
    reading: Parameterization, schedule: Schedule, alpha: Any, sigma: Any
) -> tuple[Any, Any, Any]:
    """Return c_in, c_x and c_out for x in the scale of the schedule, at levels given in that scale.

    Args:
        reading: What the network's output means, in the scale that the network was trained in.
        schedule: Whose `kind` is the scale of x, and `network_kind` that of the network.
        alpha: Signal scale, in the scale of x: a number, or an array.
        sigma: Noise scale, likewise.
    """
    scale = 1.0
    if schedule.network_kind != schedule.kind:
        scale = scale_to(schedule.network_kind, alpha, sigma)
        alpha, sigma = alpha * scale, sigma * scale
    try:
        with np.errstate(divide="ignore", invalid="ignore"):  # what is infinite is found later
            return (
                reading.c_in(alpha, sigma) * scale,
                reading.c_x(alpha, sigma) * scale,
                reading.c_out(alpha, sigma),
            )
    except ZeroDivisionError:
        return math.nan, math.nan, math.nan
    except TypeError as error:
        raise TypeError(f"the parameterization must return numbers: {error}") from error


def scale_to(kind: Kind, alpha: Any, sigma: Any) -> Any:
    """Return the factor that brings x at a level to the scale of `kind`."""
    if kind == "ve":
        return 1 / alpha
    if kind == "flow":
        return 1 / (alpha + sigma)
    return 1 / (alpha**2 + sigma**2) ** 0.5
