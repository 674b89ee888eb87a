"""Numbers held as the unevaluated sum of two floats: about 106 bits where float64 has 53.

A schedule stores log ᾱ. The betas of a respaced schedule are differences of such logarithms, often
a thousandth of their size, so that one float64 each would leave a relative error of 1e-13. With the
rounding errors stored with the rounded sums, the differences are right to the last bits.

Source: T. J. Dekker, "A floating-point technique for extending the available precision",
Numer. Math. 18 (1971); T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product",
SIAM J. Sci. Comput. 26 (2005), algorithms 3.1 and 4.4.
"""

from typing import NamedTuple

import numpy as np

from schedalg.arrays import Array, Namespace, device, has_values


class DoubleDouble(NamedTuple):
    """The number `high + low`, where `high` is that sum rounded. `-inf` has a `low` of 0."""

    high: Array
    low: Array


def rounding_error(a: Array, b: Array, total: Array) -> Array:
    """Return `(a + b) - total` exactly, for `total = a + b` as rounded."""
    part = total - a
    return (a - (total - part)) + (b - part)


def renormalize(high: Array, low: Array) -> DoubleDouble:
    """Return `high + low` as a double_double number, for a `low` that is small against `high`."""
    total = high + low
    return DoubleDouble(total, low - (total - high))


def add(xp: Namespace, a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a + b`, to a relative error of about 2^-105, for a finite `a`; `b` may be `-inf`."""
    finite = xp.isfinite(b.high)
    high = xp.where(finite, b.high, -a.high)
    total = a.high + high
    sum_ = renormalize(total, rounding_error(a.high, high, total) + (a.low + b.low))
    return DoubleDouble(xp.where(finite, sum_.high, b.high), xp.where(finite, sum_.low, b.low))


def subtract(xp: Namespace, a: DoubleDouble, b: DoubleDouble) -> Array:
    """Return `a - b` rounded to a single float, where `b` is finite and `a` may be `-inf`."""
    difference = a.high - b.high
    # In place of -inf, a finite number: inf - inf would be formed in the error, and in gradients.
    finite = xp.isfinite(a.high)
    high = xp.where(finite, a.high, b.high)
    error = rounding_error(high, -b.high, high - b.high)
    return difference + (error + (a.low - b.low))


def cumulative_sum(xp: Namespace, increments: Array, *, fine: bool = False) -> DoubleDouble:
    """Return 0 and the running sums of the increments; the last increment may be `-inf`.

    The running sum of what each addition lost is the low part. (In whatever order the library adds:
    the loss is found from two neighbouring sums and the increment between them.) Where some
    increments are tiny against the sum, `fine` keeps what the sum of the losses itself loses.
    """
    if not has_values(increments):
        return _traced_sum(xp, increments)
    ends = bool(increments[-1] == -xp.inf)
    finite = increments[:-1] if ends else increments
    total = _finite_sum(xp, finite, fine)
    if not ends:
        return total
    zero = xp.zeros_like(increments[-1:])
    return DoubleDouble(xp.concat([total.high, increments[-1:]]), xp.concat([total.low, zero]))


def _traced_sum(xp: Namespace, increments: Array) -> DoubleDouble:
    """Return the fine running sums, where it cannot be seen whether the last increment is -inf."""
    last = increments[-1:]
    finite = xp.isfinite(last)
    rest = xp.where(finite, last, xp.zeros_like(last))
    high, low = _finite_sum(xp, xp.concat([increments[:-1], rest]), fine=True)
    ends = xp.where(finite, high[-1:], last), xp.where(finite, low[-1:], xp.zeros_like(last))
    return DoubleDouble(xp.concat([high[:-1], ends[0]]), xp.concat([low[:-1], ends[1]]))


def _finite_sum(xp: Namespace, finite: Array, fine: bool) -> DoubleDouble:
    rough = _running_sum(xp, finite)
    lost = rounding_error(rough[:-1], finite, rough[1:])
    low = _running_sum(xp, lost)
    total = renormalize(rough, low)
    if fine:
        lost_again = rounding_error(low[:-1], lost, low[1:])
        total = renormalize(total.high, total.low + _running_sum(xp, lost_again))
    return total


def _running_sum(xp: Namespace, values: Array) -> Array:
    """Return 0 and the rounded running sums."""
    if xp is not np:
        return xp.cumulative_sum(values, dtype=values.dtype, include_initial=True)
    # NumPy's function of that name takes twice the time, most of it in making the first 0.
    total = np.zeros(len(values) + 1)
    np.add.accumulate(values, out=total[1:])
    return total


def take(value: DoubleDouble, index: slice) -> DoubleDouble:
    """Return the entries of a slice."""
    return DoubleDouble(value.high[index], value.low[index])


def concat(xp: Namespace, first: DoubleDouble, second: DoubleDouble) -> DoubleDouble:
    """Return the entries of both, one after the other."""
    return DoubleDouble(
        xp.concat([first.high, second.high]),
        xp.concat([first.low, second.low]),
    )


def gather(xp: Namespace, value: DoubleDouble, index: np.ndarray) -> DoubleDouble:
    """Return the entries at host indices."""
    if xp is not np:
        index = xp.asarray(index, device=device(value.high))
    return DoubleDouble(xp.take(value.high, index), xp.take(value.low, index))
