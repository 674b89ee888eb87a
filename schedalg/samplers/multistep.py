"""Weights of multistep methods: an integral, from the values at unevenly spaced points."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.plan.steps import Steps

#: Weights of both signs may be this much larger than their sum.
LARGEST = 1e6


def orders(finite: np.ndarray, order: int, *, lower_order_final: bool = False) -> np.ndarray:
    """Return the order of each step: as many predictions as there are, and the method wants.

    A step over an infinite distance is of order 1, and no later one looks back beyond it.

    Args:
        finite: Whether a step's length is finite, (N,).
        order: The highest.
        lower_order_final: Whether the order falls to 1 again towards the last step.
    """
    before, result = 0, []
    for k, is_finite in enumerate(finite.tolist()):
        left = len(finite) - k if lower_order_final else order
        result.append(min(order, before + 1, left) if is_finite else 1)
        before = before + 1 if is_finite else 0
    return np.array(result, dtype=np.int64)


def weights(
    steps: Steps,
    length: Array,
    orders: np.ndarray,
    moments: Sequence[Array],
    ahead: bool = False,
) -> Array:
    """Return for each step the weights of the last predictions, newest first, (N, m).

    They are right for every polynomial of degree below the step's order: Σ_j w_j r_j^i = moment i,
    with r_j the place of prediction j, in steps from where the step starts. They come from the
    Lagrange polynomials: with nodes on one side of 0, these are sums without cancellation. Where a
    step is so much longer than those before it that they would be `LARGEST` times their sum, and
    rounding all that is left of the result, its order is lower.

    Args:
        steps: What the columns belong to.
        length: Length of each step in the variable of the polynomial, finite.
        orders: How many predictions each step uses, (N,).
        moments: Integrals of the weight times r^0, r^1, ... over each step, m of them.
        ahead: Whether the newest prediction is the one at the end of the step, r = 1 (a
            corrector), and the next the one at its start.
    """
    xp = steps.xp
    most = len(moments)
    # From one node back to the next, in steps: what the differences of nodes are summed from.
    gaps = [xp.ones_like(length)] if ahead else []
    for back in range(1, most + 1):
        earlier = xp.concat([xp.ones_like(length[:back]), length[:-back]])
        gaps.append(earlier / length)
    table = xp.zeros_like(length)[:, None] + steps.array(np.zeros(most))[None, :]
    for order in range(2 if ahead else 1, most + 1):
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            rows = _solve(gaps[: order - 1], moments[:order], ahead)
            rows = xp.stack([*rows, *[xp.zeros_like(length)] * (most - order)], axis=1)
            size = np.abs(to_host(rows)).sum(axis=1) / np.abs(to_host(moments[0]))
        table = steps.where((orders >= order) & (size < LARGEST), rows, table)
    return table


def _solve(gaps: Sequence[Array], moments: Sequence[Array], ahead: bool) -> list[Array]:
    """Return w with Σ_j w_j node_j^i = moment_i, by the coefficients of Lagrange polynomials.

    Args:
        gaps: From each node to the one before it in time, positive.
        moments: One for each node.
        ahead: Whether the first node is at 1, not at 0.
    """
    count, start = len(moments), int(ahead)

    def apart(newer: int, older: int) -> Any:
        return sum(gaps[newer + 1 : older], gaps[newer])

    def node(j: int) -> Any:
        return -apart(start, j) if j > start else float(j < start)

    result = []
    for j in range(count):
        # Π (r - r_l), by powers of r, lowest first.
        polynomial: list[Any] = [1.0]
        scale: Any = 1.0
        for other in range(count):
            if other == j:
                continue
            lowered = [*(-node(other) * value for value in polynomial), 0.0]
            raised = [0.0, *polynomial]
            polynomial = [low + high for low, high in zip(lowered, raised, strict=True)]
            scale = scale * (apart(j, other) if j < other else -apart(other, j))
        total = sum(c * moment for c, moment in zip(polynomial, moments, strict=True))
        result.append(total / scale)
    return result
