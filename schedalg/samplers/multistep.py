"""Weights of multistep methods: integrals of the polynomial through unevenly spaced values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.plan.steps import Steps

#: Largest allowed ratio of the sum of the absolute weights to the sum of the weights.
LARGEST = 1e6


def orders(finite: np.ndarray, order: int, *, lower_order_final: bool = False) -> np.ndarray:
    """Return the order of each step: that of the method, or less where too few predictions exist.

    A step with infinite h has order 1, and later steps use no prediction from before it.

    Args:
        finite: Whether h is finite in each step, (N,).
        order: The order of the method.
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
    """Return the weights of the last predictions in each step, newest first, (N, m).

    They are exact for every polynomial of degree below the step's order: Σ_j w_j r_j^i = moment i,
    where r_j is the position of prediction j, measured from the start of the step in units of its
    length. They are computed from the Lagrange polynomials, whose coefficients are sums without
    cancellation if all nodes lie on one side of 0. If a step is much longer than those before it,
    the weights become large and cancel. Where they exceed `LARGEST` times their sum, the step uses
    a lower order.

    Args:
        steps: The steps of the schedule.
        length: Length of each step in the variable of the polynomial, (N,), finite.
        orders: How many predictions each step uses, (N,).
        moments: Integrals over each step of the weight function times r^0, r^1, ...; m columns.
        ahead: Whether the newest prediction is the one at the end of the step, r = 1, as in a
            corrector. The second is then the one at its start.
    """
    xp = steps.xp
    most = len(moments)
    # Distance from each node to the one before it, in units of the step's length.
    gaps = [xp.ones_like(length)] if ahead else []
    for back in range(1, most + 1):
        earlier = xp.concat([xp.ones_like(length[:back]), length[:-back]])
        gaps.append(earlier / length)
    result = xp.zeros_like(length)[:, None] + steps.array(np.zeros(most))[None, :]
    for order in range(2 if ahead else 1, most + 1):
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            rows = solve(gaps[: order - 1], moments[:order], int(ahead))
            rows = xp.stack([*rows, *[xp.zeros_like(length)] * (most - order)], axis=1)
            size = np.abs(to_host(rows)).sum(axis=1) / np.abs(to_host(moments[0]))
        result = steps.where((orders >= order) & (size < LARGEST), rows, result)
    return result


def solve(gaps: Sequence[Array], moments: Sequence[Array], start: int) -> list[Array]:
    """Return w with Σ_j w_j node_j^i = moment_i, from the coefficients of the Lagrange polynomials.

    Args:
        gaps: Distance from each node to the next older one, positive.
        moments: One for each node.
        start: Which node is at 0. Those before it are newer, and positive.
    """
    count = len(moments)

    def distance(newer: int, older: int) -> Any:
        return sum(gaps[newer + 1 : older], gaps[newer])

    def node(j: int) -> Any:
        if j == start:
            return 0.0
        return -distance(start, j) if j > start else distance(j, start)

    result = []
    for j in range(count):
        # Coefficients of Π (r - r_l), the lowest power of r first.
        polynomial: list[Any] = [1.0]
        scale: Any = 1.0
        for other in range(count):
            if other == j:
                continue
            lowered = [*(-node(other) * value for value in polynomial), 0.0]
            raised = [0.0, *polynomial]
            polynomial = [low + high for low, high in zip(lowered, raised, strict=True)]
            scale = scale * (distance(j, other) if j < other else -distance(other, j))
        total = sum(c * moment for c, moment in zip(polynomial, moments, strict=True))
        result.append(total / scale)
    return result
