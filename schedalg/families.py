"""The named schedules: `linear`, `cosine`, `karras`, `flow`, ...

Each function is a constructor of `Schedule` (its first argument), and is called as
`Schedule.linear(1000)`. The closed forms are arranged so that each β is exact to a few ulp: a named
schedule is the mathematical one, not the one that a rounded cumulative product leaves.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from schedalg import path
from schedalg.arrays import in_unit, positive_integer, positive_number, real_number
from schedalg.constructors import LARGEST_SIGMA, from_betas, from_sigmas, make

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: A power multiplies the rounding error of its base: where the platform has more digits than
#: float64, grids of sigmas are computed with them, and rounded once.
_WIDE = np.longdouble


def linear(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule of DDPM: n betas, evenly spaced from `beta_start` to `beta_end`.

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", whose network is told 0, 1, …, n-1.

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

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", whose network is told 0, 1, …, n-1.

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

    Returns:
        A schedule of kind "vp", whose network is told 0, 1, …, n-1.

    Raises:
        TypeError: `n` is no integer, or an argument no number.
        ValueError: `n` < 1, `s` is not in [0, 1000], or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.cosine(1000)
        <Schedule vp: 1000 points, timesteps 0 … 999, log SNR 10.095 … -19.836>

    Source: Nichol and Dhariwal, arXiv 2102.09672, equation 17.
    """
    n, s = positive_integer("n", n), real_number("s", s)
    if not 0 <= s <= 1000:
        raise ValueError(f"s must be in [0, 1000], got {s!r}")
    i = np.arange(n)
    quarter = math.pi / 2 / (1 + s)
    a, b = (i / n + s) * quarter, ((i + 1) / n + s) * quarter
    # The same angles from the other end, where the cosine vanishes.
    a_left, b_left = (n - i) / n * quarter, (n - 1 - i) / n * quarter
    sin_sum = np.where(a + b < math.pi / 2, np.sin(a + b), np.sin(a_left + b_left))
    beta = math.sin(quarter / n) * sin_sum / np.sin(a_left) ** 2
    return from_betas(cls, np.minimum(beta, in_unit("max_beta", max_beta)))


def sigmoid(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule whose betas follow a sigmoid over [-6, 6], from start to end.

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", whose network is told 0, 1, …, n-1.

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

    Args:
        n: Number of steps.
        max_beta: The largest β, which keeps the last steps from destroying the signal.

    Returns:
        A schedule of kind "vp", whose network is told 0, 1, …, n-1.

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
    steps = np.maximum(steps, _log_alpha(in_unit("max_beta", max_beta)))
    return make(cls, path.from_log_alphas(np, steps), "vp", None)


def exp(cls: "type[Schedule]", n: int, max_beta: float = 0.999) -> "Schedule":
    """Return the schedule of equal betas, with ᾱ(t) = e^(-12 t).

    Args:
        n: Number of steps.
        max_beta: The largest β, which keeps the last steps from destroying the signal.

    Returns:
        A schedule of kind "vp", whose network is told 0, 1, …, n-1.

    Raises:
        TypeError: `n` is no integer.
        ValueError: `n` < 1, or `max_beta` is not in (0, 1].

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.exp(1000).to_betas()[:2].round(6)
        array([0.011928, 0.011928])

    Source: `alpha_transform_type="exp"` of diffusers.
    """
    n = positive_integer("n", n)
    steps = np.full(n, max(-12 / n, _log_alpha(in_unit("max_beta", max_beta))))
    return make(cls, path.from_log_alphas(np, steps), "vp", None)


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
        A schedule of kind "ve", whose network is told sigma.

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
    with np.errstate(divide="ignore"):  # a first sigma that is nothing beside the second
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
        A schedule of kind "ve", whose network is told sigma.

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
        A schedule of kind "ve", whose network is told sigma.

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

    The network is told t, and goes on being told the point's own t after a `shift`.

    Args:
        n: Number of points; the last is pure noise.
        shift: The timestep shift of large images, t' = shift t / (1 + (shift - 1) t).

    Returns:
        A schedule of kind "flow", whose network is told t.

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
    n, shift = positive_integer("n", n), positive_number("shift", shift)
    i = np.arange(n, dtype=np.float64)
    signal, noise = (n - 1 - i) / n, (i + 1) / n
    fall = n / ((n - i) * (i + 1))
    variance = noise**2 / (noise**2 + signal**2)
    with np.errstate(divide="ignore"):  # zero signal at t = 1: log ᾱ = -inf
        log_alpha_bar = -np.log1p((noise / signal) ** 2)
    levels = path.from_snr(np, variance, fall * (2 - fall), log_alpha_bar)
    schedule = make(cls, levels, "flow", None, default="flow_time")
    return schedule.shift(shift)


def _log_alpha(beta: float) -> float:
    """Return log(1 - beta)."""
    return math.log1p(-beta) if beta < 1 else -math.inf


def _evenly(start: float, end: float, n: int) -> np.ndarray:
    """Return the very floats of np.linspace(start, end, n), in a third of its time."""
    values = np.arange(n) * ((end - start) / max(n - 1, 1)) + start
    if n > 1:
        values[-1] = end
    return values


def _range(beta_start: float, beta_end: float) -> tuple[float, float]:
    return in_unit("beta_start", beta_start), in_unit("beta_end", beta_end)


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
