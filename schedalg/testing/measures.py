"""Measurements of a sampler: its order of convergence and the variance of its samples."""

from collections.abc import Iterator, Sequence

import numpy as np

from schedalg.network.denoiser import AnyDenoiser
from schedalg.plan.plan import Plan
from schedalg.running.sampling import sample, sample_steps
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule
from schedalg.schedule.path import Kind
from schedalg.testing.data import Mixture

#: One Gaussian whose mean is not 0.
GAUSSIAN = Mixture([0.7], [0.4])


def measured_order(
    sampler: Sampler,
    data: Mixture = GAUSSIAN,
    counts: Sequence[int] = (90, 180, 360),
    kind: Kind = "vp",
) -> float:
    """Return the order with which a sampler without noise converges to the exact flow of some data.

    The order is the slope of log(error) over log(number of steps), on grids that are even in
    log-SNR, from -13 to 2. The error is the largest of those at log-SNR -2, -1, 0, 1 and 2. (At a
    single noise level, or over a whole path, the leading errors of some methods cancel, and the
    order seems higher than it is.) The path starts at a high noise level, where the first steps of
    multistep methods, which have lower order, have almost no error.

    Args:
        sampler: A sampler without noise, with one step for each step of the schedule.
        data: The data, which determine the network.
        counts: Numbers of steps, multiples of 15; multiples of 90 for methods whose steps span two
            or three points.
        kind: The scale of x.

    Example:
        >>> from schedalg import DDIM
        >>> from schedalg.testing import measured_order
        >>> round(measured_order(DDIM()), 1)
        1.0
    """
    errors = []
    for steps in counts:
        schedule = Schedule.from_log_snr(np.linspace(2, -13, steps + 1), kind=kind)[1:]
        t, reached = schedule[-1], [*list(schedule)[-2::-1], schedule.origin]
        x = data.marginal_std(t) * np.array([[-1.3, 0.2, 0.9, 2.0]])
        path = list(sample_steps(data.denoiser(schedule), schedule, sampler, x))
        errors.append(
            max(
                np.abs(path[k - 1] - data.flow(x, t, reached[k - 1])).max()
                for k in (steps * part // 15 for part in (11, 12, 13, 14, 15))
            )
        )
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


def variance_after(
    sampler: Sampler | Plan, schedule: Schedule, denoise: AnyDenoiser, start: float
) -> float:
    """Return the variance of a sampler's result for Gaussian noise, without a random draw.

    If the denoiser is linear in x, as for Gaussian data of mean 0, the result is a x + Σ_k c_k z_k,
    with one coefficient for each draw of noise. One run finds them all: in each sample of its
    batch, one of x, z_1, z_2, ... is 1 and the others are 0.

    Args:
        sampler: Any sampler, or a plan.
        schedule: The schedule to sample.
        denoise: A denoiser that is linear in x.
        start: Variance of x at the noisiest point.

    Returns:
        a² start + Σ c_k².

    Example:
        >>> from schedalg import DDPM, Schedule
        >>> from schedalg.testing import Mixture, variance_after
        >>> s = Schedule.linear(1000)[[0, 300, 999]][1:]
        >>> point = Mixture([0.0], [0.0]).denoiser(s)
        >>> variance = variance_after(DDPM(), s, point, s.sigma[-1] ** 2)
        >>> abs(variance / s.origin.sigma**2 - 1) < 1e-12
        True
    """
    draws = 0

    def counted(x: np.ndarray) -> np.ndarray:
        nonlocal draws
        draws += 1
        return np.zeros_like(x)

    sample(denoise, schedule, sampler, np.zeros((1, 1)), noise=counted)
    numbers: Iterator[int] = iter(range(1, draws + 1))

    def one_hot(x: np.ndarray) -> np.ndarray:
        z, place = np.zeros_like(x), next(numbers, None)
        assert place is not None, f"{draws} draws of noise in one run, but more in the next"
        z[place] = 1
        return z

    x = np.zeros((draws + 1, 1))
    x[0] = 1
    result = sample(denoise, schedule, sampler, x, noise=one_hot)[:, 0]
    return float(result[0] ** 2 * start + (result[1:] ** 2).sum())
