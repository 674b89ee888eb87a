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
    # The series of every k at once, one after the other.
    count = len(orders)
    terms = _inverse_factorials(tuple(orders))
    if xp is not np:
        terms = xp.asarray(terms, dtype=z.dtype, device=device(z), copy=True)
    terms = xp.reshape(terms * xp.ones_like(z), (terms.shape[0], -1))
    points, total = xp.concat([near] * count), terms[0, ...]
    for n in range(1, terms.shape[0]):
        total = total * points + terms[n, ...]
    rows = xp.reshape(total, (count, -1))
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
    """Return 1/(n+k)! for n = 33, …, 0 and each k, (34, orders, 1)."""
    terms = [[1 / math.factorial(n + k) for k in orders] for n in range(33, -1, -1)]
    table: np.ndarray = np.array(terms)[:, :, None]
    table.flags.writeable = False
    return table
