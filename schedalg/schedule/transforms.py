"""Functions from schedules to schedules: `compose`, `shift`, zero terminal SNR, change of scale.

Each is a method of `Schedule` too, so that a pipeline is a chain of calls or a composition of
functions, as you like.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Namespace, has_values, holds, is_array, namespace, to_host
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.scalars import arrays_of, scalar, shift_factor
from schedalg.schedule.timesteps import TimestepRule, rounded_timesteps

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def compose(schedule: "Schedule", other: "Schedule") -> "Schedule":
    """Return this path, then the other's.

    If the other starts where this one ends (a slice of the same path), its points follow as they
    are. If it starts clean and both preserve variance, its betas follow: ᾱ = ᾱ_last · ᾱ_other.
    Associative. The empty schedule, `s[:0]`, is the identity, and an `other` without points adds
    nothing.

    Args:
        schedule: The less noisy part.
        other: The part that follows.

    Returns:
        A schedule of all points of both, with this one's origin.

    Raises:
        TypeError: `other` is not a schedule.
        ValueError: They do not fit: another kind or network, a start that is neither clean nor this
            one's end, a clean start on a path that does not preserve variance, or nothing left to
            destroy (zero signal).

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.linear(1000)
        >>> s[:400].compose(s[400:]) == s
        True
        >>> a, b = Schedule.from_betas([0.1]), Schedule.from_betas([0.2, 0.3])
        >>> a.compose(b).to_betas()
        array([0.1, 0.2, 0.3])
    """
    if not isinstance(other, type(schedule)):
        raise TypeError(f"other must be a Schedule, got {type(other).__name__}")
    for name in ("kind", "network_kind"):
        mine, theirs = getattr(schedule, name), getattr(other, name)
        if mine != theirs:
            raise ValueError(
                f"cannot compose schedules of {name} {mine!r} and {theirs!r}, that of other"
            )
    xp = namespace(schedule.log_alpha_bar.high, other.log_alpha_bar.high)
    if len(other) == 0:
        return schedule
    moved = _joint(xp, schedule, other)
    rule: TimestepRule = other.timestep_rule
    between: curve.Curve | None = None
    mine = schedule.timestep_rule if len(schedule) else rule
    if isinstance(rule, np.ndarray) or isinstance(mine, np.ndarray) or rule != mine:
        schedule, other = _listed(schedule), _listed(other)
        rule = other.timesteps
        if len(schedule):
            rule = np.concatenate([schedule.timesteps, rule])
        between = curve.joined(schedule, other, moved)
    following = moved(path.inner(other.log_alpha_bar))
    return replace(
        schedule,
        log_alpha_bar=double_double.concat(xp, schedule.log_alpha_bar, following),
        timestep_rule=rule,
        curve=between,
    )


def _joint(xp: Namespace, schedule: "Schedule", other: "Schedule") -> curve.Change:
    """Return the function that moves log ᾱ of the second schedule to where the first ends.

    Raises:
        ValueError: The second starts neither clean nor there; if traced, that is not checked.
    """
    end = double_double.take(schedule.log_alpha_bar, slice(-1, None))
    start = double_double.take(other.log_alpha_bar, slice(0, 1))
    if has_values(end.high) and has_values(start.high):
        ends_at, starts_at = float(to_host(end.high)[0]), float(to_host(start.high)[0])
        if starts_at == ends_at:
            return _unmoved
        # Where a path was cut in two and each part changed, the end and the start may be two
        # roundings of one log ᾱ.
        if not abs(starts_at - ends_at) <= 1e-14 * abs(ends_at) < np.inf:
            _require_joinable(schedule, starts_at, ends_at)
    elif not other.starts_clean or (len(schedule) == 0 and schedule.starts_clean):
        return _unmoved
    else:
        _require_joinable(schedule, 0.0, np.nan)
    base = double_double.add(xp, end, DoubleDouble(-start.high, -start.low))
    return partial(double_double.add, xp, base)


def _unmoved(log_alpha_bar: DoubleDouble) -> DoubleDouble:
    return log_alpha_bar


def _listed(schedule: "Schedule") -> "Schedule":
    """Return the schedule with the timesteps that follow from its noise as a list."""
    if isinstance(schedule.timestep_rule, np.ndarray):
        return schedule
    return replace(schedule, timestep_rule=schedule.timesteps)


def _require_joinable(schedule: "Schedule", start: float, end: float) -> None:
    if start != 0:
        raise ValueError(
            "other starts neither clean nor where this schedule ends: its origin has "
            f"log alpha_cumprod {start!r}, the last point here {end!r}"
        )
    if schedule.kind != "vp":
        raise ValueError(
            f"a schedule of kind {schedule.kind!r} can be continued only by one whose origin is "
            "its last point (a slice of the same path); call as_vp() on both to join betas"
        )
    if end == -np.inf:
        raise ValueError("this schedule ends in pure noise (zero signal): no step can follow it")


@curve.computed_on_host
def shift(schedule: "Schedule", factor: float) -> "Schedule":
    """Return the schedule with its SNR divided by factor² everywhere; above 1 means noisier.

    On a flow: sigma' = factor sigma / (1 + (factor - 1) sigma). In log-SNR: minus 2 log(factor).
    The two are one operation. Timesteps stay, except where they are the noise levels.

    β' = β factor² / (ᾱ_t + factor² (1 - ᾱ_t)), since SNR_t/SNR_s stays the same.

    Args:
        schedule: The schedule. Its origin is shifted as well.
        factor: Above 0; `shift(a)` then `shift(b)` is `shift(a * b)`.

    Returns:
        A schedule of as many points, of the same kind.

    Raises:
        TypeError: `factor` is not a number.
        ValueError: It is not between 1e-60 and 1e60, or noise would be left that is smaller than
            floats are.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.flow(4).shift(3.0).sigma
        array([0.5 , 0.75, 0.9 , 1.  ])

    Source: Hoogeboom et al., arXiv 2301.11093; Esser et al., arXiv 2403.03206, equation 23.
    """
    number = scalar("factor", factor, shift_factor)
    if not is_array(number.source) and number.source == 1:
        return schedule
    xp, (by,) = arrays_of(number)
    if xp is not np:
        schedule = curve.on_library_of(schedule, by.high)
    like = schedule.log_alpha_bar.high
    by = by if xp is not np else double_double.on_device_of(namespace(like), like, by)
    try:
        return curve.moved(schedule, partial(_shifted, by))
    except ValueError as error:
        raise ValueError(f"factor is {number.value!r}: {error}") from None


def _shifted(factor: DoubleDouble, log_alpha_bar: DoubleDouble) -> DoubleDouble:
    """Return log ᾱ of the points whose SNR is lower by a factor squared."""
    xp, by = namespace(log_alpha_bar.high), double_double.square(factor)
    signal, variance, _ = path.shares(xp, log_alpha_bar)
    noise = double_double.product(by, variance)
    # ᾱ' = ᾱ / (ᾱ + factor² (1 - ᾱ)), whose denominator is a sum without cancellation.
    total = double_double.plus(signal, noise)
    step = path.fall_by(xp, double_double.differences(xp, log_alpha_bar))
    before, after = path.before(total), path.inner(total)
    kept = double_double.divided(double_double.product(step.kept, before), after)
    lost = double_double.divided(double_double.product(step.lost, by), after)
    origin = path.fall_by(xp, double_double.take(log_alpha_bar, slice(1)))
    start = double_double.take(total, slice(1))
    first = path.Fall(
        double_double.divided(origin.kept, start),
        double_double.divided(double_double.product(origin.lost, by), start),
        origin.far,
    )
    return path.from_origin(xp, path.joined(xp, first, path.Fall(kept, lost, step.far)))


@curve.computed_on_host
def rescale_zero_terminal_snr(schedule: "Schedule") -> "Schedule":
    """Return the schedule with alpha shifted and scaled so that it ends at 0, and starts as it did.

    alpha' = (alpha - alpha_T) alpha_0 / (alpha_0 - alpha_T).

    Args:
        schedule: A variance-preserving one, with at least two points.

    Returns:
        A schedule of as many points, whose last alpha is 0.

    Raises:
        ValueError: It does not preserve variance, its network was trained with alpha = 1, or it has
            fewer than two points.

    Example:
        >>> from schedalg import Schedule
        >>> float(Schedule.linear(1000).rescale_zero_terminal_snr().alpha[-1])
        0.0

    Source: Lin et al., arXiv 2305.08891, algorithm 1.
    """
    if schedule.kind != "vp":
        raise ValueError(
            "rescale_zero_terminal_snr needs a variance-preserving schedule, and this one is of "
            f"kind {schedule.kind!r}: call as_vp() first"
        )
    if schedule.network_kind == "ve":
        raise ValueError(
            "rescale_zero_terminal_snr: the network was trained with alpha = 1 (network_kind 've') "
            "and cannot be called at pure noise, where sigma would be infinite"
        )
    if len(schedule) < 2:
        raise ValueError(
            f"rescale_zero_terminal_snr needs at least 2 points, and there are {len(schedule)}"
        )
    if holds(schedule.log_alpha_bar.high == -np.inf, unseen=False)[-1]:
        return schedule
    return curve.moved(curve.between_ends(schedule), _ending_in_noise)


def _ending_in_noise(log_alpha_bar: DoubleDouble) -> DoubleDouble:
    """Return log ᾱ of the points with alpha scaled so that the last has none."""
    xp = namespace(log_alpha_bar.high)
    points = path.inner(log_alpha_bar)
    last = DoubleDouble(*(xp.broadcast_to(part[-1:], part.shape) for part in points))
    # (alpha_k - alpha_T) / alpha_k.
    rest = path.fall_by(xp, _halved(double_double.minus(last, points))).lost
    step = double_double.differences(xp, points)
    alpha = path.fall_by(xp, _halved(step))
    before, after = path.before(rest), path.inner(rest)
    # 1 - alpha'_t/alpha'_s = (alpha_s - alpha_t) / (alpha_s - alpha_T): 1 for the last step.
    changed = path.Fall(
        double_double.divided(double_double.product(alpha.kept, after), before),
        double_double.divided(alpha.lost, before),
        alpha.far,
    ).squared()
    start = double_double.take(log_alpha_bar, slice(2))
    origin = path.fall_by(xp, double_double.take(start, slice(1)))
    first = path.fall_by(xp, double_double.differences(xp, start))
    return path.from_origin(xp, path.joined(xp, path.joined(xp, origin, first), changed))


def _halved(value: DoubleDouble) -> DoubleDouble:
    return DoubleDouble(value.high / 2, value.low / 2)


def round_timesteps(schedule: "Schedule") -> "Schedule":
    """Return the schedule with every timestep rounded to the nearest whole number, half to even.

    For networks that look timesteps up in a table. The noise levels stay, and so does the curve of
    a respaced schedule. Timesteps may repeat. Samplers that call the network between the points,
    such as `Midpoint`, pass fractions to it there: call `round_timesteps` on their plan.

    Raises:
        ValueError: The timesteps are the noise levels themselves, of which none is a whole number.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.linear(1000).subsample(steps=4, spacing="karras")
        >>> s.timesteps.round(2)
        array([  0.  , 300.98, 775.13, 999.  ])
        >>> s.round_timesteps().timesteps
        array([  0, 301, 775, 999])
    """
    rule = schedule.timestep_rule
    if isinstance(rule, str) and rule in ("sigma", "log_sigma/4", "flow_time"):
        raise ValueError(
            f"round_timesteps: the timesteps of this schedule are its noise levels ({rule!r}), "
            "which would be equal as whole numbers: make it with timesteps='1000 flow_time', or "
            "with a list of numbers"
        )
    return replace(schedule, timestep_rule=rounded_timesteps(schedule.timesteps))


def as_vp(schedule: "Schedule") -> "Schedule":
    """Return the same signal-to-noise ratios on a path with alpha² + sigma² = 1.

    The network still gets x in the scale that it was trained in.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.karras(10).as_vp()
        >>> bool((abs(s.alpha**2 + s.sigma**2 - 1) < 1e-15).all())
        True
    """
    return replace(schedule, kind="vp")


def as_ve(schedule: "Schedule") -> "Schedule":
    """Return the same signal-to-noise ratios on a path with alpha = 1.

    The network still gets x in the scale that it was trained in.

    Raises:
        ValueError: The schedule ends in pure noise, where sigma would be infinite.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.linear(1000)
        >>> bool((s.as_ve().sigma == s.to_sigmas()).all())
        True
    """
    xp = namespace(schedule.log_alpha_bar.high)
    sigmas = path.noise_to_signal(xp, schedule.log_alpha_bar)
    finite = holds(xp.isfinite(sigmas))
    if not finite.all():
        k = int(np.argmin(finite)) - 1
        where = f"point {k} (timestep {schedule.timesteps[k]})" if k >= 0 else "the origin"
        raise ValueError(
            f"as_ve needs a finite sigma everywhere, and {where} has no signal left in float64: "
            f"leave it out, as in schedule[:{max(k, 0)}]"
        )
    return replace(schedule, kind="ve")


def as_flow(schedule: "Schedule") -> "Schedule":
    """Return the same signal-to-noise ratios on a path with alpha + sigma = 1.

    The network still gets x in the scale that it was trained in.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.linear(1000).as_flow()
        >>> bool((abs(s.alpha + s.sigma - 1) < 1e-15).all())
        True
    """
    return replace(schedule, kind="flow")
