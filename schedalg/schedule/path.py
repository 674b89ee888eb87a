"""The path of a schedule as one column, log ᾱ, and everything that follows from it.

Whatever its scale, a point is given by its signal-to-noise ratio, and so by the ᾱ = SNR / (1 + SNR)
that a variance-preserving process has there. The column holds log ᾱ in double-double precision, the
origin first. It falls strictly; only its last entry may be -inf (zero signal).

Each function below avoids the subtraction that its textbook form would make: 1 - ᾱ is -expm1(log
ᾱ), 1 - ᾱ_t/ᾱ_s is -expm1(log ᾱ_t - log ᾱ_s), and 1 - SNR_t/SNR_s is their quotient.

What is read from a path is a float. What another path is made of is in double-double: a `Fall` for
each step, from which the column is summed.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from schedalg.arrays import Array, Namespace, has_values, holds, to_host
from schedalg.checks import shown
from schedalg.schedule import double_double, elementary
from schedalg.schedule.double_double import (
    DoubleDouble,
    divided,
    minus,
    negative,
    plus,
    product,
    root,
    single,
    square,
    where,
)

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
    return _exp(xp, log_alpha_bar)


def _exp(xp: Namespace, x: DoubleDouble, share: float = 1.0) -> Array:
    """Return e^(share x) as a float, with what rounding x to a float would lose."""
    return xp.exp(x.high * share) * (1 + x.low * share)


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
    alpha = _exp(xp, log_alpha_bar, 0.5)
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


def alphas(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """1 - β = ᾱ_t / ᾱ_s for each step."""
    return _exp(xp, double_double.differences(xp, log_alpha_bar))


def betas(xp: Namespace, log_alpha_bar: DoubleDouble) -> Array:
    """β = 1 - ᾱ_t / ᾱ_s for each step."""
    return -xp.expm1(log_alphas(xp, log_alpha_bar))


def snr_drop(xp: Namespace, t: DoubleDouble, s: DoubleDouble) -> Array:
    """1 - SNR_t / SNR_s, the same in every scale: β / (1 - ᾱ_t)."""
    return -xp.expm1(double_double.subtract(xp, t, s)) / sigmas_squared(xp, t)


def snr_root(xp: Namespace, t: DoubleDouble, s: DoubleDouble) -> Array:
    """sqrt(SNR_t / SNR_s), the same in every scale: sqrt((1 - β)(1 - ᾱ_s) / (1 - ᾱ_t))."""
    kept = _exp(xp, double_double.add(xp, negative(s), t), 0.5)
    return kept * xp.sqrt(sigmas_squared(xp, s) / sigmas_squared(xp, t))


def before(log_alpha_bar: DoubleDouble) -> DoubleDouble:
    """Return the levels that the steps arrive at: all but the last."""
    return double_double.take(log_alpha_bar, slice(-1))


class SnrChange(NamedTuple):
    """How the SNR changes in each step from s to t, between points that are neither clean nor dark.

    Attributes:
        log_alphas: log ᾱ_t - log ᾱ_s, in double-double.
        variance_s: 1 - ᾱ where the step arrives.
        variance_t: 1 - ᾱ where it starts.
    """

    log_alphas: DoubleDouble
    variance_s: Array
    variance_t: Array

    @classmethod
    def between(cls, xp: Namespace, log_alpha_bar: DoubleDouble, part: slice) -> "SnrChange":
        """Return the change from each point of a part of a path to the next."""
        points = double_double.take(log_alpha_bar, part)
        variance = sigmas_squared(xp, points)
        log_alphas = minus(inner(points), before(points))
        return cls(log_alphas, variance[:-1], variance[1:])

    def drop_and_root(self, xp: Namespace) -> tuple[Array, Array]:
        """Return 1 - SNR_t/SNR_s and sqrt(SNR_t/SNR_s); see `snr_drop` and `snr_root`."""
        drop = -xp.expm1(self.log_alphas.high) / self.variance_t
        return drop, _exp(xp, self.log_alphas, 0.5) * xp.sqrt(self.variance_s / self.variance_t)

    def log(self, xp: Namespace, drop: Array) -> Array:
        """Return log SNR_t - log SNR_s, negative, given the drop."""
        small = drop < 0.5
        # Both terms of the second form are negative; only where it is small would the ratio's
        # logarithm be inexact.
        large_change = self.log_alphas.high - xp.log(self.variance_t / self.variance_s)
        return xp.where(small, xp.log1p(-xp.where(small, drop, 0.0)), large_change)


class Fall(NamedTuple):
    """How far a quantity falls from s to t, as t/s and as 1 - t/s, neither with cancellation.

    Attributes:
        kept: t/s, over e^far.
        lost: 1 - t/s.
        far: A logarithm, 0 but in long steps, where t/s may be smaller than floats are; None: 0.
    """

    kept: DoubleDouble
    lost: DoubleDouble
    far: DoubleDouble | None = None

    def log(self, xp: Namespace) -> DoubleDouble:
        """Return the logarithm of t/s."""
        change = elementary.log(xp, self.kept, self.lost)
        if self.far is None:
            return change
        # A short step is found from what is lost, whatever the quantity is made of.
        none = single(xp.zeros_like(change.high))
        far = where(xp, self.lost.high < 0.5, none, self.far)
        return double_double.add(xp, far, change)

    def share(self, xp: Namespace) -> DoubleDouble:
        """Return t/s, which is 0 where it is smaller than floats are."""
        return self.kept if self.far is None else product(self.kept, elementary.exp(xp, self.far))

    def squared(self) -> "Fall":
        """Return the fall of the quantity's square."""
        kept, lost, far = self
        twice = None if far is None else plus(far, far)
        return Fall(square(kept), product(lost, minus(single(2.0), lost)), twice)


