"""The path of a schedule as one column, log ᾱ, and everything that follows from it.

Whatever its scale, a point is given by its signal-to-noise ratio, and so by the ᾱ = SNR / (1 + SNR)
that a variance-preserving process has there. The column holds log ᾱ in double-double precision, the
origin first. It falls strictly; only its last entry may be -inf (zero signal).

Each function below avoids the subtraction that its textbook form would make: 1 - ᾱ is -expm1(log
ᾱ), 1 - ᾱ_t/ᾱ_s is -expm1(log ᾱ_t - log ᾱ_s), and 1 - SNR_t/SNR_s is their quotient.
"""

from typing import Literal, TypeAlias, get_args

import numpy as np

from schedalg.arrays import Array, Namespace, to_host
from schedalg.checks import shown
from schedalg.schedule import double_double
from schedalg.schedule.double_double import DoubleDouble

#: How x is scaled along a path: alpha² + sigma² = 1, alpha = 1, or alpha + sigma = 1.
Kind: TypeAlias = Literal["vp", "ve", "flow"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def checked_kind(name: str, kind: object) -> Kind:
    """Return the kind, if there is one of that name.

    Raises:
        ValueError: There is none.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, KINDS))}; got {shown(kind)}")
    return kind


def inner(log_alpha_bar: DoubleDouble) -> DoubleDouble:
    """Return the levels of the points, without the origin."""
    return double_double.take(log_alpha_bar, slice(1, None))


def alphas_cumprod(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """ᾱ = exp(log ᾱ)."""
    return xp.exp(log_alpha_bar.high) * (1 + log_alpha_bar.low)


def sigmas_squared(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """1 - ᾱ, the noise variance of the variance-preserving path."""
    # 0 minus it, since the mere opposite of a clean origin's would be -0.0. The low part would be
    # lost here: relative to 1 - ᾱ, it is at most what it is relative to log ᾱ.
    return 0.0 - xp.expm1(log_alpha_bar.high)


def log_snr(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """log(ᾱ / (1 - ᾱ)); `inf` at a clean origin and `-inf` at zero signal."""
    variance = sigmas_squared(xp, log_alpha_bar)
    noisy = variance > 0
    logarithm = xp.log(xp.where(noisy, variance, 1.0))
    return xp.where(noisy, log_alpha_bar.high + (log_alpha_bar.low - logarithm), xp.inf)


def alpha_sigma(xp: Namespace, log_alpha_bar: DoubleDouble, kind: Kind) -> tuple[Array, Array]:
    """Return signal and noise scale in the scale of `kind`."""
    alpha = xp.exp(log_alpha_bar.high / 2) * (1 + log_alpha_bar.low / 2)
    sigma = xp.sqrt(sigmas_squared(xp, log_alpha_bar))
    if kind == "vp":
        return alpha, sigma
    if kind == "ve":
        return xp.ones_like(alpha), noise_to_signal(xp, log_alpha_bar)
    total = alpha + sigma
    return alpha / total, sigma / total


def noise_to_signal(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """sqrt((1 - ᾱ) / ᾱ), `inf` where it exceeds the largest float (ᾱ below about 1e-616)."""
    exponent = -log_alpha_bar.high / 2
    limit = 709.0 if log_alpha_bar.high.dtype == xp.float64 else 88.0
    inverse_alpha = xp.exp(xp.where(exponent < limit, exponent, limit)) * (
        1 - log_alpha_bar.low / 2
    )
    sigma = xp.sqrt(sigmas_squared(xp, log_alpha_bar))
    return xp.where(exponent < limit, sigma * inverse_alpha, xp.inf)


def log_alphas(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """log(1 - β): the logarithm of ᾱ_t / ᾱ_s for each step, the first from the origin."""
    return double_double.subtract(xp, inner(log_alpha_bar), before(log_alpha_bar))


def betas(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """β = 1 - ᾱ_t / ᾱ_s for each step."""
    return -xp.expm1(log_alphas(xp, log_alpha_bar))


def snr_drop(xp: Namespace, t: DoubleDouble, s: DoubleDouble) -> Array:
    """1 - SNR_t / SNR_s, the same in every scale: β / (1 - ᾱ_t)."""
    return -xp.expm1(double_double.subtract(xp, t, s)) / sigmas_squared(xp, t)


def snr_root(xp: Namespace, t: DoubleDouble, s: DoubleDouble) -> Array:
    """sqrt(SNR_t / SNR_s), the same in every scale: sqrt((1 - β)(1 - ᾱ_s) / (1 - ᾱ_t))."""
    kept = xp.exp(double_double.subtract(xp, t, s) / 2)
    return kept * xp.sqrt(sigmas_squared(xp, s) / sigmas_squared(xp, t))


def before(log_alpha_bar: DoubleDouble) -> DoubleDouble:
    """Return the levels that the steps arrive at: all but the last."""
    return double_double.take(log_alpha_bar, slice(-1))


def log_snr_change(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """Log SNR_t - log SNR_s for each step but the first; negative, `-inf` at zero signal."""
    return log_snr_falls(xp, inner(log_alpha_bar))


def log_snr_falls(xp: Namespace, points: DoubleDouble) -> Array:
    """Log SNR_t - log SNR_s from each point to the next."""
    drop = snr_drop(xp, inner(points), before(points))
    variance = sigmas_squared(xp, points)
    small = drop < 0.5
    # Both terms of the second form are negative; only where it is small would the ratio's logarithm
    # be inexact.
    large_change = log_alphas(xp, points) - xp.log(variance[1:] / variance[:-1])
    return xp.where(small, xp.log1p(-xp.where(small, drop, 0.0)), large_change)


def from_log_alphas(xp: Namespace, log_alphas: Array) -> DoubleDouble:
    """Return the levels of a path from a clean origin whose steps have log(1 - β) as given.

    Raises:
        ValueError: A step is not a number, or too small to change what the steps before it give.
    """
    log_alpha_bar = double_double.cumulative_sum(xp, log_alphas)
    host, sums = to_host(log_alphas), to_host(log_alpha_bar.high)[1:]
    if host[-1] == -np.inf:
        host, sums = host[:-1], sums[:-1]
    # About 106 bits are kept of a sum, and 53 of them are wanted of each step.
    if len(host) == 0 or host.max() < len(host) * 2**-50 * sums[-1]:
        return log_alpha_bar
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0, which is refused
        share = host / sums
    if not share.min() > 2**-100:
        step = int(np.argmin(share))
        raise ValueError(
            f"step {step} changes log(alpha_cumprod) by {float(host[step]):g} where all so far "
            f"change it by {float(sums[step]):g}: every step must be at least 1e-30 of that"
        )
    return double_double.cumulative_sum(xp, log_alphas, fine=True)


def from_origin(xp: Namespace, origin: Array, log_alphas: Array) -> DoubleDouble:
    """Return the levels of a path from a given log ᾱ, (1,), whose steps have log(1 - β) as given.

    Raises:
        ValueError: As `from_log_alphas`.
    """
    if log_alphas.shape[0] == 0:
        return DoubleDouble(origin, xp.zeros_like(origin))
    if float(to_host(origin)[0]) == 0:
        return from_log_alphas(xp, log_alphas)
    return inner(from_log_alphas(xp, xp.concat([origin, log_alphas])))


def from_sigmas(xp: Namespace, sigma: Array, fall: Array) -> DoubleDouble:
    """Return the levels of a path from a clean origin, given by its noise-to-signal ratios.

    Args:
        xp: The arrays' namespace.
        sigma: Noise-to-signal ratio at each point.
        fall: 1 - sigma_s / sigma_t for each step; 1 for the first.
    """
    variance = 1 / (1 + (1 / sigma) ** 2)
    return from_snr(xp, variance, fall * (2 - fall), -xp.log1p(sigma**2))


def from_snr(
    xp: Namespace, variance: Array, drop: Array, log_alphas_cumprod: Array
) -> DoubleDouble:
    """Return the levels of a path from a clean origin, given by its signal-to-noise ratios.

    β = (1 - ᾱ_t)(1 - SNR_t/SNR_s) has no cancellation, whatever the ratios were computed from.

    Args:
        xp: The arrays' namespace.
        variance: 1 - ᾱ at each point, in (0, 1].
        drop: 1 - SNR_t/SNR_s for each step, in (0, 1]; 1 for the first.
        log_alphas_cumprod: log ᾱ at each point as a plain float, exact enough for long steps.
    """
    beta = variance * drop
    short = beta < 0.5
    zero = xp.zeros_like(log_alphas_cumprod[:1])
    long = log_alphas_cumprod - xp.concat([zero, log_alphas_cumprod[:-1]])
    steps = xp.where(short, xp.log1p(-xp.where(short, beta, 0.0)), long)
    return from_log_alphas(xp, steps)
