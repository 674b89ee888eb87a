"""Weights of multistep methods: integrals of the polynomial through unevenly spaced values."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from schedalg.arrays import Array, Namespace, holds, namespace, seen
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
        orders: How many predictions each step uses, (N,); 0: none, and all weights are 0.
        moments: Integrals over each step of the weight function times r^0, r^1, ...; m columns.
        ahead: Whether the newest prediction is the one at the end of the step, r = 1, as in a
            corrector. The second is then the one at its start.
    """
    xp, most, first = steps.xp, len(moments), 2 if ahead else 1
    result = steps.array(np.zeros((most, len(orders))))
    left: Array
    left, total = np.ones(len(orders), dtype=bool), abs(seen(moments[0]))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        gaps = _gaps(xp, length, most - first, ahead=ahead)
        for order in range(most, first - 1, -1):
            chosen = left & (orders >= order)
            if not np.count_nonzero(holds(chosen)):
                continue
            rows = solve(gaps[: order - 1], moments[:order], int(ahead))
            if order > 1:  # whose only weight is its sum
                chosen = chosen & (abs(seen(rows)).sum(axis=0) / total < LARGEST)
            left = left & ~chosen
            result = _replaced(steps, result, chosen, rows)
    return result.T


def _gaps(xp: Namespace, length: Array, count: int, *, ahead: bool) -> list[Array]:
    """Return the distance from each node to the one before it, in units of the step's length.

    1 in place of a node before the first step.
    """
    ones = xp.ones_like(length)
    gaps = [ones] if ahead else []
    for back in range(1, count + 1):
        gaps.append(xp.concat([ones[:back], length[:-back] / length[back:]]))
    return gaps


def _replaced(steps: Steps, result: Array, chosen: Array, rows: Array) -> Array:
    """Return (m, N) weights with the first rows of them replaced in the steps that are chosen."""
    count = rows.shape[0]
    if steps.xp is np:
        np.copyto(result[:count], rows, where=chosen)
        return result
    rows = steps.xp.concat([rows, result[count:, ...]])
    return steps.where(chosen, rows.T, result.T).T


def solve(gaps: Sequence[Array], moments: Sequence[Array], start: int) -> Array:
    """Return w with Σ_j w_j node_j^i = moment_i, from the coefficients of the Lagrange polynomials.

    Args:
        gaps: Distance from each node to the next older one, positive, (N,).
        moments: One for each of the m nodes, (N,).
        start: Which node is at 0. Those before it are newer, and positive.

    Returns:
        (m, N), the newest first.
    """
    xp, count = namespace(moments[0]), len(moments)
    if count == 1:
        return moments[0][None, :]
    if count == 2:
        return _line(gaps[0], moments, start)
    # From each node to each other one; to an older one it is positive.
    towards = {(j, j + 1): gap for j, gap in enumerate(gaps)}
    for width in range(2, count):
        for j in range(count - width):
            towards[j, j + width] = towards[j, j + width - 1] + gaps[j + width - 1]
    towards |= {(other, j): -value for (j, other), value in towards.items()}
    towards[start, start] = moments[0] - moments[0]
    pairs = [towards[pair] for pair in _pairs(count, start)]
    table = xp.reshape(xp.concat(pairs), (2, count - 1, count, -1))
    minus_node, apart = table[0, ...], table[1, ...]  # from the start to a node is minus it
    # Coefficients of Π (r - node), the lowest power of r first, but for the last, which is 1.
    polynomial, scale = [minus_node[0, ...]], apart[0, ...]
    for i in range(1, count - 1):
        shift = minus_node[i, ...]
        raised = [low + shift * high for low, high in pairwise(polynomial)]
        polynomial = [shift * polynomial[0], *raised, polynomial[-1] + shift]
        scale = scale * apart[i, ...]
    total = sum(c * moment for c, moment in zip(polynomial, moments[:-1], strict=True))
    return (total + moments[-1]) / scale


def _line(gap: Array, moments: Sequence[Array], start: int) -> Array:
    """Return the weights of `solve` for two nodes."""
    first, slope = moments
    away = -gap if start else gap  # from the other node to the start
    at_start, other = (away * first + slope) / away, slope / -away
    rows = [other, at_start] if start else [at_start, other]
    xp = namespace(first)
    return xp.reshape(xp.concat(rows), (2, -1))


@cache
def _pairs(count: int, start: int) -> list[tuple[int, int]]:
    """Return which nodes lie apart in `solve`: from the start to others, and from each to others.

    (count - 1, count) of both. Column j of row i is for w_j: the i-th of the nodes that are not its
    own.
    """
    others = [[i + (i >= j) for j in range(count)] for i in range(count - 1)]
    from_start = [(start, other) for row in others for other in row]
    return from_start + [(j, other) for row in others for j, other in enumerate(row)]
