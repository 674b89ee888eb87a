"""exp, log, square root and sine in double-double, on arrays of any library.

The steps of a schedule are computed with these, so that its constructors and operations are right
to about 2^-64, and what is read from it is rounded once. NumPy's are those of the platform's long
double where it has more digits than float64, but for the logarithm near 1, which is made of float64
on every platform: a long double's takes four times as long. All others are made of sums and
products alone, right to about 2^-68 in float64 (2^-38 in float32), so that gradients pass through
them.
"""

import math
from functools import cache

import numpy as np

from schedalg.arrays import Array, Namespace
from schedalg.schedule.double_double import (
    DoubleDouble,
    constant,
    cumulative_sum,
    divided,
    minus,
    negative,
    plus,
    product,
    renormalize,
    single,
    square,
    where,
)

#: Whether the platform's long double has enough digits to take the place of a double-double.
WIDE = np.finfo(np.longdouble).nmant >= 63
#: The logarithm of 2 and a quarter turn, beyond float64.
_LOG_2 = (math.log(2), 2.3190468138462996e-17)
HALF_PI = (math.pi / 2, 6.123233995736766e-17)
_SIXTH = (1 / 6, 9.25185853854297e-18)
#: How finely `_log_near_1` has logarithms in its table.
_PARTS = 2**11
#: What is added and subtracted to cut off what is below 2^-42.
_CUT = 1.5 * 2.0**10


def exp(xp: Namespace, x: DoubleDouble) -> DoubleDouble:
    """Return e^x, for x up to 700; 0 where it is below the smallest float."""
    if xp is np and WIDE:
        wide = np.exp(np.asarray(x.high, dtype=np.longdouble))
        return _narrow(wide + wide * x.low)
    dark = x.high < _least(xp, x.high)
    power, change = _reduced(xp, where(xp, dark, single(xp.zeros_like(x.high)), x))
    scaled = _scaled(plus(change, single(1.0)), power)
    return where(xp, dark, single(xp.zeros_like(x.high)), scaled)


def expm1(xp: Namespace, x: DoubleDouble) -> DoubleDouble:
    """Return e^x - 1, for x up to 700, without cancellation near 0."""
    if xp is np and WIDE:
        wide = np.expm1(np.asarray(x.high, dtype=np.longdouble))
        return _narrow(wide + (1 + wide) * x.low)
    dark = x.high < _least(xp, x.high)
    power, change = _reduced(xp, where(xp, dark, single(xp.zeros_like(x.high)), x))
    result = plus(_scaled(change, power), plus(single(power), single(-1.0)))
    return where(xp, dark, single(-xp.ones_like(x.high)), where(xp, power == 1, change, result))


def log(xp: Namespace, x: DoubleDouble | None, below_1: DoubleDouble) -> DoubleDouble:
    """Return log x, or `-inf` where x is 0.

    Args:
        xp: The arrays' namespace.
        x: At least 0; it counts where it is far from 1. None: it is computed where it counts.
        below_1: 1 - x, which counts where x is near 1; at most 1.
    """
    near = (below_1.high < 0.5) & (below_1.high > -1.0)
    if xp is np and np.count_nonzero(near) == near.size:
        return _log_near_1(below_1)
    if x is None:
        x = minus(single(1.0), below_1)
    if xp is np and WIDE:
        with np.errstate(divide="ignore"):
            far = _narrow(np.log(np.where(near, 1.0, _wide(x))))
        none = np.zeros_like(below_1.high)
        return where(np, near, _log_near_1(where(np, near, below_1, single(none))), far)
    zero, one = single(xp.zeros_like(x.high)), single(xp.ones_like(x.high))
    below_1 = where(xp, near, below_1, zero)
    empty = ~near & (x.high == 0)
    x = where(xp, near | empty, one, x)
    guess = single(xp.where(near, xp.log1p(-below_1.high), xp.log(x.high)))
    # A step of Newton's: the guess is right to a float, and so is what is left.
    grown, rest = exp(xp, guess), plus(expm1(xp, guess), below_1)
    rest = where(xp, near, negative(rest), minus(x, grown))
    result = renormalize(guess.high, rest.high / grown.high)
    return where(xp, empty, DoubleDouble(xp.full_like(result.high, -xp.inf), zero.high), result)


def _log_near_1(below_1: DoubleDouble) -> DoubleDouble:
    """Return log x for x in (0.5, 2) in NumPy's float64, given 1 - x.

    With c, a multiple of 1/2048 near 1/x: log x = -log c + log(1 + f), f = c x - 1, |f| <= 2^-11.
    """
    count = np.rint(_PARTS / (1.0 - below_1.high))
    place = count.astype(np.intp)
    place -= _PARTS // 2
    c = count * (1 / _PARTS)
    # f without what rounds it: c has few digits, and its product with as many of 1 - x is exact.
    upper = (below_1.high + _CUT) - _CUT
    lower = c * (below_1.high - upper)
    start = (c - 1.0) - c * upper
    f = start - lower
    rest = ((start - f) - lower) - c * below_1.low
    # log(1 + f) - f; the next term is at most 2^-69 of f.
    rest += f * f * (f * (1 / 3 - f * (1 / 4 - f * (1 / 5 - f * (1 / 6)))) - 0.5)
    table = _logarithms()
    high, low = table.high[place], table.low[place]
    total = high + f
    return renormalize(total, (f - (total - high)) + (low + rest))


