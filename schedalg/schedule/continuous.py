"""The named schedules of continuous noise: `karras`, `exponential`, `polyexponential`, `flow`.

Their timesteps are the noise levels themselves. Each function is a constructor of `Schedule` (its
first argument), and is called as `Schedule.karras(10)`.
"""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Namespace
from schedalg.checks import positive_integer, positive_number, real_number
from schedalg.schedule import elementary, path
from schedalg.schedule.constructors import LARGEST_SIGMA, make
from schedalg.schedule.double_double import (
    DoubleDouble,
    concat,
    constant,
    divided,
    minus,
    plus,
    product,
    quotients,
    single,
    where,
)
from schedalg.schedule.scalars import Scalar, arrays_of, scalar, shift_factor

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def karras(
    cls: "type[Schedule]",
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> "Schedule":
    """Return the variance-exploding schedule of EDM: sigma^(1/rho) is evenly spaced.

    Args:
        n: Number of points.
        sigma_min: Sigma of the least noisy point.
        sigma_max: Sigma of the noisiest; the only one if `n` is 1.
        rho: Larger values give more points to small sigmas.

    Returns:
        A schedule of kind "ve", whose timesteps are sigma.

    Raises:
        TypeError: `n` is not an integer, or an argument is not a number.
        ValueError: `n` < 1, or not 1e-153 < sigma_min < sigma_max < 1e153, or `rho` is not in
            [0.1, 100].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.karras(4).to_sigmas().round(4)
        array([2.0000e-03, 4.7000e-01, 9.7232e+00, 8.0000e+01])

    Source: Karras et al., arXiv 2206.00364, equation 5.
    """
    ends = _sigma_range(sigma_min, sigma_max)
    n, power = positive_integer("n", n), _exponent(rho)
    xp, (low, high, by) = arrays_of(*ends, power)
    if n == 1:
        return _of_sigmas(cls, xp, high, single(xp.ones_like(high.high)))
    i, count = np.arange(n), n - 1
    # sigma^(1/rho) as a share x of that of the last: 1 - x is evenly spaced.
    ratio, gap = divided(low, high), divided(minus(high, low), high)
    start, whole = path.shares(xp, divided(elementary.log(xp, ratio, gap), by))[:2]
    # Far below what it is added to where it is smaller than floats are.
    least = constant(xp, low.high, path.smallest(xp, low.high), 0.0)
    start = where(xp, start.high > least.high, start, least)
    share, rest = (quotients(xp, low.high, part, count) for part in (i, count - i))
    x, below = plus(share, product(rest, start)), product(rest, whole)
    later = elementary.log(xp, path.inner(x), path.inner(below))
    sigma = concat(xp, low, product(high, elementary.exp(xp, product(by, later))))
    # From the constant step between them: neighbouring sigmas would cancel.
    lost = divided(divided(whole, single(float(count))), path.inner(x))
    fall = path.Fall(divided(path.before(x), path.inner(x)), lost)
    rise = path.fall_by(xp, product(by, fall.log(xp))).lost
    return _of_sigmas(cls, xp, sigma, rise)


def exponential(
    cls: "type[Schedule]", n: int, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> "Schedule":
    """Return the variance-exploding schedule whose log sigma is evenly spaced.

    Args:
        n: Number of points.
        sigma_min: Sigma of the least noisy point.
        sigma_max: Sigma of the noisiest; the only one if `n` is 1.

    Returns:
        A schedule of kind "ve", whose timesteps are sigma.

    Raises:
        TypeError: `n` is not an integer, or an argument is not a number.
        ValueError: `n` < 1, or not 1e-153 < sigma_min < sigma_max < 1e153.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.exponential(3, 0.01, 100.0).to_sigmas().round(6)
        array([1.e-02, 1.e+00, 1.e+02])

    Source: `get_sigmas_exponential` of k-diffusion.
    """
    return polyexponential(cls, n, sigma_min, sigma_max, rho=1.0)


def polyexponential(
    cls: "type[Schedule]",
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 1.0,
) -> "Schedule":
    """Return the variance-exploding schedule whose log sigma runs as a power `rho` of even spacing.

    Args:
        n: Number of points.
        sigma_min: Sigma of the least noisy point.
        sigma_max: Sigma of the noisiest; the only one if `n` is 1.
        rho: The power; larger values give more points to small sigmas.

    Returns:
        A schedule of kind "ve", whose timesteps are sigma.

    Raises:
        TypeError: `n` is not an integer, or an argument is not a number.
        ValueError: `n` < 1, or not 1e-153 < sigma_min < sigma_max < 1e153, or `rho` is not in
            [0.1, 100].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.polyexponential(3, 0.01, 100.0, rho=2.0).to_sigmas().round(6)
        array([1.e-02, 1.e-01, 1.e+02])

    Source: `get_sigmas_polyexponential` of k-diffusion.
    """
    ends = _sigma_range(sigma_min, sigma_max)
    n, power = positive_integer("n", n), _exponent(rho)
    xp, (low, high, by) = arrays_of(*ends, power)
    if n == 1:
        return _of_sigmas(cls, xp, high, single(xp.ones_like(high.high)))
    i, count = np.arange(1, n), n - 1
    ratio, gap = divided(low, high), divided(minus(high, low), high)
    span = elementary.log(xp, ratio, gap)
    # The last sigma over each, in logarithms: a power of i/(n - 1), below 1 by as much.
    share, rest = (quotients(xp, low.high, part, count) for part in (i, count - i))
    ramp = path.shares(xp, product(by, elementary.log(xp, share, rest)))
    from_end = concat(xp, single(xp.ones_like(span.high)), ramp.lost)
    sigma = product(high, elementary.exp(xp, product(span, from_end)))
    # ramp_s - ramp_t for s = t - 1, as a share of ramp_t: neighbouring sigmas would cancel.
    later = i[1:]
    earlier, below = (
        quotients(xp, low.high, part, later) for part in (later - 1, np.ones_like(later))
    )
    step = path.fall_by(xp, product(by, elementary.log(xp, earlier, below))).lost
    step = concat(xp, single(xp.ones_like(span.high)), step)
    rise = path.fall_by(xp, product(span, product(ramp.kept, step))).lost
    return _of_sigmas(cls, xp, sigma, rise)


def flow(cls: "type[Schedule]", n: int, shift: float = 1.0) -> "Schedule":
    """Return the straight path of flow matching: alpha = 1 - t, sigma = t, at t = 1/n, …, 1.

    The timesteps are t, and after a `shift` they are the points' new t.

    Args:
        n: Number of points; the last is pure noise.
        shift: The timestep shift of large images, t' = shift t / (1 + (shift - 1) t).

    Returns:
        A schedule of kind "flow", whose timesteps are t.

    Raises:
        TypeError: `n` is not an integer, or `shift` is not a number.
        ValueError: `n` < 1, or `shift` is not between 1e-60 and 1e60.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.flow(4).sigma
        array([0.25, 0.5 , 0.75, 1.  ])
        >>> Schedule.flow(4, shift=3.0).timesteps
        array([0.5 , 0.75, 0.9 , 1.  ])

    Source: Lipman et al., arXiv 2210.02747; shift: Esser et al., arXiv 2403.03206, equation 23.
    """
    n, factor = positive_integer("n", n), scalar("shift", shift, shift_factor)
    i, like = np.arange(n), np.ones(1)
    signal, noise = (quotients(np, like, part, n) for part in (n - 1 - i, i + 1))
    rise = quotients(np, like, n, (n - i) * (i + 1))
    log_alpha_bar = path.from_ratios(np, noise, signal, rise)
    schedule = make(cls, log_alpha_bar, "flow", None, default="flow_time")
    return schedule.shift(factor.source)


def _sigma_range(sigma_min: float, sigma_max: float) -> tuple[Scalar, Scalar]:
    low, high = scalar("sigma_min", sigma_min, _sigma), scalar("sigma_max", sigma_max, _sigma)
    if low.value is not None and high.value is not None and not low.value < high.value:
        raise ValueError(f"sigma_min must be below sigma_max, got {low.value!r} and {high.value!r}")
    return low, high


def _sigma(name: str, value: object) -> float:
    sigma = positive_number(name, value)
    if not 1 / LARGEST_SIGMA < sigma < LARGEST_SIGMA:
        raise ValueError(
            f"{name} must be between {1 / LARGEST_SIGMA:g} and {LARGEST_SIGMA:g}, got {sigma!r}"
        )
    return sigma


def _exponent(rho: float) -> Scalar:
    return scalar("rho", rho, _power)


def _power(name: str, value: object) -> float:
    number = real_number(name, value)
    if not 0.1 <= number <= 100:
        raise ValueError(f"{name} must be in [0.1, 100], got {number!r}")
    return number


def _of_sigmas(
    cls: "type[Schedule]", xp: Namespace, sigma: DoubleDouble, rise: DoubleDouble
) -> "Schedule":
    """Return the schedule of rising sigmas, given 1 - sigma_s / sigma_t of all steps but one."""
    if rise.high.shape[0] < sigma.high.shape[0]:
        rise = concat(xp, single(xp.ones_like(sigma.high[:1])), rise)
    return make(cls, path.from_sigmas(xp, sigma, rise), "ve", None, default="sigma")
