"""Points between the points of a schedule: `at` a fractional timestep, and `refine`.

Between two neighbours the timestep and the log-SNR run on a straight line. Where the network is
told the noise level itself (schedules made of sigmas, and flows), that level decides, and the point
at a timestep is exact rather than interpolated.
"""

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, device, namespace, to_host
from schedalg.checks import positive_integer, real_number
from schedalg.schedule import double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import TimestepRule

if TYPE_CHECKING:
    from schedalg.schedule.point import Point
    from schedalg.schedule.schedule import Schedule


def at(schedule: "Schedule", t: float) -> "Point":
    """Return the point at a timestep, which may lie between those of the schedule.

    Its log-SNR is linear in t between the neighbouring points; exact where the timestep is the
    noise level itself.

    Args:
        schedule: A schedule whose timesteps rise strictly.
        t: From the first to the last timestep.

    Returns:
        The point, whose `timestep` is t.

    Raises:
        TypeError: `t` is no number.
        ValueError: `t` is out of range, the timesteps do not rise, or `t` lies between a point and
            pure noise, where no log-SNR can be interpolated.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.linear(1000)
        >>> low, middle, high = s.at(10), s.at(10.5), s.at(11)
        >>> abs(middle.log_snr - (low.log_snr + high.log_snr) / 2) < 1e-14
        True
    """
    t = real_number("t", t)
    timesteps = _rising_timesteps(schedule)
    if not timesteps or not timesteps[0] <= t <= timesteps[-1]:
        allowed = f"in [{timesteps[0]}, {timesteps[-1]}]" if timesteps else "none: it has no points"
        raise ValueError(f"t is {t!r}: timesteps of this schedule are {allowed}")
    k = bisect_right(timesteps, t) - 1
    if timesteps[k] == t:
        return schedule[k]
    fraction = (t - timesteps[k]) / (timesteps[k + 1] - timesteps[k])
    return insert(schedule, np.array([k]), np.array([fraction]))[0]