@cache
def _logarithms() -> DoubleDouble:
    """Return -log of the multiples of 1/2048 from 1/2 to 2, read-only.

    The sums of log((k + 1)/k) = 2 artanh(z), z = 1/(2 k + 1), by its series.
    """
    z = divided(single(1.0), single(2.0 * np.arange(_PARTS // 2, 2 * _PARTS) + 1))
    square_ = z.high * z.high
    rest = z.high * square_ * (1 / 3 + square_ * (1 / 5 + square_ * (1 / 7)))
    logarithm = cumulative_sum(np, _scaled(plus(z, single(rest)), 2.0))
    at_1 = DoubleDouble(*(part[_PARTS // 2] for part in logarithm))
    table = minus(at_1, logarithm)
    for part in table:
        part.flags.writeable = False
    return table


def sin(xp: Namespace, x: DoubleDouble) -> DoubleDouble:
    """Return the sine of an angle in [0, π/2]."""
    if xp is np and WIDE:
        return _narrow(np.sin(_wide(x)))
    small = _scaled(x, 1 / 32)
    turn = square(small)
    fourth = turn.high * turn.high
    rest = fourth / 120 * (1 - turn.high / 42 * (1 - turn.high / 72 * (1 - turn.high / 110)))
    sixth = constant(xp, x.high, *_SIXTH)
    share = minus(plus(single(1.0), single(rest)), product(turn, sixth))
    sine = product(small, share)
    rest = fourth / 720 * (1 - turn.high / 56 * (1 - turn.high / 90))
    share = minus(plus(single(0.5), single(rest)), product(turn, _scaled(sixth, 0.25)))
    fall = product(turn, share)  # 1 - cosine
    for _ in range(5):
        sine, fall = (
            _scaled(product(sine, minus(single(1.0), fall)), 2.0),
            _scaled(square(sine), 2.0),
        )
    return sine


def _wide(x: DoubleDouble) -> np.ndarray:
    high: np.ndarray = np.asarray(x.high, dtype=np.longdouble)
    return high + np.asarray(x.low, dtype=np.longdouble)


def _narrow(x: np.ndarray) -> DoubleDouble:
    """Return a long double as the sum of two floats."""
    high = x.astype(np.float64)
    finite = np.isfinite(high)
    if np.count_nonzero(finite) == finite.size:
        return DoubleDouble(high, (x - high).astype(np.float64))
    with np.errstate(invalid="ignore"):  # the difference of two infinities
        low = (x - high).astype(np.float64)
    return DoubleDouble(high, np.where(finite, low, 0.0))


def _scaled(x: DoubleDouble, power: Array | float) -> DoubleDouble:
    """Return x times a power of two, which is exact."""
    return DoubleDouble(x.high * power, x.low * power)


def _least(xp: Namespace, x: Array) -> float:
    """Return the exponent below which e^x is smaller than floats are."""
    return -708.0 if x.dtype == xp.float64 else -87.0


def _reduced(xp: Namespace, x: DoubleDouble) -> tuple[Array, DoubleDouble]:
    """Return 2^k and e^r - 1, for the whole number k and the least r with x = k log 2 + r."""
    k = xp.round(x.high / math.log(2))
    rest = minus(x, product(constant(xp, x.high, *_LOG_2), single(k)))
    # e^r - 1 by its series at r/8, in double-double as far as that shows, and then doubled thrice.
    r = _scaled(rest, 0.125)
    tail = 0.0 * r.high
    for n in range(11, 3, -1):
        tail = (tail + 1 / math.factorial(n)) * r.high
    tail = tail * r.high * r.high
    head = plus(single(0.5), product(r, constant(xp, r.high, *_SIXTH)))
    change = plus(r, plus(product(square(r), head), single(tail * r.high)))
    for _ in range(3):
        change = product(change, plus(single(2.0), change))
    return _power_of_2(xp, k), change


def _power_of_2(xp: Namespace, k: Array) -> Array:
    """Return 2^k exactly for integers k; `pow` may be wrong in the last bit."""
    size, power = xp.abs(k), xp.ones_like(k)
    for bit in reversed(range(10 if k.dtype == xp.float64 else 7)):
        taken = size >= 2.0**bit
        power = xp.where(taken, power * 2.0 ** (2**bit), power)
        size = xp.where(taken, size - 2.0**bit, size)
    return xp.where(k < 0, 1 / power, power)
