"""Singlestep methods: a step spans several points of the schedule, with a stage at each of them.

So the network is called at points of the schedule, and only with their timesteps.
"""

from collections.abc import Callable, Sequence

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.plan.steps import Steps
from schedalg.samplers.multistep import LARGEST

#: From the lengths of a step's parts to the weights of the predictions, oldest first. For each part
#: these are the weights in the integral from the start of the step to the end of the part.
Stages = Callable[[Sequence[Array]], list[list[Array]]]


def groups(finite: np.ndarray, order: int, *, lower_order_final: bool = False) -> list[range]:
    """Return which steps of the schedule make up each step of the method, at most `order` of them.

    If the number of steps is not a multiple of the order, the first groups are smaller: errors at
    high noise levels matter least. With order 3, two groups of 2 are preferred to one of 1. A step
    with infinite h is a group by itself.

    Args:
        finite: Whether h is finite in each step, (N,).
        order: The largest number of steps in a group.
        lower_order_final: Whether the last groups are smaller instead, and the last of all is one
            step.
    """
    result, start, n = [], 0, len(finite)
    while start < n:
        stop = start
        while stop < n and finite[stop]:
            stop += 1
        infinite = stop < n  # the step after these
        alone = infinite or lower_order_final
        whole, left = divmod(stop - start - (alone and not infinite), order)
        rest = [left] if left else []
        if lower_order_final:
            sizes = [order] * whole + rest
        elif order == 3 and left == 1 and whole:
            sizes = [2, 2] + [order] * (whole - 1)
        else:
            sizes = rest + [order] * whole
        sizes += [1] * alone
        for size in sizes:
            result.append(range(start, start + size))
            start += size
    return result


def weights(
    steps: Steps, order: int, stages: Stages, growth: float, *, lower_order_final: bool = False
) -> Array:
    """Return the weights of the last predictions in each part of each step, newest first, (N, m).

    A method gives the integral from the start of the step. A part starts from the x that the part
    before it reached, so its weights are the difference of the two integrals.

    Args:
        steps: The steps of the schedule, which are the parts.
        order: The largest number of parts of a step.
        stages: The method.
        growth: -1 in the data form, where x is integrated with e^-h; 1 in the noise form, with e^h.
        lower_order_final: Whether the last steps span fewer parts, and the very last one.
    """
    xp, h = steps.xp, steps.finite_h
    grouped = groups(steps.finite, order, lower_order_final=lower_order_final)
    rows, blocks = [], []
    for size in range(1, order + 1):
        starts = np.array([group.start for group in grouped if len(group) == size], dtype=np.int64)
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
            blocks.append(xp.stack([*reversed(change), *missing], axis=1))
            before = integral
    place = np.argsort(np.concatenate(rows))
    return steps.gather(xp.concat(blocks), place)


def _moderate(steps: Steps, integral: list[Array], total: Array) -> list[Array]:
    """Return the weights; if they cancel too much (`LARGEST`), the first prediction alone."""
    size = sum(np.abs(to_host(weight)) for weight in integral) / np.abs(to_host(total))
    usable = size < LARGEST
    return [
        steps.where(usable, weight, total if j == 0 else steps.xp.zeros_like(total))
        for j, weight in enumerate(integral)
    ]
