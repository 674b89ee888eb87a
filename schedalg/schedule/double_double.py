"""Numbers held as the unevaluated sum of two floats: about 106 bits where float64 has 53.

A schedule stores log ᾱ. The betas of a respaced schedule are differences of such logarithms, often
a thousandth of their size, so that one float64 each would leave a relative error of 1e-13. With the
rounding errors stored with the rounded sums, the differences are right to the last bits.

Source: T. J. Dekker, "A floating-point technique for extending the available precision",
Numer. Math. 18 (1971); T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product",
SIAM J. Sci. Comput. 26 (2005), algorithms 3.1 and 4.4.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, Namespace, device, has_values, to_host


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


def single(value: Array | float) -> DoubleDouble:
    """Return a finite float, or an array of them, as a double-double number."""
    return DoubleDouble(value, value - value)


def constant(xp: Namespace, like: Array, high: float, low: float) -> DoubleDouble:
    """Return a number given in two float64, in the dtype and on the device of an array."""
    return on_device_of(xp, like, DoubleDouble(np.asarray([high]), np.asarray([low])))


def on_device_of(xp: Namespace, like: Array, value: DoubleDouble) -> DoubleDouble:
    """Return NumPy numbers in the dtype and on the device of an array of any library."""
    if xp is np and like.dtype == np.float64:
        return value
    high, low = value
    if like.dtype != xp.float64:
        short = high.astype(np.float32).astype(np.float64)
        finite = np.isfinite(short)
        low = np.where(finite, low + (np.where(finite, high, 0.0) - np.where(finite, short, 0)), 0)
    return DoubleDouble(
        *(
            xp.asarray(part, dtype=like.dtype, device=device(like), copy=True)
            for part in (high, low)
        )
    )


def on_host(value: DoubleDouble) -> DoubleDouble:
    """Return numbers of any library as two float64 arrays of NumPy, without a gradient."""
    high, low = (to_host(part).astype(np.float64) for part in value)
    finite = np.isfinite(high)
    total = renormalize(np.where(finite, high, 0.0), low)
    return DoubleDouble(np.where(finite, total.high, high), total.low)


def quotients(xp: Namespace, like: Array, counts: Any, totals: Any) -> DoubleDouble:
    """Return quotients of whole numbers, in the dtype and on the device of an array."""
    counts, totals = (np.asarray(part, dtype=np.float64) for part in (counts, totals))
    return on_device_of(xp, like, divided(single(counts), single(totals)))


def negative(a: DoubleDouble) -> DoubleDouble:
    """Return `-a`."""
    return DoubleDouble(-a.high, -a.low)


def plus(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a + b` of finite numbers, to about 2^-105 of the larger."""
    total = a.high + b.high
    return renormalize(total, rounding_error(a.high, b.high, total) + (a.low + b.low))


