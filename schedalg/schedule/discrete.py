"""The named schedules of discrete steps: `linear`, `cosine`, `sigmoid`, ...

Each function is a constructor of `Schedule` (its first argument), and is called as
`Schedule.linear(1000)`. The closed forms are arranged so that each β is exact to a few ulp: a named
schedule is the mathematical one, not the one that a rounded cumulative product leaves.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Namespace, device
from schedalg.checks import in_unit, positive_integer, real_number
from schedalg.schedule import elementary, path
from schedalg.schedule.constructors import capped, from_exact_betas, make
from schedalg.schedule.double_double import (
    DoubleDouble,
    constant,
    divided,
    minus,
    multiples,
    plus,
    product,
    quotients,
    root,
    single,
    square,
    where,
)
from schedalg.schedule.scalars import Scalar, arrays_of, scalar

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def linear(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule of DDPM: n betas, evenly spaced from `beta_start` to `beta_end`.

    For n other than 1000 these betas are those of diffusers. OpenAI's code multiplies both by
    1000/n, so that ᾱ ends where it does for 1000: `linear(n, 0.1 / n, 20 / n)`.

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

    Raises:
        TypeError: `n` is not an integer, or a beta is not a number.
        ValueError: `n` < 1, or a beta is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.linear(1000)
        <Schedule vp: 1000 points, timesteps 0 … 999, log SNR 9.210 … -10.118>

    Source: Ho et al., arXiv 2006.11239, section 4.
    """
    xp, (start, end) = _numbers_of(*_range(beta_start, beta_end))
    return from_exact_betas(cls, _evenly(xp, start, end, positive_integer("n", n)))


def scaled_linear(
    cls: "type[Schedule]", n: int, beta_start: float = 0.00085, beta_end: float = 0.012
) -> "Schedule":
    """Return the schedule of latent diffusion: the square roots of the betas are evenly spaced.

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

    Raises:
        TypeError: `n` is not an integer, or a beta is not a number.
        ValueError: `n` < 1, or a beta is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.scaled_linear(3).to_betas().round(6)
        array([0.00085 , 0.004809, 0.012   ])

    Source: Rombach et al., arXiv 2112.10752; its released code.
    """
    xp, ends = _numbers_of(*_range(beta_start, beta_end))
    start, end = (root(xp, beta) for beta in ends)
    return from_exact_betas(cls, square(_evenly(xp, start, end, positive_integer("n", n))))


def cosine(cls: "type[Schedule]", n: int, s: float = 0.008, max_beta: float = 0.999) -> "Schedule":
    """Return the cosine schedule: ᾱ(t) ∝ cos²(π/2 (t + s) / (1 + s)), with β at most `max_beta`.

    1 - cos²b / cos²a = sin(b - a) sin(b + a) / cos²a, where a and b are the angles at a step's
    ends.

    Args:
        n: Number of steps.
        s: Offset that keeps the first β from vanishing.
        max_beta: The largest β; it bounds the last step, whose own β is 1.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

    Raises:
        TypeError: `n` is not an integer, or an argument is not a number.
        ValueError: `n` < 1, `s` is not in [0, 1000], or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.cosine(1000)
        <Schedule vp: 1000 points, timesteps 0 … 999, log SNR 10.095 … -19.836>

    Source: Nichol and Dhariwal, arXiv 2102.09672, equation 17.
    """
    n = positive_integer("n", n)
    xp, (shift, limit) = arrays_of(scalar("s", s, _offset), scalar("max_beta", max_beta, in_unit))
    half_turn = constant(xp, shift.high, *elementary.HALF_PI)
    quarter = divided(half_turn, plus(single(1.0), shift))

    def parts(i: np.ndarray) -> DoubleDouble:
        return quotients(xp, shift.high, i, n)

    i = np.arange(n)
    middle = product(plus(parts(2 * i + 1), plus(shift, shift)), quarter)
    # The angles from the other end, where the cosine vanishes.
    a_left, b_left = product(parts(n - i), quarter), product(parts(n - 1 - i), quarter)
    middle = where(xp, middle.high < half_turn.high, middle, plus(a_left, b_left))
    sines = (elementary.sin(xp, angle) for angle in (middle, a_left, b_left))
    sin_sum, cos_a, cos_b = sines
    step = elementary.sin(xp, product(parts(np.array([1])), quarter))
    fall = path.Fall(square(divided(cos_b, cos_a)), divided(product(step, sin_sum), square(cos_a)))
    return make(cls, path.from_falls(xp, capped(xp, fall, limit)), "vp", None)


