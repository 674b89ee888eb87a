"""Numbers held as the unevaluated sum of two floats: about 106 bits where float64 has 53.

A schedule stores log ᾱ. The betas of a respaced schedule are differences of such logarithms, often
a thousandth of their size, so that one float64 each would leave a relative error of 1e-13. With the
rounding errors kept beside the rounded sums, the differences are right to the last bits.

Source: T. J. Dekker, "A floating-point technique for extending the available precision",
Numer. Math. 18 (1971); T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product",
SIAM J. Sci. Comput. 26 (2005), algorithms 3.1 and 4.4.
"""

from typing import NamedTuple

import numpy as np
from array_api_compat import device

from schedalg.arrays import Array, Namespace


class Twofold(NamedTuple):
    """The number `high + low`, where `high` is that sum rounded. `-inf` has a `low` of 0."""

    high: Array
    low: Array


def rounding_error(a: Array, b: Array, total: Array) -> Array:
    """Return `(a + b) - total` exactly, for `total = a + b` as rounded."""
    part = total - a
    return (a - (total - part)) + (b - part)


def renormalize(high: Array, low: Array) -> Twofold:
    """Return `high + low` as a twofold number, for a `low` that is small beside `high`."""
    total = high + low
    return Twofold(total, low - (total - high))


def add(xp: Namespace, a: Twofold, b: Twofold) -> Twofold:
    """Return `a + b`, to a relative error of about 2^-105, for a finite `a`; `b` may be `-inf`."""
    finite = xp.isfinite(b.high)
    high = xp.where(finite, b.high, -a.high)
    total = a.high + high
    low_total = a.low + b.low
    low_error = rounding_error(a.low, b.low, low_total)
    once = renormalize(total, rounding_error(a.high, high, total) + low_total)
    twice = renormalize(once.high, once.low + low_error)
    return Twofold(xp.where(finite, twice.high, b.high), xp.where(finite, twice.low, b.low))


def subtract(xp: Namespace, a: Twofold, b: Twofold) -> Array:
    """Return `a - b` rounded to a single float, where `b` is finite and `a` may be `-inf`."""
    difference = a.high - b.high
    # In place of -inf, a finite number: inf - inf would be formed in the error, and in gradients.
    finite = xp.isfinite(a.high)
    high = xp.where(finite, a.high, b.high)
    error = rounding_error(high, -b.high, high - b.high)
    return difference + (error + (a.low - b.low))


def cumulative_sum(xp: Namespace, increments: Array) -> Twofold:
    """Return 0 and the running sums of the increments; the last increment may be `-inf`.

    Whatever order the library adds in, the difference between two neighbouring sums tells what its
    rounding lost there, and the running sum of the losses is the low part.
    """
    ends = bool(increments[-1] == -xp.inf)
    finite = increments[:-1] if ends else increments
    rough = xp.cumulative_sum(finite, dtype=finite.dtype, include_initial=True)
    after, before = rough[1:], -rough[:-1]
    step = after + before
    lost = (finite - step) - rounding_error(after, before, step)
    total = renormalize(rough, xp.cumulative_sum(lost, dtype=lost.dtype, include_initial=True))
    if not ends:
        return total
    zero = xp.zeros_like(increments[-1:])
    return Twofold(xp.concat([total.high, increments[-1:]]), xp.concat([total.low, zero]))


def take(value: Twofold, index: slice) -> Twofold:
    """Return the entries of a slice."""
    return Twofold(value.high[index], value.low[index])


def concat(xp: Namespace, first: Twofold, second: Twofold) -> Twofold:
    """Return the entries of both, one after the other."""
    return Twofold(
        xp.concat([first.high, second.high]),
        xp.concat([first.low, second.low]),
    )


def gather(xp: Namespace, value: Twofold, index: np.ndarray) -> Twofold:
    """Return the entries at host indices."""
    if xp is not np:
        index = xp.asarray(index, device=device(value.high))
    return Twofold(xp.take(value.high, index), xp.take(value.low, index))
