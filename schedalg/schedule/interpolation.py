"""Points between the points of a schedule: `at` a fractional timestep, and `refine`.

Between two neighbours the timestep and the log-SNR run on a straight line; the neighbours are those
of the schedule that this one was chosen from (see `schedalg.schedule.curve`). Where the timesteps
are the noise levels themselves (schedules made of sigmas, and flows), the point at a timestep is
exact rather than interpolated.
"""

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, device, namespace, requires_gradient, to_host
from schedalg.checks import MOST, positive_integer, real_number
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import (
    TimestepFunction,
    TimestepRule,
    called,
    canonical_timesteps,
    flow_time_where,
    named,
)

if TYPE_CHECKING:
    from schedalg.schedule.point import Point
    from schedalg.schedule.schedule import Schedule


def at(schedule: "Schedule", t: float) -> "Point":
    """Return the point at a timestep, which may lie between those of the schedule.

    Its log-SNR is linear in t between the neighbouring points of the schedule that this one was
    chosen from, whichever were chosen; exact where the timestep is the noise level itself.

    Args:
        schedule: A schedule whose timesteps, or those of what it was chosen from, rise strictly.
        t: From the origin's timestep to the last. Where clean data has none, from the first of the
            schedule that this one was chosen from; and above 0 where t is the noise level.

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
        >>> s.subsample(every=10).at(10.5) == middle
        True
    """
    t = real_number("t", t)
    if len(schedule) == 0:
        raise ValueError(f"t is {t!r}: timesteps of this schedule are none: it has no points")
    if not isinstance(schedule.timestep_rule, np.ndarray):
        return _at_level(schedule, t, schedule.timestep_rule)
    points, timesteps, first = curve.knots(schedule)
    known = _rising(timesteps)
    start, end = curve.timesteps_on(schedule)[[0, -1]].tolist()
    start = known[0] if first else start
    if not start <= t <= end:
        raise ValueError(f"t is {t!r}: timesteps of this schedule are in [{start:g}, {end:g}]")
    k = bisect_right(known, t) - 1
    if known[k] == t:
        base: Schedule = curve.base_of(schedule)
        place = k - 1 + first
        return base[place] if place >= 0 else base.origin
    fraction = (t - known[k]) / (known[k + 1] - known[k])
    pair = double_double.take(points, slice(k, k + 2))
    found = _insert(pair, timesteps[k : k + 2], np.array([0]), np.array([fraction]))
    return _point(schedule, found, canonical_timesteps(np.array([t])))


def _at_level(schedule: "Schedule", t: float, rule: str | TimestepFunction) -> "Point":
    """Return the point whose timestep is t, where that follows from the noise."""
    timesteps = _rising(schedule.timesteps)
    start = schedule._origin_timestep()
    clean = start is None
    if start is None:
        start = _told_of_clean(rule, timesteps[0])
    if not (start < t if clean else start <= t) or t > timesteps[-1]:
        below = f"({start:g}" if clean else f"[{start:g}"
        raise ValueError(f"t is {t!r}: timesteps of this schedule are in {below}, {timesteps[-1]}]")
    if t in timesteps:
        return schedule[timesteps.index(t)]
    if t == start:
        return schedule.origin
    k = bisect_right(timesteps, t) - 1
    if k >= 0 and requires_gradient(schedule.log_alpha_bar.high):
        fraction = (t - timesteps[k]) / (timesteps[k + 1] - timesteps[k])
        found = _insert_level(schedule, rule, np.array([k]), np.array([fraction]))
    else:
        # From the level alone, and so the same whatever the neighbours are.
        if isinstance(rule, str):
            ratio = np.array([named(rule).ratio(t)])
        else:
            levels = schedule.log_alpha_bar
            _, between = path.alpha_sigma(namespace(levels.high), levels, "flow")
            ends = to_host(between).astype(np.float64)
            place = flow_time_where(rule, schedule.network_kind, np.array([t]), ends[:1], ends[-1:])
            ratio = place / (1 - place)
        level = path.inner(path.from_sigmas(np, ratio, np.ones(1)))
        found = DoubleDouble(*(_beside(schedule.log_alpha_bar, part) for part in level))
    return replace(_point(schedule, found, rule), timestep=t)


