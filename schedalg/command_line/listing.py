"""Noise levels as other tools take them."""

import numpy as np

from schedalg.arrays import to_host
from schedalg.schedule import Schedule


def sigma_list(schedule: Schedule) -> list[float]:
    """Return the noise levels, noisiest first, and last where the last step arrives: N + 1 numbers.

    sigma/alpha, or t of a flow. The last is 0 unless the schedule is a slice.

    Raises:
        ValueError: The schedule has no points, or ends in pure noise, where sigma is infinite.

    Example:
        >>> from schedalg import Schedule
        >>> from schedalg.command_line.listing import sigma_list
        >>> sigma_list(Schedule.from_sigmas([0.5, 1.0]))
        [1.0, 0.5, 0.0]
    """
    if len(schedule) == 0:
        raise ValueError("the schedule has no points, and so no noise levels")
    flow, origin = schedule.kind == "flow", schedule.origin
    values = to_host(schedule.sigma if flow else schedule.to_sigmas())
    if not np.isfinite(values).all():
        raise ValueError(
            "the schedule ends in pure noise, where sigma/alpha is infinite: leave out its last "
            "point, [:-1]"
        )
    last = origin.sigma if flow else origin.sigma / origin.alpha
    return [*values[::-1].tolist(), float(last)]