def shares(xp: Namespace, log_alpha_bar: DoubleDouble) -> Fall:
    """Return ᾱ and 1 - ᾱ in double-double; ᾱ is 0 where it is smaller than floats are."""
    finite = log_alpha_bar.high > -xp.inf
    none = single(xp.zeros_like(log_alpha_bar.high))
    change = where(xp, finite, log_alpha_bar, none)
    kept, grown = elementary.exp(xp, change), elementary.expm1(xp, change)
    lost = where(xp, finite, negative(grown), single(xp.ones_like(change.high)))
    return Fall(where(xp, finite, kept, none), lost)


def smallest(xp: Namespace, like: Array) -> float:
    """Return a positive number that is negligible against any other, in the dtype of an array."""
    return 1e-300 if like.dtype == xp.float64 else 1e-37


def fall_by(xp: Namespace, change: DoubleDouble) -> Fall:
    """Return the fall of a quantity whose logarithm changes as given; by `-inf`, to 0."""
    kept, lost, _ = shares(xp, change)
    long = (change.high < -20) & (change.high > -xp.inf)
    if not holds(long).any():
        return Fall(kept, lost)
    zero, one = single(xp.zeros_like(kept.high)), single(xp.ones_like(kept.high))
    return Fall(where(xp, long, one, kept), lost, where(xp, long, change, zero))


def joined(xp: Namespace, first: Fall, second: Fall) -> Fall:
    """Return the falls of both, one after the other."""
    kept = double_double.concat(xp, first.kept, second.kept)
    lost = double_double.concat(xp, first.lost, second.lost)
    if first.far is None and second.far is None:
        return Fall(kept, lost)
    fars = (f.far or single(xp.zeros_like(f.kept.high)) for f in (first, second))
    return Fall(kept, lost, double_double.concat(xp, *fars))


def log_snr_since(xp: Namespace, points: DoubleDouble, start: DoubleDouble) -> DoubleDouble:
    """Log SNR of points minus that of one, (1,), in double-double; 0 for those before it.

    None of them is clean.
    """
    change = double_double.add(xp, negative(start), points)
    change = where(xp, change.high < 0, change, single(xp.zeros_like(change.high)))
    step = fall_by(xp, change)
    earlier, after = shares(xp, start).lost, shares(xp, points).lost
    kept = divided(product(step.kept, earlier), after)
    return Fall(kept, divided(step.lost, after), step.far).log(xp)


def ratios_of(xp: Namespace, points: DoubleDouble) -> DoubleDouble:
    """sigma/alpha in double-double, of points that are not clean; 1e150 where it is beyond that."""
    signal, variance, _ = shares(xp, points)
    dark = signal.high < 1e-300
    one = single(xp.ones_like(signal.high))
    ratio = root(xp, divided(variance, where(xp, dark, one, signal)))
    return where(xp, dark, single(xp.full_like(ratio.high, 1e150)), ratio)


def snr_falls(xp: Namespace, points: DoubleDouble) -> Fall:
    """Return the fall of the SNR from each point to the next; none is clean."""
    step = fall_by(xp, double_double.differences(xp, points))
    variance = shares(xp, points).lost
    after, earlier = inner(variance), before(variance)
    kept = divided(product(step.kept, earlier), after)
    return Fall(kept, divided(step.lost, after), step.far)


