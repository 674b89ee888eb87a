"""The largest differences between two schedules, quantity by quantity."""

from typing import NamedTuple

import numpy as np

from schedalg.command_line.tables import quantities
from schedalg.schedule import Schedule

#: Quantities whose differences count as they are; those of others count relative to their size.
ABSOLUTE = ("timestep", "log_snr")


class Difference(NamedTuple):
    """Where a quantity of two schedules differs most.

    Attributes:
        quantity: Its name.
        largest: |a - b|, divided by the larger of |a| and |b| unless the quantity is `ABSOLUTE`.
        point: The index of the point in the first schedule.
        a: The quantity there in the first schedule.
        b: In the second.
    """

    quantity: str
    largest: float
    point: int
    a: float
    b: float


def paired(a: Schedule, b: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the points that are compared, in either schedule.

    These are all of them if there are equally many, and otherwise those of equal timestep.

    Raises:
        ValueError: No timestep is equal, or there are no points.

    Example:
        >>> from schedalg import Schedule
        >>> from schedalg.command_line.comparing import paired
        >>> base = Schedule.linear(1000)
        >>> paired(base, base[::250])
        (array([  0, 250, 500, 750]), array([0, 1, 2, 3]))
    """
    if len(a) == len(b) > 0:
        return np.arange(len(a)), np.arange(len(b))
    shared, in_a, in_b = np.intersect1d(a.timesteps, b.timesteps, return_indices=True)
    if not len(shared):
        raise ValueError(
            f"{len(a)} and {len(b)} points, of which no two have equal timesteps: "
            "nothing can be compared"
        )
    return in_a, in_b


def differences(a: Schedule, b: Schedule) -> list[Difference]:
    """Return the largest difference of each quantity that both schedules have.

    Betas belong to steps, and are left out where the two have not equally many points.

    Raises:
        ValueError: Nothing can be compared.

    Example:
        >>> from schedalg import Schedule
        >>> from schedalg.command_line.comparing import differences
        >>> s = Schedule.flow(4)
        >>> [(d.quantity, d.largest) for d in differences(s, s)][:2]
        [('timestep', 0.0), ('alpha', 0.0)]
        >>> round(differences(s, s.shift(2.0))[2].largest, 12)
        0.375
    """
    in_a, in_b = paired(a, b)
    of_a, of_b = quantities(a), quantities(b)
    found = []
    for name in of_a:
        if name not in of_b or (name == "beta" and len(a) != len(b)):
            continue
        x, y = of_a[name][in_a].astype(float), of_b[name][in_b].astype(float)
        gap = np.abs(np.subtract(x, y, where=x != y, out=np.zeros(len(x))))
        if name not in ABSOLUTE:
            size = np.maximum(np.abs(x), np.abs(y))
            gap = np.divide(gap, size, where=np.isfinite(gap) & (gap > 0), out=gap)
        k = int(np.argmax(gap))
        found.append(Difference(name, float(gap[k]), int(in_a[k]), float(x[k]), float(y[k])))
    return found
