"""The φ functions of exponential integrators."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from schedalg.arrays import Array, Namespace, device, holds


def phi(xp: Namespace, k: int, z: Array) -> Array:
    """Return φ_k(z); see `phis`."""
    return phis(xp, (k,), z)[0]


def phis(xp: Namespace, orders: Sequence[int], z: Array) -> list[Array]:
    """Return φ_k(z) = ∫_0^1 e^((1-u) z) u^(k-1) / (k-1)! du, for k ≥ 1 and real z, to a few ulp.

    φ_1(z) = (e^z - 1) / z and φ_{k+1}(z) = (φ_k(z) - 1/k!) / z. Near 0 that cancels, and the series
    Σ z^n / (n+k)! is used.

    Args:
        xp: The array's namespace.
        orders: Each k, rising.
        z: (N,).

    Source: Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 19 (2010), equation
    2.10.
    """
    small = xp.abs(z) <= 3
    near = xp.where(small, z, 0.0)
    # The series of every k at once, in four parts by the power modulo 4, each one in z^4.
    terms = _inverse_factorials(tuple(orders))
    if xp is not np:
        terms = xp.asarray(terms, dtype=z.dtype, device=device(z), copy=True)
    # Of as many numbers as there are results, so that nothing is broadcast in the sum.
    count = len(orders)
    terms = xp.reshape(terms * xp.ones_like(z), (terms.shape[0], -1))
    square = near * near
    fourth, total = xp.concat([square * square] * (4 * count)), terms[0, ...]
    for n in range(1, terms.shape[0]):
        total = total * fourth + terms[n, ...]
    parts = xp.reshape(total, (2, 2, count, -1))  # of the powers 0 and 2, and of 1 and 3
    half = parts[0, ...] + near * parts[1, ...]
    rows = half[0, ...] + square * half[1, ...]
    series = [rows[i, ...] for i in range(count)]
    if holds(small, unseen=False).all():
        return series
    far = xp.where(small, 4.0, z)
    value = xp.expm1(far) / far
    values = [value]
    for j in range(1, max(orders)):
        value = (value - 1 / math.factorial(j)) / far
        values.append(value)
    return [xp.where(small, sum_, values[k - 1]) for k, sum_ in zip(orders, series, strict=True)]


@cache
def _inverse_factorials(orders: tuple[int, ...]) -> np.ndarray:
    """Return 1/(n+k)! for each k and n = 4 m + r, (9, 4 orders, 1).

    In the order m = 8, …, 0, and for each r = 0, 2, 1, 3, and for each k.
    """
    terms = [
        [1 / math.factorial(4 * m + r + k) for r in (0, 2, 1, 3) for k in orders]
        for m in range(8, -1, -1)
    ]
    table: np.ndarray = np.array(terms)[..., None]
    table.flags.writeable = False
    return table