def _told_of_clean(rule: str | TimestepFunction, first: float) -> float:
    """Return what a rule says of clean data; the first timestep if it says nothing."""
    if isinstance(rule, str):
        return -np.inf if named(rule).function == "log_sigma" else 0.0
    timestep_values = float(called(rule, np.ones(1), np.zeros(1))[0])
    return first if np.isnan(timestep_values) else timestep_values


def _point(schedule: "Schedule", level: DoubleDouble, rule: TimestepRule) -> "Point":
    xp = namespace(level.high)
    origin = double_double.take(schedule.log_alpha_bar, slice(1))
    levels = double_double.concat(xp, origin, level)
    alone = replace(schedule, log_alpha_bar=levels, timestep_rule=rule, curve=None)
    return next(iter(alone))


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
        >>> base = Schedule.linear(1000)
        >>> base[::2].refine(2) == base[:999]
        True
    """
    k = positive_integer("k", k)
    if k == 1 or len(schedule) < 2:
        return schedule
    if (len(schedule) - 1) * k >= MOST:
        raise ValueError(f"k is {k}: a schedule must have at most {MOST} points")
    position = np.arange((len(schedule) - 1) * k + 1)
    index, fraction = position // k, (position % k) / k
    rule = schedule.timestep_rule
    if not isinstance(rule, np.ndarray):
        found = _insert_level(schedule, rule, index, fraction)
        return _with_points(schedule, found, rule, None)
    if (np.diff(curve.base_of(schedule).timesteps) < 0).any():
        raise ValueError("refine needs timesteps that do not fall; these do")
    timestep_values, place, share = _places_between(schedule, index, fraction)
    points, timesteps, first = curve.knots(schedule)
    found = _insert(points, timesteps, np.maximum(place - first, 0), share)
    own = path.inner(schedule.log_alpha_bar)
    mine = fraction == 0
    xp, count = namespace(own.high), len(schedule)
    found = double_double.gather(
        xp, double_double.concat(xp, own, found), np.where(mine, index, count + position)
    )
    places = np.where(mine, curve.places_of(schedule)[1:][index], 2 * place + (share > 0))
    places = np.append(curve.places_of(schedule)[:1], places)
    timestep_values = np.where(mine, rule[index], timestep_values)
    return _with_points(
        schedule,
        found,
        canonical_timesteps(timestep_values),
        curve.covering(curve.base_of(schedule), places),
    )


def _places_between(
    schedule: "Schedule", index: np.ndarray, fraction: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where points a share of the way from one point to the next lie on the curve.

    Args:
        schedule: One with listed timesteps that do not fall.
        index: Which point to start from.
        fraction: How far to go to the next, in timesteps: in [0, 1).

    Returns:
        The timesteps; the last point of the curve before each; and how far from that to the next.
    """
    base, places = curve.base_of(schedule), curve.places_of(schedule)[1:]
    start, origin = curve.timesteps_on(schedule)[1:], base.origin_timestep
    known = np.append(-np.inf if origin is None else origin, base.timesteps)
    follow = np.minimum(index + 1, len(schedule) - 1)
    timestep_values = start[index] + fraction * (start[follow] - start[index])
    low, high = places[index] // 2, np.maximum((places[follow] + 1) // 2 - 1, places[index] // 2)
    place = np.clip(np.searchsorted(known, timestep_values, side="right") - 1, low, high)
    follow_place = np.minimum(place + 1, len(base))
    gap = known[follow_place] - known[place]
    share = np.where(gap > 0, (timestep_values - known[place]) / np.where(gap > 0, gap, 1.0), 0.0)
    # Nothing lies between neighbours on the curve, and where timesteps repeat, no timestep tells
    # what does: there, the share itself.
    near = (places[follow] - places[index] == 2) & (places[index] % 2 == 0)
    still = (near | (start[follow] == start[index])) & (fraction > 0)
    between = (places[index] + fraction * (places[follow] - places[index])) / 2
    place = np.where(still, between.astype(np.int64), place)
    share = np.where(still, between - place, share)
    share = np.where(near, fraction, share)
    return timestep_values, place, np.where(fraction > 0, share, 0.0)


def _insert(
    points: DoubleDouble, timesteps: np.ndarray, index: np.ndarray, fraction: np.ndarray
) -> DoubleDouble:
    """Return the points a fraction of the way from point `index` to the next, in log-SNR.

    Args:
        points: log ᾱ, without an origin.
        timesteps: Theirs, for a message.
        index: (M,), which point to start from.
        fraction: (M,), in [0, 1); 0 is that point itself, exactly.
    """
    xp = namespace(points.high)
    change = path.log_snr_falls(xp, points)
    change = _between(points, change, index[fraction > 0], timesteps)
    change = _beside(points, fraction) * _gather(points, change, index)
    return _moved(points, index, change)


