"""Points between the points of a schedule: `at` a fractional timestep, and `refine`.

Between two neighbours the timestep and the log-SNR run on a straight line; the neighbours are those
of the schedule that this one was chosen from (see `schedalg.schedule.curve`). Where the timesteps
are the noise levels themselves (schedules made of sigmas, and flows), the point at a timestep is
exact rather than interpolated.
"""

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schedalg.arrays import Array, Namespace, device, namespace, requires_gradient, to_host
from schedalg.checks import MOST, positive_integer, real_number
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.path import Kind
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
    if known[k] == t:
        base: Schedule = curve.base_of(schedule)
        place = k - 1 + first
        return base[place] if place >= 0 else base.origin
    pair = double_double.take(points, slice(k, k + 2))
    fraction = _share(np.array([t]), timesteps[k], timesteps[k + 1])
    found = _insert(pair, timesteps[k : k + 2], np.array([0]), fraction)
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
        fraction = _share(np.array([t]), timesteps[k], timesteps[k + 1])
        found = _insert_level(schedule, rule, np.array([k]), fraction)
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
        found = _insert_level(schedule, rule, index, fraction)
        return _with_points(schedule, found, rule, None)
    if (np.diff(curve.base_of(schedule).timesteps) < 0).any():
        raise ValueError(f"{name} needs timesteps that do not fall; these do")
    timestep_values, place, share = _places_between(schedule, index, fraction)
    points, timesteps, first = curve.knots(schedule)
    found = _insert(points, timesteps, np.maximum(place - first, 0), share)
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
    return _with_points(
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
    share = _share(np.where(rises, timestep_values, 0.0), np.where(rises, known[place], 0.0), end)
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


def _share(timesteps: np.ndarray, start: Array, end: Array) -> DoubleDouble:
    """Return how far timesteps are from one to another, without the rounding of differences."""
    start = double_double.single(np.asarray(start, dtype=np.float64))
    width = double_double.minus(double_double.single(np.asarray(end, dtype=np.float64)), start)
    way = double_double.minus(double_double.single(timesteps), start)
    return double_double.divided(way, width)


def _insert(
    points: DoubleDouble, timesteps: np.ndarray, index: np.ndarray, fraction: DoubleDouble
) -> DoubleDouble:
    """Return the points a fraction of the way from point `index` to the next, in log-SNR.

    Args:
        points: log ᾱ, without an origin.
        timesteps: Theirs, for a message.
        index: (M,), which point to start from.
        fraction: (M,), in [0, 1); 0 is that point itself, exactly.
    """
    xp = namespace(points.high)
    falls = path.snr_falls(xp, points)
    _check_reach(falls, index[fraction.high > 0], timesteps)
    dark = falls.kept.high == 0
    none = double_double.single(xp.zeros_like(falls.kept.high))
    change = double_double.where(xp, dark, none, falls.log(xp))
    change = _gather(points, _ended(xp, change, 0.0), index)
    change = double_double.product(_like_points(points, fraction), change)
    return _moved(points, index, path.fall_by(xp, change))


def _insert_level(
    schedule: "Schedule", rule: str | TimestepFunction, index: np.ndarray, fraction: DoubleDouble
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
        return _insert_by(schedule, rule, index, fraction.high)
    function = named(rule).function
    if function == "log_sigma":
        return _insert(points, schedule.timesteps, index, fraction)
    return _insert_in(points, "ve" if function == "sigma" else "flow", index, fraction)


def _insert_by(
    schedule: "Schedule", function: TimestepFunction, index: np.ndarray, fraction: np.ndarray
) -> DoubleDouble:
    """Return the points a fraction of the way where timesteps follow from a function."""
    points, timesteps = path.inner(schedule.log_alpha_bar), schedule.timesteps
    xp = namespace(points.high)
    ratio = path.ratios_of(xp, points)
    follow = np.minimum(index + 1, len(schedule) - 1)
    timestep_values = timesteps[index] + fraction * (timesteps[follow] - timesteps[index])
    new, host = np.flatnonzero(fraction > 0), to_host(ratio.high).astype(np.float64)
    places = np.ones(len(index))
    places[new] = ratio_where(
        function,
        schedule.network_kind,
        timestep_values[new],
        host[index[new]],
        host[follow[new]],
    )
    found = _like_points(points, double_double.single(places))
    start = _gather(points, ratio, index)
    some = xp.asarray(fraction > 0, device=device(points.high))
    start = double_double.where(xp, some, start, double_double.single(xp.ones_like(start.high)))
    fall = path.Fall(
        double_double.divided(start, found),
        double_double.divided(double_double.minus(found, start), found),
    )
    return _moved(points, index, fall.squared())


def _insert_in(
    points: DoubleDouble, kind: Kind, index: np.ndarray, fraction: DoubleDouble
) -> DoubleDouble:
    """Return the points a fraction of the way in sigma, in the scale of `kind`."""
    xp = namespace(points.high)
    falls = path.snr_falls(xp, points)
    if kind == "ve":
        _check_reach(falls, index[fraction.high > 0], to_host(path.noise_to_signal(xp, points)))
    one = double_double.single(xp.ones_like(falls.kept.high))
    none = double_double.single(xp.zeros_like(falls.kept.high))

    def rooted(kept: DoubleDouble) -> DoubleDouble:
        dark = kept.high == 0
        return double_double.where(
            xp, dark, none, double_double.root(xp, double_double.where(xp, dark, one, kept))
        )

    def at_index(values: DoubleDouble, end: float) -> DoubleDouble:
        return _gather(points, _ended(xp, values, end), index)

    # sigma/alpha of s as a share of that of t, and sigma of s in the scale.
    ratio = level = rooted(falls.share(xp))
    lost = at_index(double_double.divided(falls.lost, double_double.plus(one, ratio)), 0.0)
    if kind == "flow":
        noise = _flow_times(xp, points)
        level = double_double.divided(path.before(noise), path.inner(noise))
    share = _like_points(points, fraction)
    some, whole = share.high > 0, double_double.single(xp.ones_like(share.high))
    before = double_double.product(double_double.minus(whole, share), at_index(level, 1.0))
    total = double_double.where(xp, some, double_double.plus(before, share), whole)
    far = None
    if kind == "flow":
        way = double_double.product(share, at_index(ratio, 1.0))
        kept = double_double.plus(before, way)
    else:
        kept = at_index(rooted(falls.kept), 1.0)
        if falls.far is not None:
            half = DoubleDouble(falls.far.high / 2, falls.far.low / 2)
            stay = double_double.single(xp.zeros_like(share.high))
            far = double_double.where(xp, some, at_index(half, 0.0), stay)
    kept = double_double.where(xp, some, double_double.divided(kept, total), whole)
    lost = double_double.divided(double_double.product(share, lost), total)
    return _moved(points, index, path.Fall(kept, lost, far).squared())


def _flow_times(xp: Namespace, points: DoubleDouble) -> DoubleDouble:
    """Return sigma / (alpha + sigma) in double-double."""
    signal, variance, _ = path.shares(xp, points)
    dark = signal.high == 0
    one = double_double.single(xp.ones_like(signal.high))
    alpha = double_double.root(xp, double_double.where(xp, dark, one, signal))
    sigma = double_double.root(xp, variance)
    time = double_double.divided(sigma, double_double.plus(alpha, sigma))
    return double_double.where(xp, dark, one, time)


def _ended(xp: Namespace, values: DoubleDouble, end: float) -> DoubleDouble:
    """Return a value for each step with one more for the last point, after which there is none."""
    last = xp.full((1,), end, dtype=values.high.dtype, device=device(values.high))
    return double_double.concat(xp, values, double_double.single(last))


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
        return _with_points(schedule, _with_ends(schedule, log_alpha_bar, ends), rule, None)
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
    exact_change = double_double.minus(since, _gather(points, own, index))
    change = to_host(exact_change.high)
    found = _moved(points, index, path.fall_by(xp, exact_change))
    found = _with_ends(schedule, found, ends)
    rule = schedule.timestep_rule
    if not isinstance(rule, np.ndarray):
        return _with_points(schedule, found, rule, None)
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
        n = points.high.shape[0]
        raise ValueError(
            f"{n} noise levels there do not all differ in float64: choose fewer of them"
        )
    origin = double_double.take(schedule.log_alpha_bar, slice(0, 1))
    levels = double_double.concat(xp, origin, points)
    return replace(schedule, log_alpha_bar=levels, timestep_rule=rule, curve=between)


def _moved(points: DoubleDouble, index: np.ndarray, fall: path.Fall) -> DoubleDouble:
    """Return the points whose SNR is lower than that of point `index` by a fall."""
    xp = namespace(points.high)
    return path.moved(xp, _gather(points, points, index), fall)


def _check_reach(falls: path.Fall, used: np.ndarray, timesteps: np.ndarray) -> None:
    """Raise if one of the steps in `used` is infinitely long in log-SNR.

    Raises:
        ValueError: A step is.
    """
    if (to_host(falls.kept.high) == 0)[used].any():
        raise ValueError(
            f"no point lies between timesteps {timesteps[-2]} and "
            f"{timesteps[-1]}: the latter has zero signal, which is infinitely far"
        )


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


def _like_points(points: DoubleDouble, values: DoubleDouble) -> DoubleDouble:
    """Return host values as arrays like the points'."""
    return double_double.on_device_of(namespace(points.high), points.high, values)


def _gather(points: DoubleDouble, values: DoubleDouble, index: np.ndarray) -> DoubleDouble:
    return double_double.gather(namespace(points.high), values, index)