def moved(xp: Namespace, points: DoubleDouble, fall: Fall) -> DoubleDouble:
    """Return the points whose SNR is lower than that of others, by a fall for each of them."""
    signal, variance, _ = shares(xp, points)
    # β = (1 - ᾱ_t)(1 - SNR_t/SNR_s) of the step from s to t.
    total = plus(product(signal, fall.share(xp)), variance)
    lost, (kept, far) = divided(product(variance, fall.lost), total), (fall.kept, fall.far)
    if far is not None:
        # In logarithms, where the total may be so small that a quotient would overflow.
        long, one = far.high < 0, single(xp.ones_like(far.high))
        small = where(xp, long, total, one)
        far = minus(far, elementary.log(xp, small, minus(one, small)))
        total = where(xp, long, one, total)
    step = Fall(divided(kept, total), lost, far)
    return double_double.add(xp, step.log(xp), points)


def from_log_alphas(xp: Namespace, log_alphas: DoubleDouble) -> DoubleDouble:
    """Return the levels of a path from a clean origin whose steps have log(1 - β) as given.

    Raises:
        ValueError: A step is not a number, too small to change what the steps before it give, or
            below the floats that have all digits.
    """
    log_alpha_bar = double_double.cumulative_sum(xp, log_alphas)
    if not has_values(log_alphas.high):
        return log_alpha_bar
    host, sums = to_host(log_alphas.high), to_host(log_alpha_bar.high)[1:]
    if host[-1] == -np.inf:
        host, sums = host[:-1], sums[:-1]
    least = -host.max(initial=-1.0)
    if least < (tiny := float(np.finfo(host.dtype).tiny)):
        raise ValueError(
            f"step {int(np.argmax(host))} changes log(alpha_cumprod) by {-float(least):g}: betas "
            f"below {tiny:.4g} would have lost digits"
        )
    # About 106 bits are kept of a sum, and 53 of them are wanted of each step.
    if len(host) == 0 or -least < len(host) * 2**-50 * sums[-1]:
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


def from_falls(xp: Namespace, alpha_bar: Fall) -> DoubleDouble:
    """Return the levels of a path from a clean origin, by the fall of ᾱ in each step.

    Raises:
        ValueError: As `from_log_alphas`.
    """
    return from_log_alphas(xp, alpha_bar.log(xp))


def from_origin(xp: Namespace, alpha_bar: Fall) -> DoubleDouble:
    """Return the levels of a path by the fall of ᾱ to its origin, which may be 0, and in each step.

    Raises:
        ValueError: As `from_log_alphas`.
    """
    steps = alpha_bar.log(xp)
    if holds(steps.high != 0)[0]:
        return inner(from_log_alphas(xp, steps))
    if steps.high.shape[0] == 1:
        return single(xp.zeros_like(steps.high))
    return from_log_alphas(xp, inner(steps))


def from_sigmas(xp: Namespace, sigma: DoubleDouble, rise: DoubleDouble) -> DoubleDouble:
    """Return the levels of a path from a clean origin, given by sigma/alpha; see `from_ratios`."""
    large, one = sigma.high > 1, single(xp.ones_like(sigma.high))
    signal = divided(one, where(xp, large, sigma, one))
    return from_ratios(xp, where(xp, large, one, sigma), signal, rise)


def from_ratios(
    xp: Namespace, noise: DoubleDouble, signal: DoubleDouble, rise: DoubleDouble
) -> DoubleDouble:
    """Return the levels of a path from a clean origin, given by its noise-to-signal ratios.

    Args:
        xp: The arrays' namespace.
        noise: Any multiple of sigma at each point, at most 1e140.
        signal: The same multiple of alpha, which is 0 at most at the end.
        rise: 1 - ratio_s/ratio_t for each step; 1 for the first.
    """
    noise, signal = square(noise), square(signal)
    total = plus(noise, signal)
    variance, alpha_bar = divided(noise, total), divided(signal, total)
    drop = product(rise, minus(single(2.0), rise))
    return from_falls(xp, Fall(ratios(xp, alpha_bar), product(variance, drop)))


def ratios(xp: Namespace, alpha_bar: DoubleDouble) -> DoubleDouble:
    """Return ᾱ_t / ᾱ_s for each step from a clean origin."""
    one = single(xp.ones_like(alpha_bar.high[:1]))
    return divided(alpha_bar, double_double.concat(xp, one, before(alpha_bar)))
