"""Schedules from numbers (`from_betas`, `from_sigmas`, ...) and the named ones (`linear`, ...).

Each function is a constructor of `Schedule` (its first argument), and is called as
`Schedule.linear(1000)`. The closed forms are arranged so that each β is exact to a few ulp: a named
schedule is the mathematical one, not the one that a rounded cumulative product leaves.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from schedalg import path
from schedalg.arrays import (
    Array,
    positive_integer,
    positive_number,
    real_number,
    require,
    table,
)
from schedalg.labels import Labels, checked
from schedalg.path import Kind
from schedalg.twofold import Twofold

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: A power multiplies the rounding error of its base: where the platform has more digits than
#: float64, grids of sigmas are computed with them, and rounded once.
_WIDE = np.longdouble
#: Numbers, one a point, least noisy first.
Values: TypeAlias = Sequence[float] | Array


def from_betas(
    cls: "type[Schedule]", betas: Values, *, timesteps: Values | None = None
) -> "Schedule":
    """Return the variance-preserving schedule with the given per-step noise variances.

    log ᾱ_k = Σ_{i<=k} log1p(-β_i), summed in twofold precision.

    Args:
        betas: (N,), each in (0, 1]; 1 (zero signal) only at the end. An array of any array-API
            library, or a sequence; the schedule's arrays are of the same library.
        timesteps: (N,), what the network is told; 0, 1, …, N-1 if not given.

    Returns:
        A schedule of kind "vp", with `to_betas()` equal to `betas` to a few ulp.

    Raises:
        TypeError: `betas` holds no real numbers.
        ValueError: It is empty, not 1-D, or a value is out of range or NaN.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.2]).to_alphas_cumprod().round(12)
        array([0.9 , 0.72])

    Source: Ho et al., arXiv 2006.11239, equation 4.
    """
    xp, beta = table("betas", betas)
    zero_signal = bool(beta[-1] == 1)
    rule = "betas must be in (0, 1), and the last may be 1"
    require("betas", beta, (beta > 0) & (beta < 1), rule, up_to=-1 if zero_signal else None)
    steps = xp.log1p(-beta[:-1] if zero_signal else -beta)
    if zero_signal:
        steps = xp.concat([steps, xp.full_like(beta[-1:], -xp.inf)])
    return _make(cls, path.from_log_alphas(xp, steps), "vp", timesteps)


def from_alphas_cumprod(
    cls: "type[Schedule]", alphas_cumprod: Values, *, timesteps: Values | None = None
) -> "Schedule":
    """Return the variance-preserving schedule with the given ᾱ.

    β_k = (ᾱ_{k-1} - ᾱ_k) / ᾱ_{k-1}, whose subtraction is exact for neighbouring floats.

    Args:
        alphas_cumprod: (N,), in [0, 1), falling strictly; 0 (zero signal) only at the end.
        timesteps: (N,), what the network is told; 0, 1, …, N-1 if not given.

    Raises:
        TypeError: `alphas_cumprod` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or does not fall.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alphas_cumprod([0.9, 0.45]).to_betas()
        array([0.1, 0.5])
    """
    xp, values = table("alphas_cumprod", alphas_cumprod)
    name = "alphas_cumprod"
    require(name, values, (values >= 0) & (values < 1), f"{name} must be in [0, 1)")
    before = xp.concat([xp.ones_like(values[:1]), values[:-1]])
    require(name, values, values < before, f"{name} must fall strictly, from least to most noisy")
    beta = (before - values) / before
    short = beta < 0.5
    # A long step's ratio is far from 1, and its logarithm exact.
    ratio = xp.where(values > 0, values, 1.0) / before
    long = xp.where(values > 0, xp.log(ratio), -xp.inf)
    steps = xp.where(short, xp.log1p(-xp.where(short, beta, 0.0)), long)
    return _make(cls, path.from_log_alphas(xp, steps), "vp", timesteps)


def from_alpha_bar(
    cls: "type[Schedule]",
    alpha_bar: Callable[[float], float],
    n: int,
    *,
    max_beta: float = 0.999,
    timesteps: Values | None = None,
) -> "Schedule":
    """Return the schedule that follows a function ᾱ(t) of time in [0, 1].

    β_i = min(1 - ᾱ((i+1)/n) / ᾱ(i/n), max_beta).

    Args:
        alpha_bar: ᾱ as a function of a float; called at 0, 1/n, …, 1.
        n: Number of steps.
        max_beta: The largest β, which keeps the last steps from destroying the signal.
        timesteps: (n,), what the network is told; 0, 1, …, n-1 if not given.

    Raises:
        TypeError: `n` is no integer.
        ValueError: `n` < 1, `max_beta` is not in (0, 1], or ᾱ is not positive and falling.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alpha_bar(lambda t: 1 - 0.9 * t, 3).to_alphas_cumprod().round(12)
        array([0.7, 0.4, 0.1])

    Source: OpenAI's `betas_for_alpha_bar`; Nichol and Dhariwal, arXiv 2102.09672.
    """
    n = positive_integer("n", n)
    values = np.array([real_number("alpha_bar(t)", alpha_bar(i / n)) for i in range(n + 1)])
    require("alpha_bar(i / n), i", values, values[:-1] > 0, "ᾱ must be above 0 before the end")
    require("alpha_bar(i / n), i", values, values >= 0, "ᾱ must not be negative")
    beta = (values[:-1] - values[1:]) / values[:-1]
    require("1 - alpha_bar((i+1) / n) / alpha_bar(i / n), i", beta, beta > 0, "ᾱ must fall")
    return from_betas(cls, np.minimum(beta, _in_unit("max_beta", max_beta)), timesteps=timesteps)


def from_sigmas(
    cls: "type[Schedule]", sigmas: Values, *, timesteps: Values | None = None
) -> "Schedule":
    """Return the variance-exploding schedule (alpha = 1) with the given noise levels.

    Args:
        sigmas: (N,), rising strictly, each in (1e-153, 1e153). The clean end is the origin, not a
            point: leave out a final 0, and reverse a list that runs from noisy to clean.
        timesteps: (N,), what the network is told; sigma itself if not given.

    Raises:
        TypeError: `sigmas` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or out of order.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_sigmas([0.1, 1.0, 10.0]).to_sigmas().round(12)
        array([ 0.1,  1. , 10. ])

    Source: Karras et al., arXiv 2206.00364.
    """
    xp, sigma = table("sigmas", sigmas)
    limit = 1e153 if sigma.dtype == xp.float64 else 1e18
    inside = (sigma > 1 / limit) & (sigma < limit)
    require("sigmas", sigma, inside, f"sigmas must be between {1 / limit:g} and {limit:g}")
    before = xp.concat([xp.zeros_like(sigma[:1]), sigma[:-1]])
    require("sigmas", sigma, sigma > before, "sigmas must rise strictly, from least to most noisy")
    levels = path.from_sigmas(xp, sigma, (sigma - before) / sigma)
    return _make(cls, levels, "ve", timesteps, default="sigma")


def from_log_snr(
    cls: "type[Schedule]",
    log_snr: Values,
    *,
    kind: Kind = "vp",
    timesteps: Values | None = None,
) -> "Schedule":
    """Return the schedule with the given log(alpha² / sigma²).

    ᾱ = sigmoid(log SNR), and β_k = sigmoid(-log SNR_k) (1 - SNR_k / SNR_{k-1}).

    Args:
        log_snr: (N,), at most 700, falling strictly; -inf (zero signal) only at the end.
        kind: The scale of the path: "vp", "ve" or "flow".
        timesteps: (N,), what the network is told; 0, 1, …, N-1 if not given.

    Raises:
        TypeError: `log_snr` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or does not fall; `kind` is unknown;
            or the last is -inf in a "ve" schedule, where sigma would be infinite.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_log_snr([2.0, 0.0, -2.0]).to_log_snr().round(12)
        array([ 2.,  0., -2.])

    Source: Kingma et al., arXiv 2107.00630.
    """
    xp, values = table("log_snr", log_snr)
    limit = 700.0 if values.dtype == xp.float64 else 80.0
    kind = path.checked_kind("kind", kind)
    require("log_snr", values, values <= limit, f"log_snr must be at most {limit:g}")
    before = xp.concat([xp.full_like(values[:1], xp.inf), values[:-1]])
    require("log_snr", values, values < before, "log_snr must fall strictly")
    if kind == "ve":
        require("log_snr", values, values > -xp.inf, "sigma would be infinite; use kind='vp'")
    variance = 1 / (1 + xp.exp(values))
    log_alpha_bar = xp.where(values < 0, values, 0.0) - xp.log1p(xp.exp(-xp.abs(values)))
    levels = path.from_snr(xp, variance, -xp.expm1(values - before), log_alpha_bar)
    return _make(cls, levels, kind, timesteps)


def linear(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule of DDPM: n betas, evenly spaced from `beta_start` to `beta_end`.

    Raises:
        TypeError: `n` is no integer, or a beta no number.
        ValueError: `n` < 1, or a beta is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.linear(1000)
        <Schedule vp: 1000 points, timesteps 0 … 999, log SNR 9.210 … -10.118>

    Source: Ho et al., arXiv 2006.11239, section 4.
    """
    start, end = _range(beta_start, beta_end)
    return from_betas(cls, _evenly(start, end, positive_integer("n", n)))