def _insert_level(
    schedule: "Schedule", rule: str | TimestepFunction, index: np.ndarray, fraction: np.ndarray
) -> DoubleDouble:
    """Return the points a fraction of the way, in timesteps, from point `index` to the next.

    Args:
        schedule: One whose timesteps follow from the noise.
        rule: How they do.
        index: (M,), which point to start from.
        fraction: (M,), in [0, 1); 0 is that point itself, exactly.
    """
    points = path.inner(schedule.log_alpha_bar)
    if not isinstance(rule, str):
        return _insert_by(schedule, rule, index, fraction)
    function = named(rule).function
    if function == "log_sigma":
        return _insert(points, schedule.timesteps, index, fraction)
    return _insert_in(points, "ve" if function == "sigma" else "flow", index, fraction)


def _insert_by(
    schedule: "Schedule", function: TimestepFunction, index: np.ndarray, fraction: np.ndarray
) -> DoubleDouble:
    """Return the points a fraction of the way where timesteps follow from a function."""
    points, timesteps = path.inner(schedule.log_alpha_bar), schedule.timesteps
    _, sigma = path.alpha_sigma(namespace(points.high), points, "flow")
    place = to_host(sigma).astype(np.float64)
    follow = np.minimum(index + 1, len(schedule) - 1)
    timestep_values = timesteps[index] + fraction * (timesteps[follow] - timesteps[index])
    new = np.flatnonzero(fraction > 0)
    start = place[index[new]]
    found = flow_time_where(
        function, schedule.network_kind, timestep_values[new], start, place[follow[new]]
    )
    change = np.zeros(len(index))
    change[new] = 2 * (np.log1p(-found) - np.log1p(-start) - np.log(found / start))
    return _moved(points, index, _beside(points, change))


def _insert_in(
    points: DoubleDouble, kind: Kind, index: np.ndarray, fraction: np.ndarray
) -> DoubleDouble:
    """Return the points a fraction of the way in sigma, in the scale of `kind`."""
    xp = namespace(points.high)
    # The noise level is what runs on a straight line, and the ratio of the SNRs follows.
    alpha, sigma = path.alpha_sigma(xp, points, kind)
    ratio = path.noise_to_signal(xp, points)
    # The rise of the noise level, as a share of it: from the SNRs, since rounded levels would
    # cancel.
    change = path.log_snr_falls(xp, points)
    finite = xp.isfinite(change)
    share = xp.expm1(xp.where(finite, -change / 2, 0.0)) * alpha[1:]
    share = xp.where(finite, share, (sigma[1:] - sigma[:-1]) / sigma[:-1])
    share = _between(points, share, index[fraction > 0], to_host(sigma))
    share = _beside(points, fraction) * _gather(points, share, index)
    change = -2 * xp.log1p(share)
    if kind == "flow":
        # And the fall of the signal. Pure noise has none to lose, and is only ever taken whole.
        ratio = _gather(points, xp.where(xp.isfinite(ratio), ratio, 0.0), index)
        change = change + 2 * xp.log1p(-share * ratio)
    return _moved(points, index, change)