def sigmoid(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule whose betas follow a sigmoid over [-6, 6], from start to end.

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

    Raises:
        TypeError: `n` is not an integer, or a beta is not a number.
        ValueError: `n` < 1, or a beta is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.sigmoid(3).to_betas().round(6)
        array([0.000149, 0.01005 , 0.019951])

    Source: Xu et al. (GeoDiff), arXiv 2203.02923; its released code.
    """
    n = positive_integer("n", n)
    xp, (start, end) = arrays_of(*_range(beta_start, beta_end))
    i = np.arange(n)
    place = quotients(xp, start.high, 12 * i - 6 * max(n - 1, 1), max(n - 1, 1))
    grown = elementary.exp(xp, place)
    total = plus(single(1.0), grown)
    # Both shares are sums without cancellation, whichever end is the larger.
    mixed = plus(product(divided(grown, total), end), divided(start, total))
    return from_exact_betas(cls, mixed)


def laplace(cls: "type[Schedule]", n: int, max_beta: float = 0.999) -> "Schedule":
    """Return the Laplace schedule as diffusers defines it.

    log SNR(t) = -½ sgn(½ - t) log(1 - 2|½ - t| + 1e-6), and ᾱ(t) ∝ sqrt(SNR / (1 + SNR)).

    The square root is theirs, and what their checkpoints were trained with; the paper has none.

    Args:
        n: Number of steps.
        max_beta: The largest β, which keeps the last steps from destroying the signal.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: `n` < 1, or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.laplace(4).to_alphas_cumprod().round(4)
        array([0.7657, 0.7075, 0.6439, 0.0316])

    Source: Hang et al., arXiv 2407.03297.
    """
    n = positive_integer("n", n)
    xp, (limit,) = arrays_of(scalar("max_beta", max_beta, in_unit))
    i = np.arange(n + 1)
    tiny = constant(xp, limit.high, 1e-6, 0.0)
    # 1 - 2|½ - t| + 1e-6, whose root is the SNR, or its inverse before the middle.
    depth = plus(quotients(xp, limit.high, 2 * np.minimum(i, n - i), n), tiny)
    size, one = root(xp, depth), single(xp.ones_like(depth.high))
    early = xp.asarray(2 * i <= n, device=device(limit.high))
    noise, signal = where(xp, early, size, one), where(xp, early, one, size)
    share = divided(signal, plus(noise, signal))
    # 1 - SNR_t/SNR_s: by the difference of the depths, which is 2/n but in the middle.
    s, t = path.before(depth), path.inner(depth)
    one = path.before(one)
    early, late = early[1:], ~early[:-1]
    ratio = where(xp, early, divided(s, t), where(xp, late, divided(t, s), product(s, t)))
    width = quotients(xp, limit.high, np.full(n, 2), n)
    lost = divided(width, where(xp, early, t, s))
    lost = where(xp, early | late, lost, minus(one, ratio))
    drop = divided(lost, plus(one, root(xp, ratio)))
    # The root of SNR/(1 + SNR) falls by this.
    lost = product(path.inner(divided(noise, plus(noise, signal))), drop)
    kept = root(xp, divided(path.inner(share), path.before(share)))
    fall = path.Fall(kept, divided(lost, plus(one, kept)))
    return make(cls, path.from_falls(xp, capped(xp, fall, limit)), "vp", None)


def exp(cls: "type[Schedule]", n: int, max_beta: float = 0.999) -> "Schedule":
    """Return the schedule of equal betas, with ᾱ(t) = e^(-12 t).

    Args:
        n: Number of steps.
        max_beta: The largest β, which keeps the last steps from destroying the signal.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: `n` < 1, or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.exp(1000).to_betas()[:2].round(6)
        array([0.011928, 0.011928])

    Source: `alpha_transform_type="exp"` of diffusers.
    """
    n = positive_integer("n", n)
    xp, (limit,) = arrays_of(scalar("max_beta", max_beta, in_unit))
    fall = path.fall_by(xp, quotients(xp, limit.high, np.full(n, -12.0), n))
    return make(cls, path.from_falls(xp, capped(xp, fall, limit)), "vp", None)


def _evenly(xp: Namespace, start: DoubleDouble, end: DoubleDouble, n: int) -> DoubleDouble:
    """Return n evenly spaced numbers, from exactly start to exactly end; start alone if n is 1.

    They are the smaller end and multiples of a step, a sum without cancellation.
    """
    if xp is not np:
        i, count = np.arange(n), max(n - 1, 1)
        shares = (quotients(xp, start.high, j, count) for j in (count - i, i))
        return plus(*(product(end, share) for end, share in zip((start, end), shares, strict=True)))
    rises = start.high <= end.high
    least, most = (start, end) if rises else (end, start)
    step = divided(minus(most, least), single(float(max(n - 1, 1))))
    i = _counted(n, rises)
    high, low = plus(least, multiples(step, i))
    place = -1 if rises or n == 1 else 0
    high[place], low[place] = most if n > 1 else start
    return DoubleDouble(high, low)


@lru_cache(maxsize=8)
def _counted(n: int, rises: bool) -> np.ndarray:
    """Return 0, 1, …, n - 1, or the same from the end; read-only."""
    i = np.arange(n, dtype=np.float64)
    i = i if rises else i[::-1].copy()
    i.flags.writeable = False
    return i


def _offset(name: str, value: object) -> float:
    number = real_number(name, value)
    if not 0 <= number <= 1000:
        raise ValueError(f"{name} must be in [0, 1000], got {number!r}")
    return number


def _range(beta_start: float, beta_end: float) -> tuple[Scalar, Scalar]:
    return scalar("beta_start", beta_start, in_unit), scalar("beta_end", beta_end, in_unit)


def _numbers_of(*scalars: Scalar) -> tuple[Namespace, list[DoubleDouble]]:
    """Return numbers as `arrays_of` does, but plain ones as floats."""
    if {type(scalar.source) for scalar in scalars} == {float}:
        return np, [single(scalar.source) for scalar in scalars]
    return arrays_of(*scalars)
