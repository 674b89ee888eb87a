"""Methods whose steps span several points of the schedule, with a stage at each point between.

So each call of the network is at a point of the schedule, and it is told no other timestep.
"""

from collections.abc import Callable, Sequence

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.plan.steps import Steps
from schedalg.samplers.multistep import LARGEST

#: The lengths of a step's parts -> for each part, the weights of the predictions up to its start,
#: oldest first, in the integral from the start of the step to the end of the part.
Stages = Callable[[Sequence[Array]], list[list[Array]]]


def groups(finite: np.ndarray, order: int) -> list[range]:
    """Return the steps of the schedule that make one step of the method, of `order` parts or fewer.

    Where steps are left over, there are some of lower order at the start, where the noise hides
    their error; one of order 1 only if the order is 2, or if there is no other way. A step over an
    infinite distance is one by itself.

    Args:
        finite: Whether a step's length is finite, (N,).
        order: The highest number of parts.
    """
    result, start, n = [], 0, len(finite)
    while start < n:
        stop = start
        while stop < n and finite[stop]:
            stop += 1
        whole, left = divmod(stop - start, order)
        sizes = ([left] if left else []) + [order] * whole
        if order == 3 and left == 1 and whole:
            sizes[:2] = [2, 2]
        if stop < n:
            sizes.append(1)
        for size in sizes:
            result.append(range(start, start + size))
            start += size
    return result


def weights(steps: Steps, order: int, stages: Stages, growth: float) -> Array:
    """Return the weights of the last predictions in each part of each step, newest first, (N, m).

    A part starts from x where the part before it arrived, and corrects for what that had made of
    the predictions.

    Args:
        steps: The steps of the schedule, one a part.
        order: How many parts a step has.
        stages: The method.
        growth: -1 where x is integrated with e^-h, as in the data form; 1 with e^h, in the noise
            form.
    """
    xp, h = steps.xp, steps.finite_h
    of_parts = groups(steps.finite, order)
    rows, tables = [], []
    for size in range(1, order + 1):
        starts = np.array([group.start for group in of_parts if len(group) == size], dtype=np.int64)
        lengths = [steps.gather(h, starts + part) for part in range(size)]
        before: list[Array] = []
        for part, exact in enumerate(stages(lengths)):
            reached = sum(lengths[1 : part + 1], lengths[0])
            integral = _moderate(steps, exact, growth * xp.expm1(growth * reached))
            carried = xp.exp(growth * lengths[part])
            change = [
                weight - carried * before[j] if j < len(before) else weight
                for j, weight in enumerate(integral)
            ]
            missing = [xp.zeros_like(carried)] * (order - len(change))
            rows.append(starts + part)
            tables.append(xp.stack([*reversed(change), *missing], axis=1))
            before = integral
    place = np.argsort(np.concatenate(rows))
    return steps.gather(xp.concat(tables), place)


def _moderate(steps: Steps, integral: list[Array], total: Array) -> list[Array]:
    """Return the weights, or their sum for the first where they are `LARGEST` times that."""
    size = sum(np.abs(to_host(weight)) for weight in integral) / np.abs(to_host(total))
    usable = size < LARGEST
    return [
        steps.where(usable, weight, total if j == 0 else steps.xp.zeros_like(total))
        for j, weight in enumerate(integral)
    ]
