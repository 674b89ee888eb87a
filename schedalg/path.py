"""The path of a schedule as one column, log ᾱ, and everything that follows from it.

Whatever its scale, a point is told by its signal-to-noise ratio, and so by the ᾱ = SNR / (1 + SNR)
that a variance-preserving process has there. The column holds log ᾱ in twofold precision, the
origin first. It falls strictly; only its last entry may be -inf (zero signal).

Each function below avoids the subtraction that its textbook form would make: 1 - ᾱ is -expm1(log
ᾱ), 1 - ᾱ_t/ᾱ_s is -expm1(log ᾱ_t - log ᾱ_s), and 1 - SNR_t/SNR_s is their quotient.
"""

from typing import Literal, TypeAlias, get_args

from schedalg import twofold
from schedalg.arrays import Array, Namespace
from schedalg.twofold import Twofold

#: How x is scaled along a path: alpha² + sigma² = 1, alpha = 1, or alpha + sigma = 1.
Kind: TypeAlias = Literal["vp", "ve", "flow"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def checked_kind(name: str, kind: object) -> Kind:
    """Return the kind, if there is one of that name.

    Raises:
        ValueError: There is none.
    """
    if kind not in KINDS:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, KINDS))}; got {kind!r}")
    return kind


def inner(levels: Twofold) -> Twofold:
    """Return the levels of the points, without the origin."""
    return twofold.take(levels, slice(1, None))


def alphas_cumprod(xp: Namespace, levels: Twofold) -> Array:
    """ᾱ = exp(log ᾱ)."""
    return xp.exp(levels.high) * (1 + levels.low)


def sigmas_squared(xp: Namespace, levels: Twofold) -> Array:
    """1 - ᾱ, the noise variance of the variance-preserving path."""
    # 0 minus it, since the mere opposite of a clean origin's would be -0.0.
    return 0.0 - (xp.expm1(levels.high) + levels.low * xp.exp(levels.high))


def log_snr(xp: Namespace, levels: Twofold) -> Array:
    """log(ᾱ / (1 - ᾱ)); `inf` at a clean origin and `-inf` at zero signal."""
    variance = sigmas_squared(xp, levels)
    noisy = variance > 0
    logarithm = xp.log(xp.where(noisy, variance, 1.0))
    return xp.where(noisy, levels.high + (levels.low - logarithm), xp.inf)


def alpha_sigma(xp: Namespace, levels: Twofold, kind: Kind) -> tuple[Array, Array]:
    """Return signal and noise scale in the scale of `kind`."""
    alpha = xp.exp(levels.high / 2) * (1 + levels.low / 2)
    sigma = xp.sqrt(sigmas_squared(xp, levels))
    if kind == "vp":
        return alpha, sigma
    if kind == "ve":
        return xp.ones_like(alpha), noise_to_signal(xp, levels)
    total = alpha + sigma
    return alpha / total, sigma / total


def noise_to_signal(xp: Namespace, levels: Twofold) -> Array:
    """sqrt((1 - ᾱ) / ᾱ), `inf` where it exceeds the largest float (ᾱ below about 1e-616)."""
    exponent = -levels.high / 2
    limit = 709.0 if levels.high.dtype == xp.float64 else 88.0
    inverse_alpha = xp.exp(xp.where(exponent < limit, exponent, limit)) * (1 - levels.low / 2)
    sigma = xp.sqrt(sigmas_squared(xp, levels))
    return xp.where(exponent < limit, sigma * inverse_alpha, xp.inf)


def log_alphas(xp: Namespace, levels: Twofold) -> Array:
    """log(1 - β): the logarithm of ᾱ_t / ᾱ_s for each step, the first from the origin."""
    return twofold.subtract(xp, inner(levels), twofold.take(levels, slice(-1)))


def alpha_ratio(xp: Namespace, levels: Twofold, kind: Kind) -> Array:
    """alpha_t / alpha_s for each step, in the scale of `kind`."""
    if kind == "ve":
        return xp.ones_like(levels.high[1:])
    ratio = xp.exp(log_alphas(xp, levels) / 2)
    if kind == "vp":
        return ratio
    alpha, sigma = alpha_sigma(xp, levels, "vp")
    total = alpha + sigma
    return ratio * (total[:-1] / total[1:])


def betas(xp: Namespace, levels: Twofold) -> Array:
    """β = 1 - ᾱ_t / ᾱ_s for each step."""
    return -xp.expm1(log_alphas(xp, levels))


def snr_drop(xp: Namespace, levels: Twofold) -> Array:
    """1 - SNR_t / SNR_s for each step: the same in every scale, since it is β / (1 - ᾱ_t)."""
    return betas(xp, levels) / sigmas_squared(xp, inner(levels))


def log_snr_change(xp: Namespace, levels: Twofold) -> Array:
    """Log SNR_t - log SNR_s for each step but the first; negative, `-inf` at zero signal."""
    points = inner(levels)
    drop = snr_drop(xp, points)
    variance = sigmas_squared(xp, points)
    small = drop < 0.5
    # Both terms of the second form are negative; only where it is small would the ratio's logarithm
    # be inexact.
    large_change = log_alphas(xp, points) - xp.log(variance[1:] / variance[:-1])
    return xp.where(small, xp.log1p(-xp.where(small, drop, 0.0)), large_change)


def from_log_alphas(xp: Namespace, log_alphas: Array) -> Twofold:
    """Return the levels of a path from a clean origin whose steps have log(1 - β) as given."""
    return twofold.cumulative_sum(xp, log_alphas)


def from_sigmas(xp: Namespace, sigma: Array, fall: Array) -> Twofold:
    """Return the levels of a path from a clean origin, given by its noise-to-signal ratios.

    Args:
        xp: The arrays' namespace.
        sigma: Noise-to-signal ratio at each point.
        fall: 1 - sigma_s / sigma_t for each step; 1 for the first.
    """
    variance = 1 / (1 + (1 / sigma) ** 2)
    return from_snr(xp, variance, fall * (2 - fall), -xp.log1p(sigma**2))


def from_snr(xp: Namespace, variance: Array, drop: Array, log_alphas_cumprod: Array) -> Twofold:
    """Return the levels of a path from a clean origin, given by its signal-to-noise ratios.

    β = (1 - ᾱ_t)(1 - SNR_t/SNR_s) has no cancellation, whatever the ratios were computed from.

    Args:
        xp: The arrays' namespace.
        variance: 1 - ᾱ at each point, in (0, 1].
        drop: 1 - SNR_t/SNR_s for each step, in (0, 1]; 1 for the first.
        log_alphas_cumprod: log ᾱ at each point as a plain float, exact enough where the step is
        long.
    """
    beta = variance * drop
    short = beta < 0.5
    zero = xp.zeros_like(log_alphas_cumprod[:1])
    before = xp.concat([zero, log_alphas_cumprod[:-1]])
    steps = xp.where(short, xp.log1p(-xp.where(short, beta, 0.0)), log_alphas_cumprod - before)
    return from_log_alphas(xp, steps)