def minus(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a - b` of finite numbers, to about 2^-105 of the larger."""
    total = a.high - b.high
    part = total - a.high
    error = (a.high - (total - part)) - (b.high + part)
    return renormalize(total, error + (a.low - b.low))


def product(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a b` of numbers below 1e300, to a relative error of about 2^-104."""
    result, lost = _exact_product(a.high, b.high)
    return renormalize(result, lost + (a.high * b.low + a.low * b.high))


def multiples(a: DoubleDouble, counts: Array) -> DoubleDouble:
    """Return whole numbers below 2^26 times a float64, to 2^-79: fit to be added, not normalized.

    Args:
        a: The number.
        counts: Floats. They need no more digits than are cut off of `a`, whose product is exact.
    """
    upper, lower = _halves(a.high)
    return DoubleDouble(upper * counts, (lower + a.low) * counts)


def square(a: DoubleDouble) -> DoubleDouble:
    """Return `a²`, as `product`."""
    return product(a, a)


def divided(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a / b` of numbers below 1e300, to a relative error of about 2^-103."""
    quotient = a.high / b.high
    back, lost = _exact_product(quotient, b.high)
    rest = ((a.high - back) - lost) + (a.low - quotient * b.low)
    return renormalize(quotient, rest / b.high)


def root(xp: Namespace, a: DoubleDouble) -> DoubleDouble:
    """Return the square root of positive numbers, to a relative error of about 2^-104."""
    result = xp.sqrt(a.high)
    back, lost = _exact_product(result, result)
    return renormalize(result, (((a.high - back) - lost) + a.low) / (2 * result))


def where(xp: Namespace, chosen: Array, a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a` where chosen, else `b`."""
    return DoubleDouble(xp.where(chosen, a.high, b.high), xp.where(chosen, a.low, b.low))


def _exact_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return `a b` as rounded, and exactly what was lost (Dekker's)."""
    result = a * b
    (a, a_low), (b, b_low) = _halves(a), _halves(b)
    return result, ((a * b - result) + a * b_low + a_low * b) + a_low * b_low


def _halves(a: Array) -> tuple[Array, Array]:
    """Return a as the sum of two numbers of half as many digits."""
    dtype: Any = getattr(a, "dtype", None)
    large = _splitting(type(dtype).__module__, dtype) * a
    high = large - (large - a)
    return high, a - high


@cache
def _splitting(library: str, dtype: Any) -> float:
    """Return 1 and a power of two, by which half the digits are cut off.

    Args:
        library: Whose dtype it is: those of two are not to be compared.
        dtype: None for a float of Python's.
    """
    return 4097.0 if str(dtype).endswith("float32") else 134217729.0


def add(xp: Namespace, a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Return `a + b`, to a relative error of about 2^-105, for a finite `a`; `b` may be `-inf`."""
    finite = xp.isfinite(b.high)
    high = xp.where(finite, b.high, -a.high)
    total = a.high + high
    sum_ = renormalize(total, rounding_error(a.high, high, total) + (a.low + b.low))
    return DoubleDouble(xp.where(finite, sum_.high, b.high), xp.where(finite, sum_.low, b.low))


def differences(xp: Namespace, values: DoubleDouble) -> DoubleDouble:
    """Return how far each entry is below the one before it; that of a last `-inf` is `-inf`."""
    after, before = take(values, slice(1, None)), take(values, slice(-1))
    return add(xp, negative(before), after)


def subtract(xp: Namespace, a: DoubleDouble, b: DoubleDouble) -> Array:
    """Return `a - b` rounded to a single float, where `b` is finite and `a` may be `-inf`."""
    difference = a.high - b.high
    # In place of -inf, a finite number: inf - inf would be formed in the error, and in gradients.
    finite = xp.isfinite(a.high)
    high = xp.where(finite, a.high, b.high)
    error = rounding_error(high, -b.high, high - b.high)
    return difference + (error + (a.low - b.low))


def cumulative_sum(xp: Namespace, increments: DoubleDouble, *, fine: bool = False) -> DoubleDouble:
    """Return 0 and the running sums of the increments; the last increment may be `-inf`.

    The running sum of what each addition lost is the low part. (In whatever order the library adds:
    the loss is found from two neighbouring sums and the increment between them.) Where some
    increments are tiny against the sum, `fine` keeps what the sum of the losses itself loses.
    """
    if not has_values(increments.high):
        return _traced_sum(xp, increments)
    ends = bool(increments.high[-1] == -xp.inf)
    total = _finite_sum(xp, take(increments, slice(-1)) if ends else increments, fine)
    return concat(xp, total, take(increments, slice(-1, None))) if ends else total


def _traced_sum(xp: Namespace, increments: DoubleDouble) -> DoubleDouble:
    """Return the fine running sums, where it cannot be seen whether the last increment is -inf."""
    last = take(increments, slice(-1, None))
    finite = xp.isfinite(last.high)
    rest = where(xp, finite, last, single(xp.zeros_like(last.high)))
    total = _finite_sum(xp, concat(xp, take(increments, slice(-1)), rest), fine=True)
    end = where(xp, finite, take(total, slice(-1, None)), DoubleDouble(last.high, rest.low))
    return concat(xp, take(total, slice(-1)), end)


def _finite_sum(xp: Namespace, finite: DoubleDouble, fine: bool) -> DoubleDouble:
    rough = _running_sum(xp, finite.high)
    lost = rounding_error(rough[:-1], finite.high, rough[1:]) + finite.low
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
    if xp is np:
        return DoubleDouble(value.high.take(index), value.low.take(index))
    index = xp.asarray(index, device=device(value.high))
    return DoubleDouble(xp.take(value.high, index), xp.take(value.low, index))
