"""The φ functions of exponential integrators."""

import math

from schedalg.arrays import Array, Namespace


def phi(xp: Namespace, k: int, z: Array) -> Array:
    """Return φ_k(z) = ∫_0^1 e^((1-u) z) u^(k-1) / (k-1)! du, for k ≥ 1 and real z, to a few ulp.

    φ_1(z) = (e^z - 1) / z and φ_{k+1}(z) = (φ_k(z) - 1/k!) / z. Near 0 that cancels, and the series
    Σ z^n / (n+k)! is used.

    Source: Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 19 (2010), equation
    2.10.
    """
    small = xp.abs(z) <= 3
    near, far = xp.where(small, z, 0.0), xp.where(small, 4.0, z)
    series = xp.zeros_like(z)
    for n in range(33, -1, -1):
        series = series * near + 1 / math.factorial(n + k)
    value = xp.expm1(far) / far
    for j in range(1, k):
        value = (value - 1 / math.factorial(j)) / far
    return xp.where(small, series, value)
