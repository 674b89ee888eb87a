"""Schedules and plans as columns, and columns as text: aligned in a terminal, or as CSV."""

import shutil
from collections.abc import Mapping

import numpy as np

from schedalg.arrays import to_host
from schedalg.plan.text import aligned
from schedalg.schedule import Schedule

#: Significant digits of a table, as many of these as fit the terminal.
DIGITS = (6, 5, 4, 3)
#: The width of a table that no terminal shows.
MOST = 10_000


def width(otherwise: int) -> int:
    """Return the width of the terminal, and another one where there is none."""
    return shutil.get_terminal_size((otherwise, 0)).columns


def quantities(schedule: Schedule) -> dict[str, np.ndarray]:
    """Return what a schedule is at each of its points, by name: (N,) each.

    Example:
        >>> from schedalg import Schedule
        >>> from schedalg.command_line.tables import quantities
        >>> list(quantities(Schedule.flow(4)))
        ['timestep', 'alpha', 'sigma', 'sigma/alpha', 'log_snr']
        >>> quantities(Schedule.from_betas([0.1, 0.2]))["beta"]
        array([0.1, 0.2])
    """
    found = {
        "timestep": schedule.timesteps,
        "alpha": schedule.alpha,
        "sigma": schedule.sigma,
        "sigma/alpha": schedule.to_sigmas(),
        "log_snr": schedule.to_log_snr(),
    }
    if schedule.kind == "vp":
        found["beta"] = schedule.to_betas()
    return {name: to_host(values) for name, values in found.items()}


def fitted(columns: Mapping[str, np.ndarray]) -> str:
    """Return columns as a table, with fewer digits where the terminal is narrow.

    If that is not enough, the table is cut into parts, which all begin with the first column.

    Example:
        >>> import numpy as np
        >>> from schedalg.command_line.tables import fitted
        >>> print(fitted({"k": np.arange(2), "alpha": np.array([1.0, 0.123456789])}))
        k    alpha
        0        1
        1 0.123457
    """
    most = width(otherwise=MOST)
    for digits in DIGITS:
        lines = aligned(columns, digits)
        if len(lines[0]) <= most:
            return "\n".join(lines)
    first, *names = columns
    parts: list[list[str]] = []
    while names:
        count = len(names)
        while True:
            chosen = {name: columns[name] for name in [first, *names[:count]]}
            lines = aligned(chosen, DIGITS[-1])
            if count == 1 or len(lines[0]) <= most:
                break
            count -= 1
        parts.append(lines)
        names = names[count:]
    return "\n\n".join("\n".join(lines) for lines in parts)


def csv(columns: Mapping[str, np.ndarray]) -> str:
    """Return columns as comma-separated values, the titles first and each number to its last bit.

    Example:
        >>> import numpy as np
        >>> from schedalg.command_line.tables import csv
        >>> print(csv({"k": np.arange(2), "alpha": np.array([1.0, 0.1])}))
        k,alpha
        0,1.0
        1,0.1
    """
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(repr, row)) for row in rows)])
