"""Points a part of the way from a point to the next."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, Namespace, device, namespace, to_host
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import TimestepFunction, TimestepRule, named, ratio_where

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def share_of_way(timesteps: np.ndarray, start: Array, end: Array) -> DoubleDouble:
    """Return how far timesteps are from one to another, without the rounding of differences."""
    start = double_double.single(np.asarray(start, dtype=np.float64))
    width = double_double.minus(double_double.single(np.asarray(end, dtype=np.float64)), start)
    way = double_double.minus(double_double.single(timesteps), start)
    return double_double.divided(way, width)


def insert(
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
    change = gather(points, _ended(xp, change, 0.0), index)
    change = double_double.product(_like_points(points, fraction), change)
    return moved(points, index, path.fall_by(xp, change))


def insert_by_rule(
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
        return _insert_by_function(schedule, rule, index, fraction.high)
    function = named(rule).function
    if function == "log_sigma":
        return insert(points, schedule.timesteps, index, fraction)
    return _insert_in_sigma(points, "ve" if function == "sigma" else "flow", index, fraction)


def _insert_by_function(
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
    start = gather(points, ratio, index)
    some = xp.asarray(fraction > 0, device=device(points.high))
    start = double_double.where(xp, some, start, double_double.single(xp.ones_like(start.high)))
    fall = path.Fall(
        double_double.divided(start, found),
        double_double.divided(double_double.minus(found, start), found),
    )
    return moved(points, index, fall.squared())


def _insert_in_sigma(
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
        return gather(points, _ended(xp, values, end), index)

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
    return moved(points, index, path.Fall(kept, lost, far).squared())


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


def with_points(
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


def moved(points: DoubleDouble, index: np.ndarray, fall: path.Fall) -> DoubleDouble:
    """Return the points whose SNR is lower than that of point `index` by a fall."""
    xp = namespace(points.high)
    return path.moved(xp, gather(points, points, index), fall)


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


def _like_points(points: DoubleDouble, values: DoubleDouble) -> DoubleDouble:
    """Return host values as arrays like the points'."""
    return double_double.on_device_of(namespace(points.high), points.high, values)


def gather(points: DoubleDouble, values: DoubleDouble, index: np.ndarray) -> DoubleDouble:
    """Return the values at some indices, of the library of the points."""
    return double_double.gather(namespace(points.high), values, index)
