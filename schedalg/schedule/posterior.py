"""The Gaussian q(x_s | x_t, x0) of each step, from which DDPM samples; s is the point before t.

In terms of r = 1 - SNR_t/SNR_s, which no scale changes, the mean is alpha_s r x0 + b x_t with
b = sqrt(SNR_t/SNR_s) sigma_s/sigma_t = (alpha_t/alpha_s) (sigma_s²/sigma_t²), and the variance is
sigma_s² r. On a variance-preserving schedule these are equations 6 and 7 of Ho et al., arXiv
2006.11239. The names are those of OpenAI's `GaussianDiffusion`.
"""

from typing import TYPE_CHECKING

from schedalg.arrays import Array, Namespace, namespace
from schedalg.schedule import path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.path import Kind

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def variance(schedule: "Schedule") -> Array:
    """Variance of q(x_{k-1} | x_k, x0) at each point, (N,); 0 where the step arrives at clean data.

    β̃_k = β_k (1 - ᾱ_{k-1}) / (1 - ᾱ_k) on a variance-preserving schedule.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.2]).posterior_variance.round(6)
        array([0.      , 0.071429])
    """
    return _variance_of(
        namespace(schedule.log_alpha_bar.high), schedule.log_alpha_bar, schedule.kind
    )


def log_variance_clipped(schedule: "Schedule") -> Array:
    """Logarithm of the posterior variance, (N,), with the first step's raised from -inf.

    A first step that arrives at clean data takes the second's value, as in DDPM's code; in a
    schedule of one point, the logarithm of the step's own noise variance.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.2]).posterior_log_variance_clipped.round(6)
        array([-2.639057, -2.639057])
    """
    return log_variance_of(
        namespace(schedule.log_alpha_bar.high), schedule.log_alpha_bar, schedule.kind
    )


def log_variance_of(xp: Namespace, log_alpha_bar: DoubleDouble, kind: Kind) -> Array:
    """Return the clipped logarithm of the posterior variance of every step of a path."""
    values = _variance_of(xp, log_alpha_bar, kind)
    if values.shape[0] > 0:
        first = values[1:2]
        if values.shape[0] == 1:
            _, sigma = path.alpha_sigma(xp, path.inner(log_alpha_bar), kind)
            first = sigma**2 * path.snr_drop(
                xp, path.inner(log_alpha_bar), path.before(log_alpha_bar)
            )
        values = xp.concat([xp.where(values[:1] == 0, first, values[:1]), values[1:]])
    return xp.log(values)


def _variance_of(xp: Namespace, log_alpha_bar: DoubleDouble, kind: Kind) -> Array:
    _, sigma = path.alpha_sigma(xp, log_alpha_bar, kind)
    return sigma[:-1] ** 2 * path.snr_drop(
        xp, path.inner(log_alpha_bar), path.before(log_alpha_bar)
    )


def mean_coef1(schedule: "Schedule") -> Array:
    """Coefficient of x0 in the mean of q(x_{k-1} | x_k, x0), (N,).

    sqrt(ᾱ_{k-1}) β_k / (1 - ᾱ_k) on a variance-preserving schedule.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.2]).posterior_mean_coef1.round(6)
        array([1.      , 0.677631])
    """
    xp, log_alpha_bar = namespace(schedule.log_alpha_bar.high), schedule.log_alpha_bar
    alpha, _ = path.alpha_sigma(xp, log_alpha_bar, schedule.kind)
    return alpha[:-1] * path.snr_drop(xp, path.inner(log_alpha_bar), path.before(log_alpha_bar))


def mean_coef2(schedule: "Schedule") -> Array:
    """Coefficient of x_k in the mean of q(x_{k-1} | x_k, x0), (N,).

    sqrt(1 - β_k) (1 - ᾱ_{k-1}) / (1 - ᾱ_k) on a variance-preserving schedule.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.2]).posterior_mean_coef2.round(6)
        array([0.      , 0.319438])
    """
    xp, log_alpha_bar = namespace(schedule.log_alpha_bar.high), schedule.log_alpha_bar
    _, sigma = path.alpha_sigma(xp, log_alpha_bar, schedule.kind)
    root = path.snr_root(xp, path.inner(log_alpha_bar), path.before(log_alpha_bar))
    return root * (sigma[:-1] / sigma[1:])
