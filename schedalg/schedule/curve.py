"""What lies between the points of a schedule that were chosen from more: its curve.

A network trained on 1000 timesteps was trained on one function from timesteps to noise levels,
whichever few of them a sampler visits. A respaced schedule with listed timesteps therefore carries
the stretch of its base that covers it, and everything that asks for a noise level between its
points reads that stretch. One that was chosen from nothing, or kept everything, is its own curve,
and carries none; nor does one whose timesteps follow from the noise, which are exact anywhere.

Points are found on a curve by place, never by comparing numbers. Place 2 k is the curve's point k
itself, counted from its origin, 0; 2 k + 1 is somewhere between point k and the next.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np

from schedalg.arrays import Array, namespace, requires_gradient, to_host
from schedalg.schedule import double_double, path
from schedalg.schedule.double_double import DoubleDouble

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: A function from log ᾱ of an origin and its points to as many others.
Change = Callable[[DoubleDouble], DoubleDouble]
Operation = TypeVar("Operation", bound=Callable[..., Any])


class Curve(NamedTuple):
    """Where a schedule was chosen from.

    Attributes:
        base: The smallest stretch of the base that covers the schedule; it has no curve itself.
        places: (N+1,), where the schedule's origin and its points lie on it.

    Example:
        >>> from schedalg import Schedule
        >>> fast = Schedule.linear(1000).subsample(every=10)
        >>> fast.curve.base == Schedule.linear(1000)[:991]
        True
        >>> fast.curve.places[:4]
        array([ 0,  2, 22, 42])
    """

    base: "Schedule"
    places: np.ndarray


def base_of(schedule: "Schedule") -> "Schedule":
    """Return the schedule that this one was chosen from, which defines the path between points."""
    return schedule if schedule.curve is None else schedule.curve.base


def places_of(schedule: "Schedule") -> np.ndarray:
    """Return where the origin and the points lie on the curve."""
    if schedule.curve is None:
        return 2 * np.arange(len(schedule) + 1)
    return schedule.curve.places


def covering(base: "Schedule", places: np.ndarray) -> Curve | None:
    """Return the curve of an origin and points at given places of a base; None if it says nothing.

    It says nothing where there are no points, where these are the base's, and where timesteps
    follow from the noise.
    """
    if len(places) == 1 or not isinstance(base.timestep_rule, np.ndarray):
        return None
    low, high = int(places[0]) // 2, (int(places[-1]) + 1) // 2
    places = places - 2 * low
    if len(places) == high - low + 1 and not np.count_nonzero(places % 2):
        return None
    places.flags.writeable = False
    return Curve(base if (low, high) == (0, len(base)) else base._stretch(low, high), places)


def knots(schedule: "Schedule") -> tuple[DoubleDouble, np.ndarray, int]:
    """Return the points that what lies between is interpolated from: log ᾱ, timesteps, first.

    The origin of the curve is one if it has a timestep; `first` is 0 if so, and else 1.
    """
    base = base_of(schedule)
    timesteps, origin = base.timesteps, base.origin_timestep
    noisy = float(to_host(base.log_alpha_bar.high)[0]) < 0
    if origin is None or not noisy or (len(base) and not origin < timesteps[0]):
        return path.inner(base.log_alpha_bar), timesteps, 1
    return base.log_alpha_bar, np.append(origin, timesteps), 0


def timesteps_on(schedule: "Schedule") -> np.ndarray:
    """Return the curve's timesteps at the origin and at every point; NaN where the origin has none.

    They are the schedule's own, unless those were rounded to a neighbour's.
    """
    base, places = base_of(schedule), places_of(schedule)
    known = _with_origin(base)
    low, high = known[places // 2], known[(places + 1) // 2]
    own = _with_origin(schedule)
    between = places % 2 == 1
    rounded = between & ~((low < own) & (own < high))
    if rounded.any():
        level = to_host(path.log_snr(namespace(base.log_alpha_bar.high), base.log_alpha_bar))
        mine = to_host(path.log_snr(namespace(base.log_alpha_bar.high), schedule.log_alpha_bar))
        start = level[places // 2][rounded]
        share = (mine[rounded] - start) / (level[(places + 1) // 2][rounded] - start)
        own[rounded] = low[rounded] + share * (high[rounded] - low[rounded])
    return np.where(between, own, low)


def _with_origin(schedule: "Schedule") -> np.ndarray:
    origin = schedule.origin_timestep
    return np.append(np.nan if origin is None else float(origin), schedule.timesteps)


def moved(schedule: "Schedule", change: Change) -> "Schedule":
    """Return the schedule with log ᾱ changed at every point, and on its curve too.

    Points that lie on the curve's are changed as these, so that they coincide to the last bit:
    whatever is chosen from a changed schedule, the choice changed alike is the same.
    """
    if schedule.curve is None:
        return replace(schedule, log_alpha_bar=change(schedule.log_alpha_bar))
    base, places = schedule.curve
    between = np.flatnonzero(places % 2)
    xp, column = namespace(base.log_alpha_bar.high), base.log_alpha_bar
    count = len(base) + 1
    rank = np.append(2 * np.arange(count), places[between])
    order = np.argsort(rank, kind="stable")
    if len(between):
        off = double_double.gather(xp, schedule.log_alpha_bar, between)
        column = double_double.concat(xp, column, off)
        column = double_double.gather(xp, column, order)
    column = change(column)
    where = np.argsort(order)
    mine = places // 2
    mine[between] = count + np.arange(len(between))
    curve = column if not len(between) else double_double.gather(xp, column, where[:count])
    return replace(
        schedule,
        log_alpha_bar=double_double.gather(xp, column, where[mine]),
        curve=Curve(replace(base, log_alpha_bar=curve), places),
    )


def on_library_of(schedule: "Schedule", array: Array) -> "Schedule":
    """Return the schedule with log ᾱ, and that of its curve, in the library of an array.

    Raises:
        TypeError: They are in another library than NumPy already.
    """
    column, xp = schedule.log_alpha_bar, namespace(array)
    if isinstance(column.high, np.ndarray):
        column = double_double.on_device_of(xp, array, column)
    namespace(column.high, array)
    return _with_column(schedule, column, lambda base: on_library_of(base, array))


def computed_on_host(operation: Operation) -> Operation:
    """Have an operation compute in NumPy, in whatever library, unless a gradient is required.

    Double-double numbers take hundreds of small operations, each of which is a kernel to start on a
    GPU, and one to compile in JAX.
    """

    @wraps(operation)
    def computed(schedule: "Schedule", *args: Any, **kwargs: Any) -> Any:
        column = schedule.log_alpha_bar
        if isinstance(column.high, np.ndarray) or requires_gradient(column.high):
            return operation(schedule, *args, **kwargs)
        result = operation(_on_host(schedule), *args, **kwargs)
        if not isinstance(result, type(schedule)):
            return result
        if not isinstance(result.log_alpha_bar.high, np.ndarray):
            return result
        return on_library_of(result, column.high)

    return cast("Operation", computed)


def _on_host(schedule: "Schedule") -> "Schedule":
    return _with_column(schedule, double_double.on_host(schedule.log_alpha_bar), _on_host)


def _with_column(
    schedule: "Schedule", column: DoubleDouble, change: Callable[["Schedule"], "Schedule"]
) -> "Schedule":
    """Return the schedule with `column`, its own log ᾱ in another library or on another device.

    `change` does the same to the base of its curve.
    """
    moved = replace(schedule, log_alpha_bar=column)
    if schedule.curve is None:
        return moved
    base, places = schedule.curve
    return replace(moved, curve=Curve(change(base), places))


def between_ends(schedule: "Schedule") -> "Schedule":
    """Return the schedule with a curve that has no point before its first or after its last one."""
    if schedule.curve is None:
        return schedule
    base, places = schedule.curve
    xp = namespace(base.log_alpha_bar.high)
    low, high = int(places[1]) // 2, (int(places[-1]) + 1) // 2
    own, inner = schedule.log_alpha_bar, slice(low + 1, high)
    ends = timesteps_on(schedule)[[1, -1]]
    if (ends == np.rint(ends)).all():
        ends = ends.astype(base.timesteps.dtype)
    start = double_double.concat(
        xp, double_double.take(own, slice(2)), double_double.take(base.log_alpha_bar, inner)
    )
    timestep_values = base.timesteps[low : high - 1]
    cut = replace(
        base,
        log_alpha_bar=double_double.concat(xp, start, double_double.take(own, slice(-1, None))),
        timestep_rule=np.concatenate([ends[:1], timestep_values, ends[1:]]),
        origin_timestep=schedule.origin_timestep,
    )
    places = places - 2 * low + 2
    places[[0, 1, -1]] = 0, 2, 2 * (high - low + 1)
    return replace(schedule, curve=covering(cut, places))


def joined(schedule: "Schedule", other: "Schedule", change: Change) -> Curve | None:
    """Return the curve of one schedule followed by another, both with listed timesteps.

    Where the two meet between the same two points of a base, it goes on as the base; anywhere else
    where they meet is one of its points.

    Args:
        schedule: The first.
        other: The second, of at least one point.
        change: Moves log ᾱ of the second to where the first ends.
    """
    if schedule.curve is None and other.curve is None:
        return None
    xp = namespace(schedule.log_alpha_bar.high)
    first, second = base_of(schedule), base_of(other)
    before, after = places_of(schedule).copy(), places_of(other).copy()
    left, right = first.log_alpha_bar, change(second.log_alpha_bar)
    timestep_values, count = first.timesteps, len(first)
    if len(schedule) == 0:
        if after[0] % 2:  # before the origin there is a point of the curve still
            return covering(replace(second, log_alpha_bar=right), after)
        column = double_double.concat(xp, left, path.inner(right))
        origin = schedule.origin_timestep
        return covering(replace(second, log_alpha_bar=column, origin_timestep=origin), after)
    if before[-1] % 2:
        left, timestep_values = double_double.take(left, slice(-1)), timestep_values[:-1]
        if after[0] % 2 and _one_stretch(first.log_alpha_bar, right):
            count -= 1
        else:
            left = double_double.concat(
                xp, left, double_double.take(schedule.log_alpha_bar, slice(-1, None))
            )
            timestep_values = np.append(timestep_values, timesteps_on(schedule)[-1])
            before[-1] += 1
    whole = replace(
        first,
        log_alpha_bar=double_double.concat(xp, left, path.inner(right)),
        timestep_rule=np.concatenate([timestep_values, second.timesteps]),
    )
    return covering(whole, np.concatenate([before, after[1:] + 2 * count]))


def _one_stretch(left: DoubleDouble, right: DoubleDouble) -> bool:
    """Whether a curve's last two points and another's first two are on one base."""
    end, start = to_host(left.high)[-2:], to_host(right.high)[:2]
    return bool((end == start).any())


def located(base: "Schedule", log_alpha_bar: DoubleDouble) -> np.ndarray:
    """Return the places of points on a base of NumPy arrays, from their log ᾱ.

    Raises:
        ValueError: One lies beyond its ends.
    """
    parts = (base.log_alpha_bar.high, base.log_alpha_bar.low)
    known = list(zip(*(-part for part in parts), strict=True))
    places = []
    for k, level in enumerate(zip(*(-part for part in log_alpha_bar), strict=True)):
        after = bisect_right(known, level)
        if after == 0 or (after == len(known) and known[-1] != level):
            there = float(-level[0])
            raise ValueError(f"log_alphas_cumprod[0][{k}] is {there!r}: beyond the curve")
        places.append(2 * (after - 1) + (known[after - 1] != level))
    return np.array(places)