def refine(schedule: "Schedule", k: int) -> "Schedule":
    """Return the schedule with k - 1 more points between neighbours: `s.refine(k)[::k] == s`.

    The points lie at evenly spaced timesteps, each where `at` finds it.

    Args:
        schedule: A schedule whose timesteps do not fall.
        k: Steps in place of each step but the first; `refine(1)` is the identity.

    Returns:
        A schedule of (N - 1) k + 1 points.

    Raises:
        TypeError: `k` is no integer.
        ValueError: `k` < 1, the timesteps fall somewhere, or the last point is pure noise and the
            timesteps are no noise levels.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.linear(3).refine(2).timesteps
        array([0. , 0.5, 1. , 1.5, 2. ])
    """
    k = positive_integer("k", k)
    if k == 1 or len(schedule) < 2:
        return schedule
    if (
        isinstance(schedule.timestep_rule, np.ndarray)
        and (np.diff(schedule.timestep_rule) < 0).any()
    ):
        raise ValueError("refine needs timesteps that do not fall; these do")
    position = np.arange((len(schedule) - 1) * k + 1)
    return insert(schedule, position // k, (position % k) / k)


def insert(schedule: "Schedule", index: np.ndarray, fraction: np.ndarray) -> "Schedule":
    """Return the points a fraction of the way, in timesteps, from point `index` to the next.

    Args:
        schedule: Where they lie.
        index: (M,), which point to start from.
        fraction: (M,), in [0, 1); 0 is that point itself, exactly.
    """
    xp = namespace(schedule.log_alpha_bar.high)
    told = schedule.timestep_rule
    if isinstance(told, np.ndarray):
        weight = _like(schedule, fraction)
        change = path.log_snr_change(xp, schedule.log_alpha_bar)
        change = _between(schedule, change, index[fraction > 0])
        change = weight * _gather(schedule, change, index)
        follow = np.minimum(index + 1, len(schedule) - 1)
        told = told[index] + fraction * (told[follow] - told[index])
        return _moved(schedule, index, change, told)
    # The noise level is what runs on a straight line, and the ratio of the SNRs follows.
    kind: Kind = "ve" if told == "sigma" else "flow"
    alpha, sigma = path.alpha_sigma(xp, path.inner(schedule.log_alpha_bar), kind)
    ratio = path.noise_to_signal(xp, path.inner(schedule.log_alpha_bar))
    # The rise of the noise level, as a share of it: from the SNRs, since rounded levels would
    # cancel.
    change = path.log_snr_change(xp, schedule.log_alpha_bar)
    finite = xp.isfinite(change)
    share = xp.expm1(xp.where(finite, -change / 2, 0.0)) * alpha[1:]
    share = xp.where(finite, share, (sigma[1:] - sigma[:-1]) / sigma[:-1])
    share = _between(schedule, share, index[fraction > 0])
    share = _like(schedule, fraction) * _gather(schedule, share, index)
    change = -2 * xp.log1p(share)
    if kind == "flow":
        # And the fall of the signal. Pure noise has none to lose, and is only ever taken whole.
        ratio = _gather(schedule, xp.where(xp.isfinite(ratio), ratio, 0.0), index)
        change = change + 2 * xp.log1p(-share * ratio)
    return _moved(schedule, index, change, told)


def at_log_snr(schedule: "Schedule", log_snr: Array, *, rounded: bool) -> "Schedule":
    """Return the points at given log-SNRs, which fall and lie within the schedule's.

    Args:
        schedule: Where they lie; its last point is not pure noise.
        log_snr: (M,), the first and last of them the schedule's own if M > 1.
        rounded: Give each point the timestep of its nearer neighbour, in place of a fractional one.
    """
    xp = namespace(schedule.log_alpha_bar.high)
    own = path.log_snr(xp, path.inner(schedule.log_alpha_bar))
    host = to_host(own)
    index = np.searchsorted(-host, -to_host(log_snr), side="right") - 1
    index = np.clip(index, 0, len(schedule) - 1)
    change = log_snr - _gather(schedule, own, index)
    told = schedule.timestep_rule
    if isinstance(told, np.ndarray):
        follow = np.minimum(index + 1, len(schedule) - 1)
        gap = host[follow] - host[index]
        gap = np.where(gap < 0, gap, -1.0)  # no gap: at the last point, or below float64's reach
        fraction = to_host(change) / gap
        if rounded:
            told = np.where(fraction < 0.5, told[index], told[follow])
        else:
            told = told[index] + fraction * (told[follow] - told[index])
    return _moved(schedule, index, change, told)


def _moved(
    schedule: "Schedule", index: np.ndarray, change: Array, told: TimestepRule
) -> "Schedule":
    """Return the points whose log-SNR differs from that of point `index` by `change` <= 0."""
    xp = namespace(schedule.log_alpha_bar.high)
    inner = path.inner(schedule.log_alpha_bar)
    start = double_double.gather(xp, inner, index)
    variance = path.sigmas_squared(xp, start)
    shrink = path.alphas_cumprod(xp, start) * xp.exp(change) + variance
    # β = (1 - ᾱ_t)(1 - SNR_t/SNR_s) of the step from the point; ᾱ_t/ᾱ_s where that is long.
    beta = variance / shrink * -xp.expm1(change)
    short = beta < 0.5
    step = xp.where(short, xp.log1p(-xp.where(short, beta, 0.0)), change - xp.log(shrink))
    log_alpha_bar = double_double.add(xp, DoubleDouble(step, xp.zeros_like(step)), start)
    fall = double_double.subtract(xp, path.inner(log_alpha_bar), path.before(log_alpha_bar))
    if not (to_host(fall) < 0).all():
        raise ValueError(
            f"no {len(index)} different noise levels lie there that float64 can tell apart"
        )
    origin = double_double.take(schedule.log_alpha_bar, slice(0, 1))
    return replace(
        schedule, log_alpha_bar=double_double.concat(xp, origin, log_alpha_bar), timestep_rule=told
    )


def _between(schedule: "Schedule", change: Array, used: np.ndarray) -> Array:
    """Return the change of a quantity from each point to the next, 0 for the last.

    Raises:
        ValueError: It is infinite for one of the points in `used`.
    """
    xp = namespace(change)
    change = xp.concat([change, xp.zeros_like(schedule.log_alpha_bar.high[:1])])
    finite = xp.isfinite(change)
    if not to_host(finite)[used].all():
        raise ValueError(
            f"no point lies between timesteps {schedule.timesteps[-2]} and "
            f"{schedule.timesteps[-1]}: the latter has zero signal, which is infinitely far"
        )
    return xp.where(finite, change, 0.0)


def _rising_timesteps(schedule: "Schedule") -> list[float]:
    timesteps = schedule.timesteps
    if (np.diff(timesteps) <= 0).any():
        k = int(np.argmax(np.diff(timesteps) <= 0))
        raise ValueError(
            f"at(t) needs timesteps that rise strictly; timesteps[{k}:{k + 2}] are "
            f"{timesteps[k]}, {timesteps[k + 1]}"
        )
    return list(timesteps.tolist())


def _like(schedule: "Schedule", values: np.ndarray) -> Array:
    """Return host values as an array beside the schedule's own."""
    high = schedule.log_alpha_bar.high
    return namespace(high).asarray(values, dtype=high.dtype, device=device(high))


def _gather(schedule: "Schedule", values: Array, index: np.ndarray) -> Array:
    xp = namespace(values)
    return xp.take(values, xp.asarray(index, device=device(schedule.log_alpha_bar.high)))
