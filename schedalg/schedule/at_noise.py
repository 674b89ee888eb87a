"""Points at given noise levels, on the curve of a schedule."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schedalg.arrays import namespace, to_host
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.between import gather, moved, with_points
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.timesteps import canonical_timesteps

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def at_log_snr(schedule: "Schedule", since: DoubleDouble, *, rounded: bool) -> "Schedule":
    """Return the points at given log-SNRs, which fall and lie within the schedule's.

    Args:
        schedule: Where they lie; its last point is not pure noise.
        since: (M,), M > 1, each minus that of the schedule's first point; the first is 0, and the
            last is that of the last point.
        rounded: Give each point the timestep of its nearer neighbour, in place of a fractional one.
    """
    if not isinstance(schedule.timestep_rule, np.ndarray):
        points, timesteps, first = path.inner(schedule.log_alpha_bar), schedule.timesteps, 1
    else:
        points, timesteps, first = curve.knots(schedule)
    start = double_double.take(schedule.log_alpha_bar, slice(1, 2))
    own = path.log_snr_since(namespace(points.high), points, start)
    return _located(
        schedule, _Knots(points, timesteps, first, own), since, (True, True), rounded=rounded
    )


def at_levels(
    schedule: "Schedule",
    log_alpha_bar: DoubleDouble,
    ends: tuple[bool, bool],
    *,
    rounded: bool,
    same: float = 0.0,
) -> "Schedule":
    """Return the points at given noise levels, which fall and lie on the schedule's curve.

    Args:
        schedule: Where they lie. If its timesteps are listed, its last point is not pure noise.
        log_alpha_bar: (M,), without an origin.
        ends: Whether the first and the last of them are the schedule's own.
        rounded: As in `at_log_snr`.
        same: A level whose log-SNR differs by less from that of a point of the curve is that point.
    """
    rule = schedule.timestep_rule
    if not isinstance(rule, np.ndarray):
        return with_points(schedule, _with_ends(schedule, log_alpha_bar, ends), rule, None)
    points, timesteps, first = curve.knots(schedule)
    xp = namespace(points.high)
    start = double_double.take(points, slice(1))
    own, since = (path.log_snr_since(xp, p, start) for p in (points, log_alpha_bar))
    known, wanted = to_host(own.high), to_host(since.high)
    after = np.clip(np.searchsorted(-known, -wanted), 1, max(len(known) - 1, 1))
    pair = np.stack([after - 1, np.minimum(after, len(known) - 1)])
    off = np.abs(known[pair] - wanted)
    nearest = np.where(off[0] <= off[1], pair[0], pair[1])
    where = np.where(off.min(axis=0) < same, nearest, len(known) + np.arange(len(wanted)))
    since = double_double.gather(xp, double_double.concat(xp, own, since), where)
    knots = _Knots(points, timesteps, first, own)
    return _located(schedule, knots, since, ends, rounded=rounded)


def _with_ends(schedule: "Schedule", points: DoubleDouble, ends: tuple[bool, bool]) -> DoubleDouble:
    """Return points of which the first or the last is replaced by the schedule's own."""
    xp, own = namespace(points.high), path.inner(schedule.log_alpha_bar)
    index = len(schedule) + np.arange(points.high.shape[0])
    if ends[0]:
        index[0] = 0
    if ends[1]:
        index[-1] = len(schedule) - 1
    return double_double.gather(xp, double_double.concat(xp, own, points), index)


class _Knots(NamedTuple):
    """What lies between points is interpolated from: `curve.knots`, and log-SNRs since one."""

    points: DoubleDouble
    timesteps: np.ndarray
    first: int
    since: DoubleDouble


def _located(
    schedule: "Schedule",
    knots: _Knots,
    since: DoubleDouble,
    ends: tuple[bool, bool],
    *,
    rounded: bool,
) -> "Schedule":
    """Return the points at given log-SNRs, which fall and lie within the knots'.

    Args:
        schedule: Where they lie.
        knots: The points of its curve.
        since: (M,), each minus the level from which those of the knots are counted.
        ends: Whether the first and the last of them are the schedule's own.
        rounded: Give each point the timestep of its nearer neighbour, in place of a fractional one.
    """
    points, timesteps, first, own = knots
    xp, host = namespace(points.high), to_host(own.high)
    index = np.searchsorted(-host, -to_host(since.high), side="right") - 1
    index = np.clip(index, 0, len(host) - 1)
    exact_change = double_double.minus(since, gather(points, own, index))
    change = to_host(exact_change.high)
    found = moved(points, index, path.fall_by(xp, exact_change))
    found = _with_ends(schedule, found, ends)
    rule = schedule.timestep_rule
    if not isinstance(rule, np.ndarray):
        return with_points(schedule, found, rule, None)
    follow = np.minimum(index + 1, len(host) - 1)
    gap = host[follow] - host[index]
    gap = np.where(gap < 0, gap, -1.0)  # no gap: at the last point, or below float64's reach
    fraction = change / gap
    if rounded:
        timestep_values = np.where(fraction < 0.5, timesteps[index], timesteps[follow])
    else:
        timestep_values = timesteps[index] + fraction * (timesteps[follow] - timesteps[index])
    places, mine = curve.places_of(schedule), 2 * (index + first) + (change != 0)
    for end, place in zip(ends, (0, -1), strict=True):
        if end:
            timestep_values[place] = rule[place]
            mine[place] = places[1:][place]
    between = curve.covering(curve.base_of(schedule), np.append(places[:1], mine))
    return with_points(schedule, found, canonical_timesteps(timestep_values), between)
