"""The named schedules of discrete steps: `linear`, `cosine`, `sigmoid`, ...

Each function is a constructor of `Schedule` (its first argument), and is called as
`Schedule.linear(1000)`. The closed forms are arranged so that each β is exact to a few ulp: a named
schedule is the mathematical one, not the one that a rounded cumulative product leaves.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from schedalg.checks import in_unit, positive_integer, real_number
from schedalg.schedule import path
from schedalg.schedule.constructors import from_betas, make

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def linear(
    cls: "type[Schedule]", n: int, beta_start: float = 1e-4, beta_end: float = 0.02
) -> "Schedule":
    """Return the schedule of DDPM: n betas, evenly spaced from `beta_start` to `beta_end`.

    Args:
        n: Number of steps.
        beta_start: The first β.
        beta_end: The last β; the first is the only one if `n` is 1.

    Returns:
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

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
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

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
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

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
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

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
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

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
        A schedule of kind "vp", with the timesteps 0, 1, …, n-1.

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