def scaled_linear(
    cls: "type[Schedule]", n: int, beta_start: float = 0.00085, beta_end: float = 0.012
) -> "Schedule":
    """Return the schedule of latent diffusion: the square roots of the betas are evenly spaced.

    Raises:
        TypeError: `n` is no integer, or a beta no number.
        ValueError: `n` < 1, or a beta is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.scaled_linear(3).to_betas().round(6)
        array([0.00085 , 0.004809, 0.012   ])

    Source: Rombach et al., arXiv 2112.10752; its released code.
    """
    start, end = map(math.sqrt, _range(beta_start, beta_end))
    return from_betas(cls, _evenly(start, end, positive_integer("n", n)) ** 2)


def cosine(cls: "type[Schedule]", n: int, s: float = 0.008, max_beta: float = 0.999) -> "Schedule":
    """Return the cosine schedule: ᾱ(t) ∝ cos²(π/2 (t + s) / (1 + s)), with β at most `max_beta`.

    1 - cos²b / cos²a = sin(b - a) sin(b + a) / cos²a, where a and b are the angles at a step's
    ends.

    Args:
        n: Number of steps.
        s: Offset that keeps the first β from vanishing.
        max_beta: The largest β; it bounds the last step, whose own β is 1.

    Raises:
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, `s` < 0, or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.cosine(1000)
        <Schedule vp: 1000 points, timesteps 0 … 999, log SNR 10.095 … -19.836>

    Source: Nichol and Dhariwal, arXiv 2102.09672, equation 17.
    """
    n, s = positive_integer("n", n), real_number("s", s)
    if s < 0:
        raise ValueError(f"s must be at least 0, got {s!r}")
    i = np.arange(n)
    quarter = math.pi / 2 / (1 + s)
    a, b = (i / n + s) * quarter, ((i + 1) / n + s) * quarter
    # The same angles from the other end, where the cosine vanishes.
    a_left, b_left = (n - i) / n * quarter, (n - 1 - i) / n * quarter
    sin_sum = np.where(2 * i < n, np.sin(a + b), np.sin(a_left + b_left))
    beta = math.sin(quarter / n) * sin_sum / np.sin(a_left) ** 2
    return from_betas(cls, np.minimum(beta, _in_unit("max_beta", max_beta)))


