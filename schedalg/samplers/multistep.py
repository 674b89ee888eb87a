"""Weights of multistep methods: an integral, from the values at unevenly spaced points."""

from collections.abc import Sequence

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.steps import Steps

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
    nodes = [xp.ones_like(length)] if ahead else []
    place = xp.zeros_like(length)
    for back in range(most):
        nodes.append(place)
        earlier = xp.concat([xp.ones_like(length[: back + 1]), length[: -(back + 1)]])
        place = place - earlier / length
    table = xp.zeros_like(length)[:, None] + steps.array(np.zeros(most))[None, :]
    for order in range(2 if ahead else 1, most + 1):
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            rows = _solve(nodes[:order], moments[:order])
            rows = xp.stack([*rows, *[xp.zeros_like(length)] * (most - order)], axis=1)
            size = np.abs(to_host(rows)).sum(axis=1) / np.abs(to_host(moments[0]))
        table = steps.where((orders >= order) & (size < LARGEST), rows, table)
    return table


def _solve(nodes: Sequence[Array], moments: Sequence[Array]) -> list[Array]:
    """Return w with Σ_j w_j nodes_j^i = moments_i, by the coefficients of Lagrange polynomials."""
    result = []
    for j, node in enumerate(nodes):
        others = [*nodes[:j], *nodes[j + 1 :]]
        # Π (r - r_l), by powers of r, lowest first.
        polynomial: list[Array] = [1.0]
        scale = 1.0
        for other in others:
            shifted = [0.0, *polynomial]
            lowered = [*(-other * value for value in polynomial), 0.0]
            polynomial = [low + high for low, high in zip(lowered, shifted, strict=True)]
            scale = scale * (node - other)
        total = sum(c * moment for c, moment in zip(polynomial, moments, strict=True))
        result.append(total / scale)
    return result


def finite_length(steps: Steps) -> Array:
    """Return h with 1 in place of infinity, for formulas whose result is not used there."""
    return steps.where(steps.finite, steps.h, 1.0)
