"""The named schedules of continuous noise: `karras`, `exponential`, `polyexponential`, `flow`.

Their timesteps are the noise levels themselves. Each function is a constructor of `Schedule` (its
first argument), and is called as `Schedule.karras(10)`.
"""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.checks import positive_integer, positive_number, real_number
from schedalg.schedule import path
from schedalg.schedule.constructors import LARGEST_SIGMA, from_sigmas, make
from schedalg.schedule.transforms import checked_factor

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: A power multiplies the rounding error of its base: where the platform has more digits than
#: float64, grids of sigmas are computed with them, and rounded once.
_WIDE = np.longdouble


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
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, or not 1e-153 < sigma_min < sigma_max < 1e153, or `rho` is not in
            [0.1, 100].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.karras(4).to_sigmas().round(4)
        array([2.0000e-03, 4.7000e-01, 9.7232e+00, 8.0000e+01])

    Source: Karras et al., arXiv 2206.00364, equation 5.
    """
    low, high = _sigma_range(sigma_min, sigma_max)
    n, rho = positive_integer("n", n), _exponent(rho)
    if n == 1:
        return from_sigmas(cls, [high])
    power = 1 / _WIDE(rho)
    start, end = _WIDE(low) ** power, _WIDE(high) ** power
    root = start + np.arange(n, dtype=_WIDE) / (n - 1) * (end - start)
    # From the constant step between the roots: neighbouring sigmas would cancel.
    with np.errstate(divide="ignore"):  # a first sigma that is negligible against the second
        log_ratio = rho * np.log1p((start - end) / (n - 1) / root[1:])
    return _from_log_ratio(cls, root**rho, log_ratio, low, high)


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
        TypeError: `n` is no integer, or an argument no number.
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
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, or not 1e-153 < sigma_min < sigma_max < 1e153, or `rho` is not in
            [0.1, 100].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.polyexponential(3, 0.01, 100.0, rho=2.0).to_sigmas().round(6)
        array([1.e-02, 1.e-01, 1.e+02])

    Source: `get_sigmas_polyexponential` of k-diffusion.
    """
    low, high = _sigma_range(sigma_min, sigma_max)
    n, rho = positive_integer("n", n), _exponent(rho)
    if n == 1:
        return from_sigmas(cls, [high])
    span = np.log(_WIDE(high) / _WIDE(low))
    i = np.arange(n, dtype=_WIDE)
    ramp = (i / (n - 1)) ** rho
    # ramp_s - ramp_t for s = t - 1, as a share of ramp_t: neighbouring sigmas would cancel.
    share = np.concatenate([[-1.0], np.expm1(rho * np.log1p(-1 / i[2:]))])
    return _from_log_ratio(cls, low * np.exp(ramp * span), span * ramp[1:] * share, low, high)


def flow(cls: "type[Schedule]", n: int, shift: float = 1.0) -> "Schedule":
    """Return the straight path of flow matching: alpha = 1 - t, sigma = t, at t = 1/n, …, 1.

    The timesteps are t, and after a `shift` they are the points' new t.

    Args:
        n: Number of points; the last is pure noise.
        shift: The timestep shift of large images, t' = shift t / (1 + (shift - 1) t).

    Returns:
        A schedule of kind "flow", whose timesteps are t.

    Raises:
        TypeError: `n` is no integer, or `shift` no number.
        ValueError: `n` < 1, or `shift` is not between 1e-60 and 1e60.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.flow(4).sigma
        array([0.25, 0.5 , 0.75, 1.  ])
        >>> Schedule.flow(4, shift=3.0).timesteps
        array([0.5 , 0.75, 0.9 , 1.  ])

    Source: Lipman et al., arXiv 2210.02747; shift: Esser et al., arXiv 2403.03206, equation 23.
    """
    n, shift = positive_integer("n", n), checked_factor("shift", shift)
    i = np.arange(n, dtype=np.float64)
    signal, noise = (n - 1 - i) / n, (i + 1) / n
    fall = n / ((n - i) * (i + 1))
    variance = noise**2 / (noise**2 + signal**2)
    with np.errstate(divide="ignore"):  # zero signal at t = 1: log ᾱ = -inf
        log_alphas_cumprod = -np.log1p((noise / signal) ** 2)
    log_alpha_bar = path.from_snr(np, variance, fall * (2 - fall), log_alphas_cumprod)
    schedule = make(cls, log_alpha_bar, "flow", None, default="flow_time")
    return schedule.shift(shift)


def _sigma_range(sigma_min: float, sigma_max: float) -> tuple[float, float]:
    low, high = positive_number("sigma_min", sigma_min), positive_number("sigma_max", sigma_max)
    for name, sigma in (("sigma_min", low), ("sigma_max", high)):
        if not 1 / LARGEST_SIGMA < sigma < LARGEST_SIGMA:
            raise ValueError(
                f"{name} must be between {1 / LARGEST_SIGMA:g} and {LARGEST_SIGMA:g}, got {sigma!r}"
            )
    if not low < high:
        raise ValueError(f"sigma_min must be below sigma_max, got {low!r} and {high!r}")
    return low, high


def _exponent(rho: float) -> float:
    number = real_number("rho", rho)
    if not 0.1 <= number <= 100:
        raise ValueError(f"rho must be in [0.1, 100], got {number!r}")
    return number


def _from_log_ratio(
    cls: "type[Schedule]", sigma: np.ndarray, log_ratio: np.ndarray, low: float, high: float
) -> "Schedule":
    """Return the schedule of rising sigmas, given log(sigma_s / sigma_t) of all steps but one.

    Args:
        cls: `Schedule`.
        sigma: (N,), the sigmas.
        log_ratio: (N-1,), exact where the sigmas' own rounding would show in their differences.
        low: The first sigma, exactly.
        high: The last, exactly.
    """
    sigma, log_ratio = sigma.astype(np.float64), log_ratio.astype(np.float64)
    sigma[0], sigma[-1] = low, high
    fall = np.concatenate([[1.0], -np.expm1(log_ratio)])
    return make(cls, path.from_sigmas(np, sigma, fall), "ve", None, default="sigma")