def sigmoid(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule whose betas follow a sigmoid over [-6, 6], from start to end.

    Raises:
        TypeError: `n` is no integer, or a beta no number.
        ValueError: `n` < 1, or a beta is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.sigmoid(3).to_betas().round(6)
        array([0.000149, 0.01005 , 0.019951])

    Source: Xu et al. (GeoDiff), arXiv 2203.02923; its released code.
    """
    start, end = _range(beta_start, beta_end)
    weight = 1 / (1 + np.exp(-np.linspace(-6, 6, positive_integer("n", n))))
    return from_betas(cls, start + weight * (end - start))


def laplace(cls: "type[Schedule]", n: int, max_beta: float = 0.999) -> "Schedule":
    """Return the Laplace schedule as diffusers defines it.

    log SNR(t) = -½ sgn(½ - t) log(1 - 2|½ - t| + 1e-6), and ᾱ(t) ∝ sqrt(SNR / (1 + SNR)).

    The square root is theirs, and what their checkpoints were trained with; the paper has none.

    Raises:
        TypeError: `n` is no integer.
        ValueError: `n` < 1, or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.laplace(4).to_alphas_cumprod().round(4)
        array([0.7657, 0.7075, 0.6439, 0.0316])

    Source: Hang et al., arXiv 2407.03297.
    """
    n = positive_integer("n", n)
    i = np.arange(n + 1)
    t = i / n
    depth = 2 * np.minimum(i, n - i) / n + 1e-6  # 1 - 2|½ - t| + 1e-6
    snr = np.where(t <= 0.5, depth**-0.5, depth**0.5)
    off_centre = np.abs(n - 2 * i) / n
    # Near the middle depth is near 1, and has lost digits that its logarithm needs.
    half_log = -0.5 * np.where(depth > 0.5, np.log1p(1e-6 - off_centre), np.log(depth))
    change = np.diff(np.where(t <= 0.5, half_log, -half_log))
    # Within one half, the change is that of one logarithm: no difference of two rounded ones.
    rising, falling = t[1:] <= 0.5, t[:-1] > 0.5
    change = np.where(rising, -0.5 * np.log1p(2 / n / depth[:-1]), change)
    late = np.log1p(np.where(falling, -2 / n / depth[:-1], 0))
    change = np.where(falling & (i[1:] < n), 0.5 * late, change)
    # SNR/(1+SNR) falls by the share below; where that is long, its logarithm is exact as it is.
    fall = -np.expm1(change) / (1 + snr[1:])
    share = snr / (1 + snr)
    steps = np.where(fall < 0.5, np.log1p(-fall), np.log(share[1:] / share[:-1])) / 2
    max_beta = _in_unit("max_beta", max_beta)
    longest = math.log1p(-max_beta) if max_beta < 1 else -math.inf
    return _make(cls, path.from_log_alphas(np, np.maximum(steps, longest)), "vp", None)


def exp(cls: "type[Schedule]", n: int, max_beta: float = 0.999) -> "Schedule":
    """Return the schedule of equal betas, with ᾱ(t) = e^(-12 t).

    Raises:
        TypeError: `n` is no integer.
        ValueError: `n` < 1, or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.exp(1000).to_betas()[:2].round(6)
        array([0.011928, 0.011928])

    Source: `alpha_transform_type="exp"` of diffusers.
    """
    beta = -math.expm1(-12 / positive_integer("n", n))
    return from_betas(cls, np.full(n, min(beta, _in_unit("max_beta", max_beta))))


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

    Raises:
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, or not 0 < sigma_min < sigma_max, or `rho` <= 0.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.karras(4).to_sigmas().round(4)
        array([2.0000e-03, 4.7000e-01, 9.7232e+00, 8.0000e+01])

    Source: Karras et al., arXiv 2206.00364, equation 5.
    """
    low, high = _sigma_range(sigma_min, sigma_max)
    rho = positive_number("rho", rho)
    if positive_integer("n", n) == 1:
        return from_sigmas(cls, [high])
    power = 1 / _WIDE(rho)
    start, end = _WIDE(low) ** power, _WIDE(high) ** power
    root = start + np.arange(n, dtype=_WIDE) / (n - 1) * (end - start)
    # From the constant step between the roots: neighbouring sigmas would cancel.
    log_ratio = rho * np.log1p((start - end) / (n - 1) / root[1:])
    return _from_log_ratio(cls, root**rho, log_ratio, low, high)


def exponential(
    cls: "type[Schedule]", n: int, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> "Schedule":
    """Return the variance-exploding schedule whose log sigma is evenly spaced.

    Raises:
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, or not 0 < sigma_min < sigma_max.

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

    Raises:
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, or not 0 < sigma_min < sigma_max, or `rho` <= 0.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.polyexponential(3, 0.01, 100.0, rho=2.0).to_sigmas().round(6)
        array([1.e-02, 1.e-01, 1.e+02])

    Source: `get_sigmas_polyexponential` of k-diffusion.
    """
    low, high = _sigma_range(sigma_min, sigma_max)
    rho = positive_number("rho", rho)
    if positive_integer("n", n) == 1:
        return from_sigmas(cls, [high])
    span = np.log(_WIDE(high) / _WIDE(low))
    i = np.arange(n, dtype=_WIDE)
    ramp = (i / (n - 1)) ** rho
    # ramp_s - ramp_t for s = t - 1, as a share of ramp_t: neighbouring sigmas would cancel.
    share = np.concatenate([[-1.0], np.expm1(rho * np.log1p(-1 / i[2:]))])
    return _from_log_ratio(cls, low * np.exp(ramp * span), span * ramp[1:] * share, low, high)


def flow(cls: "type[Schedule]", n: int, shift: float = 1.0) -> "Schedule":
    """Return the straight path of flow matching: alpha = 1 - t, sigma = t, at t = 1/n, …, 1.

    The network is told t, and goes on being told the point's own t after a `shift`.

    Args:
        n: Number of points; the last is pure noise.
        shift: The timestep shift of large images, t' = shift t / (1 + (shift - 1) t).

    Raises:
        TypeError: `n` is no integer, or `shift` no number.
        ValueError: `n` < 1, or `shift` <= 0.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.flow(4).sigma
        array([0.25, 0.5 , 0.75, 1.  ])
        >>> Schedule.flow(4, shift=3.0).timesteps
        array([0.5 , 0.75, 0.9 , 1.  ])

    Source: Lipman et al., arXiv 2210.02747; shift: Esser et al., arXiv 2403.03206, equation 23.
    """
    n = positive_integer("n", n)
    i = np.arange(n, dtype=np.float64)
    signal, noise = (n - 1 - i) / n, (i + 1) / n
    fall = n / ((n - i) * (i + 1))
    variance = noise**2 / (noise**2 + signal**2)
    with np.errstate(divide="ignore"):  # zero signal at t = 1: log ᾱ = -inf
        log_alpha_bar = -np.log1p((noise / signal) ** 2)
    levels = path.from_snr(np, variance, fall * (2 - fall), log_alpha_bar)
    schedule = _make(cls, levels, "flow", None, default="flow_time")
    return schedule.shift(shift)


def _make(
    cls: "type[Schedule]",
    levels: Twofold,
    kind: Kind,
    timesteps: Values | None,
    default: Labels | None = None,
) -> "Schedule":
    n = levels.high.shape[0] - 1
    if timesteps is not None:
        default = checked(timesteps, n)
    elif default is None:
        default = np.arange(n)
    return cls(levels=levels, labels=default, kind=kind, network_kind=kind)


def _evenly(start: float, end: float, n: int) -> np.ndarray:
    """Return the very floats of np.linspace(start, end, n), in a third of its time."""
    values = np.arange(n) * ((end - start) / max(n - 1, 1)) + start
    if n > 1:
        values[-1] = end
    return values


def _in_unit(name: str, value: float) -> float:
    number = positive_number(name, value)
    if number > 1:
        raise ValueError(f"{name} must be in (0, 1], got {number!r}")
    return number


def _range(beta_start: float, beta_end: float) -> tuple[float, float]:
    return _in_unit("beta_start", beta_start), _in_unit("beta_end", beta_end)


def _sigma_range(sigma_min: float, sigma_max: float) -> tuple[float, float]:
    low, high = positive_number("sigma_min", sigma_min), positive_number("sigma_max", sigma_max)
    if not low < high:
        raise ValueError(f"sigma_min must be below sigma_max, got {low!r} and {high!r}")
    return low, high


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
    return _make(cls, path.from_sigmas(np, sigma, fall), "ve", None, default="sigma")
