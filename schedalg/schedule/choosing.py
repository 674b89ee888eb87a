"""`choose`: the points whose steps cost least."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from schedalg.arrays import Array
from schedalg.checks import host_array, raise_stopped, real_number
from schedalg.schedule.cheapest import cheapest
from schedalg.schedule.schedule import Schedule, check_schedule
from schedalg.schedule.selection import checked_count

#: What a step costs: a matrix, or a function of the indices (i, j) of where it arrives and leaves.
StepCost: TypeAlias = "Array | Sequence[Sequence[float]] | Callable[[int, int], float]"


def choose(schedule: Schedule, steps: int, cost: StepCost) -> Schedule:
    """Return the K points whose steps cost least in total, by dynamic programming.

    The least and the most noisy point are kept. The cost of a respacing is the sum over its steps
    but the one to the origin, which is the same for all. `schedule.subsample(steps=K,
    errors=errors)` is `choose(schedule, K, schedule.kl_costs(errors))`.

    Args:
        schedule: The schedule to choose from, of N points.
        steps: K, the number of points to keep, from 2 to N.
        cost: (N, N), where C[i, j] is what the step from point j down to point i costs, for i < j;
            other entries are not read. Or a function of i and j. Costs may be negative.

    Returns:
        A schedule of K points.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `steps` is out of range, or `cost` has another shape or is not finite where
            i < j.

    Example:
        >>> from schedalg import Schedule, choose
        >>> s = Schedule.from_log_snr([4.0, 2.0, 1.0, 0.0, -2.0])
        >>> log_snr = s.to_log_snr()
        >>> choose(s, 3, lambda i, j: (log_snr[i] - log_snr[j]) ** 2).to_log_snr()
        array([ 4.,  1., -2.])

    Source: Watson et al., arXiv 2106.03802.
    """
    check_schedule(schedule)
    count = checked_count(steps, len(schedule))
    return schedule[cheapest(_matrix(cost, len(schedule)), count)]


def _matrix(cost: Any, n: int) -> np.ndarray:
    """Return the costs as an (n, n) array that is finite above the diagonal.

    Raises:
        TypeError: They are not real numbers.
        ValueError: They have another shape, or one is not finite.
    """
    if isinstance(cost, type):
        raise TypeError(f"cost must be a matrix or a function, not the class {cost.__name__}")
    upper = np.triu(np.ones((n, n), dtype=bool), 1)
    if callable(cost):
        costs = np.zeros((n, n))
        try:
            for i in range(n):
                for j in range(i + 1, n):
                    costs[i, j] = real_number(f"cost({i}, {j})", cost(i, j))
        except StopIteration as error:
            raise_stopped(error, "cost")
        return costs
    costs = host_array("cost", cost)
    if costs.shape != (n, n):
        raise ValueError(
            f"cost must have shape {(n, n)}, a row and a column for each point; got {costs.shape}"
        )
    if costs.dtype.kind not in "iuf":
        raise TypeError(f"cost must hold real numbers, got dtype {costs.dtype}")
    wrong = upper & ~np.isfinite(costs)
    if wrong.any():
        i, j = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"cost[{i}, {j}] is {float(costs[i, j])!r}: it must be finite where i < j")
    return costs.astype(np.float64)