def at_log_snr(schedule: "Schedule", log_snr: Array, *, rounded: bool) -> "Schedule":
    """Return the points at given log-SNRs, which fall and lie within the schedule's.

    Args:
        schedule: Where they lie; its last point is not pure noise.
        log_snr: (M,), M > 1, the first and last of them the schedule's own.
        rounded: Give each point the timestep of its nearer neighbour, in place of a fractional one.
    """
    timestep_values = schedule.timestep_rule
    if not isinstance(timestep_values, np.ndarray):
        points, timesteps, first = path.inner(schedule.log_alpha_bar), schedule.timesteps, 1
    else:
        points, timesteps, first = curve.knots(schedule)
    xp = namespace(points.high)
    own = path.log_snr(xp, points)
    host = to_host(own)
    index = np.searchsorted(-host, -to_host(log_snr), side="right") - 1
    index = np.clip(index, 0, len(host) - 1)
    change = log_snr - _gather(points, own, index)
    found = _moved(points, index, change)
    ends = path.inner(schedule.log_alpha_bar)
    middle = double_double.concat(
        xp, double_double.take(ends, slice(1)), double_double.take(found, slice(1, -1))
    )
    found = double_double.concat(xp, middle, double_double.take(ends, slice(-1, None)))
    if not isinstance(timestep_values, np.ndarray):
        return _with_points(schedule, found, timestep_values, None)
    follow = np.minimum(index + 1, len(host) - 1)
    gap = host[follow] - host[index]
    gap = np.where(gap < 0, gap, -1.0)  # no gap: at the last point, or below float64's reach
    fraction = to_host(change) / gap
    if rounded:
        timestep_values = np.where(fraction < 0.5, timesteps[index], timesteps[follow])
    else:
        timestep_values = timesteps[index] + fraction * (timesteps[follow] - timesteps[index])
    timestep_values[[0, -1]] = schedule.timesteps[[0, -1]]
    places = curve.places_of(schedule)
    inside = (2 * (index + first) + (to_host(change) != 0))[1:-1]
    places = np.concatenate([places[:2], inside, places[-1:]])
    between = curve.covering(curve.base_of(schedule), places)
    return _with_points(schedule, found, canonical_timesteps(timestep_values), between)


def _with_points(
    schedule: "Schedule",
    points: DoubleDouble,
    rule: TimestepRule,
    between: curve.Curve | None,
) -> "Schedule":
    """Return the schedule of other points from the same origin.

    Raises:
        ValueError: Two are the same in float64.
    """
    xp = namespace(points.high)
    fall = double_double.subtract(xp, path.inner(points), path.before(points))
    if not (to_host(fall) < 0).all():
        raise ValueError(
            f"no {points.high.shape[0]} different noise levels lie there that float64 can tell "
            "apart"
        )
    origin = double_double.take(schedule.log_alpha_bar, slice(0, 1))
    levels = double_double.concat(xp, origin, points)
    return replace(schedule, log_alpha_bar=levels, timestep_rule=rule, curve=between)


def _moved(points: DoubleDouble, index: np.ndarray, change: Array) -> DoubleDouble:
    """Return the points whose log-SNR differs from that of point `index` by `change` <= 0."""
    xp = namespace(points.high)
    start = double_double.gather(xp, points, index)
    variance = path.sigmas_squared(xp, start)
    shrink = path.alphas_cumprod(xp, start) * xp.exp(change) + variance
    # β = (1 - ᾱ_t)(1 - SNR_t/SNR_s) of the step from the point; ᾱ_t/ᾱ_s where that is long.
    beta = variance / shrink * -xp.expm1(change)
    short = beta < 0.5
    step = xp.where(short, xp.log1p(-xp.where(short, beta, 0.0)), change - xp.log(shrink))
    return double_double.add(xp, DoubleDouble(step, xp.zeros_like(step)), start)


def _between(points: DoubleDouble, change: Array, used: np.ndarray, timesteps: np.ndarray) -> Array:
    """Return the change of a quantity from each point to the next, 0 for the last.

    Raises:
        ValueError: It is infinite for one of the points in `used`.
    """
    xp = namespace(change)
    change = xp.concat([change, xp.zeros_like(points.high[:1])])
    finite = xp.isfinite(change)
    if not to_host(finite)[used].all():
        raise ValueError(
            f"no point lies between timesteps {timesteps[-2]} and "
            f"{timesteps[-1]}: the latter has zero signal, which is infinitely far"
        )
    return xp.where(finite, change, 0.0)


def _rising(timesteps: np.ndarray) -> list[float]:
    if (np.diff(timesteps) <= 0).any():
        k = int(np.argmax(np.diff(timesteps) <= 0))
        raise ValueError(
            f"at(t) needs timesteps that rise strictly; timesteps[{k}:{k + 2}] are "
            f"{timesteps[k]}, {timesteps[k + 1]}"
        )
    return list(timesteps.tolist())


def _beside(points: DoubleDouble, values: np.ndarray) -> Array:
    """Return host values as an array like the points'."""
    high = points.high
    return namespace(high).asarray(values, dtype=high.dtype, device=device(high))


def _gather(points: DoubleDouble, values: Array, index: np.ndarray) -> Array:
    xp = namespace(values)
    return xp.take(values, xp.asarray(index, device=device(points.high)))
