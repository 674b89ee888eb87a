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

from schedalg.arrays import namespace, requires_gradient, to_host
from schedalg.checks import MOST, positive_integer, real_number
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.between import insert, insert_by_rule, share_of_way, with_points
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.timesteps import (
    TimestepFunction,
    TimestepRule,
    called,
    canonical_timesteps,
    named,
    ratio_where,
)

if TYPE_CHECKING:
    from schedalg.schedule.point import Point
    from schedalg.schedule.schedule import Schedule


@curve.computed_on_host
def at(schedule: "Schedule", t: float) -> "Point":
    """Return the point at a timestep, which may lie between those of the schedule.

    Its log-SNR is linear in t between the neighbouring points of the schedule that this one was
    chosen from, so it does not depend on which points were chosen. Where the timestep is the noise
    level itself, the point is exact.

    Args:
        schedule: A schedule whose timesteps, or those of what it was chosen from, rise strictly.
        t: From the origin's timestep to the last. Where clean data has none, from the first of the
            schedule that this one was chosen from; and above 0 where t is the noise level.

    Returns:
        The point, whose `timestep` is t.

    Raises:
        TypeError: `t` is not a number.
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
        raise ValueError(f"t is {t!r}: the schedule has no points, and so no timesteps")
    if not isinstance(schedule.timestep_rule, np.ndarray):
        return _at_level(schedule, t, schedule.timestep_rule)
    points, timesteps, first = curve.knots(schedule)
    known = _checked_rising(timesteps)
    start, end = curve.timesteps_on(schedule)[[0, -1]].tolist()
    start = known[0] if first else start
    if not start <= t <= end:
        raise ValueError(f"t is {t!r}: timesteps of this schedule are in [{start:g}, {end:g}]")
    k = bisect_right(known, t) - 1
    if known[k] == t or k == len(known) - 1:  # an integer that no float is equal to
        base: Schedule = curve.base_of(schedule)
        place = k - 1 + first
        return base[place] if place >= 0 else base.origin
    pair = double_double.take(points, slice(k, k + 2))
    fraction = share_of_way(np.array([t]), timesteps[k], timesteps[k + 1])
    found = insert(pair, timesteps[k : k + 2], np.array([0]), fraction)
    return _point(schedule, found, canonical_timesteps(np.array([t])))


def _at_level(schedule: "Schedule", t: float, rule: str | TimestepFunction) -> "Point":
    """Return the point whose timestep is t, where that follows from the noise."""
    timesteps = _checked_rising(schedule.timesteps)
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
        fraction = share_of_way(np.array([t]), timesteps[k], timesteps[k + 1])
        found = insert_by_rule(schedule, rule, np.array([k]), fraction)
    else:
        # From the level alone, and so the same whatever the neighbours are.
        if isinstance(rule, str):
            level = path.inner(named(rule).levels(np.array([t])))
        else:
            levels = schedule.log_alpha_bar
            ends = to_host(path.noise_to_signal(namespace(levels.high), levels))
            ends = np.minimum(ends.astype(np.float64), 1e150)
            ratio = ratio_where(rule, schedule.network_kind, np.array([t]), ends[:1], ends[-1:])
            one = double_double.single(np.ones(1))
            level = path.inner(path.from_sigmas(np, double_double.single(ratio), one))
        high = schedule.log_alpha_bar.high
        found = double_double.on_device_of(namespace(high), high, level)
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


@curve.computed_on_host
def refine(schedule: "Schedule", k: int) -> "Schedule":
    """Return the schedule with k - 1 more points between neighbours: `s.refine(k)[::k] == s`.

    The points lie at evenly spaced timesteps, each where `at` finds it.

    Args:
        schedule: A schedule whose timesteps do not fall.
        k: Steps in place of each step but the first; `refine(1)` is the identity.

    Returns:
        A schedule of (N - 1) k + 1 points.

    Raises:
        TypeError: `k` is not an integer.
        ValueError: `k` < 1, the timesteps fall somewhere, or the last point is pure noise and the
            timesteps are not noise levels.

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
    fraction = double_double.quotients(np, np.ones(1), position % k, k)
    return at_positions(schedule, position // k, fraction, "refine")


def at_positions(
    schedule: "Schedule", index: np.ndarray, fraction: DoubleDouble, name: str
) -> "Schedule":
    """Return the points a share of the way, in timesteps, from one point to the next.

    Args:
        schedule: One with timesteps that do not fall.
        index: (M,), which point to start from.
        fraction: (M,), how far to go to the next: in [0, 1). 0 is the point itself, exactly.
        name: What asks for them, for an error.
    """
    rule = schedule.timestep_rule
    if not isinstance(rule, np.ndarray):
        found = insert_by_rule(schedule, rule, index, fraction)
        return with_points(schedule, found, rule, None)
    if (np.diff(curve.base_of(schedule).timesteps) < 0).any():
        raise ValueError(f"{name} needs timesteps that do not fall; these do")
    timestep_values, place, share = _places_between(schedule, index, fraction)
    points, timesteps, first = curve.knots(schedule)
    found = insert(points, timesteps, np.maximum(place - first, 0), share)
    own = path.inner(schedule.log_alpha_bar)
    mine = fraction.high == 0
    xp, count = namespace(own.high), len(schedule)
    found = double_double.gather(
        xp,
        double_double.concat(xp, own, found),
        np.where(mine, index, count + np.arange(len(index))),
    )
    places = np.where(mine, curve.places_of(schedule)[1:][index], 2 * place + (share.high > 0))
    places = np.append(curve.places_of(schedule)[:1], places)
    timestep_values = np.where(mine, rule[index], timestep_values)
    return with_points(
        schedule,
        found,
        canonical_timesteps(timestep_values),
        curve.covering(curve.base_of(schedule), places),
    )


def _places_between(
    schedule: "Schedule", index: np.ndarray, fraction: DoubleDouble
) -> tuple[np.ndarray, np.ndarray, DoubleDouble]:
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
    timestep_values = start[index] + fraction.high * (start[follow] - start[index])
    low, high = places[index] // 2, np.maximum((places[follow] + 1) // 2 - 1, places[index] // 2)
    place = np.clip(np.searchsorted(known, timestep_values, side="right") - 1, low, high)
    follow_place = np.minimum(place + 1, len(base))
    rises = known[follow_place] > known[place]
    # 0 where it does not rise; both ends of the division are finite there too.
    end = np.where(rises, known[follow_place], 1.0)
    share = share_of_way(
        np.where(rises, timestep_values, 0.0), np.where(rises, known[place], 0.0), end
    )
    # Neighbours on the curve have no point between them, and where timesteps repeat, they do not
    # determine a point: there, the share itself.
    near = (places[follow] - places[index] == 2) & (places[index] % 2 == 0)
    some = fraction.high > 0
    still = (near | (start[follow] == start[index])) & some
    between = (places[index] + fraction.high * (places[follow] - places[index])) / 2
    place = np.where(still, between.astype(np.int64), place)
    share = double_double.where(np, still, double_double.single(between - place), share)
    share = double_double.where(np, near, fraction, share)
    return timestep_values, place, double_double.where(np, some, share, fraction)


def _checked_rising(timesteps: np.ndarray) -> list[float]:
    """Return timesteps as a list.

    Raises:
        ValueError: They do not rise strictly.
    """
    if (np.diff(timesteps) <= 0).any():
        k = int(np.argmax(np.diff(timesteps) <= 0))
        raise ValueError(
            f"at(t) needs timesteps that rise strictly; timesteps[{k}:{k + 2}] are "
            f"{timesteps[k]}, {timesteps[k + 1]}"
        )
    return list(timesteps.tolist())
