"""Noise levels as other programs list them, and the points of a schedule there.

A level is sigma / alpha; for the network of a flow it is t = sigma / (alpha + sigma), which those
programs call sigma too.
"""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, namespace, to_host
from schedalg.checks import require
from schedalg.schedule import at_noise, constructors, curve, double_double, path

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: Levels beyond an end by up to this share are the end: lists are rounded.
_ROUNDED = 0.01
#: Log-SNRs that differ by less are one level, of which one is in float32.
_SAME_LEVEL = 5e-7


def noise_levels(schedule: "Schedule") -> Array:
    """Return the noise level of each point, (N,)."""
    xp, points = namespace(schedule.log_alpha_bar.high), path.inner(schedule.log_alpha_bar)
    return _levels_at(schedule, xp, points)


def _levels_at(schedule: "Schedule", xp: object, points: double_double.DoubleDouble) -> Array:
    """Return the noise levels, in the schedule's scale, of points given by log ᾱ."""
    if schedule.network_kind == "flow":
        return path.alpha_sigma(xp, points, "flow")[1]
    return path.noise_to_signal(xp, points)


@curve.computed_on_host
def at_noise_levels(
    schedule: "Schedule", name: str, levels: Array, *, rounded: bool = False
) -> "Schedule":
    """Return the schedule with points at these noise levels, which rise.

    Args:
        schedule: The schedule; the points lie on its curve.
        name: What errors call them; `name[k]` is one of them.
        levels: (M,).
        rounded: As in `subsample`.

    Raises:
        ValueError: They do not rise, or one lies beyond the schedule's; the schedule has no points,
            or ends in pure noise and has listed timesteps.
    """
    if len(schedule) == 0:
        raise ValueError("an empty schedule has no noise levels to choose from")
    host = to_host(levels).astype(np.float64)
    order = "noise levels must rise or fall strictly, above 0 but for one 0 at the clean end"
    require(name, host, host > np.append(0.0, host[:-1]), order)
    if isinstance(schedule.timestep_rule, np.ndarray):
        require_signal(schedule)
    own = to_host(noise_levels(schedule)).astype(np.float64)
    origin, low, high = *_least(schedule), float(own[-1])
    inside = (host >= low * (1 - _ROUNDED)) & (host <= high * (1 + _ROUNDED)) & (host > origin)
    span = f"the noise levels of this schedule run from {low:.6g} to {high:.6g}"
    require(name, host, inside, span)
    xp, like = namespace(levels), schedule.log_alpha_bar.high
    levels = xp.where(levels < low, low, xp.where(levels > high, high, levels))
    cls, flow = type(schedule), schedule.network_kind == "flow"
    made = (constructors.from_flow_times if flow else constructors.from_sigmas)(cls, levels)
    points = path.inner(made.log_alpha_bar)
    if isinstance(points.high, np.ndarray):
        points = double_double.on_device_of(namespace(like), like, points)
    ends = (bool(abs(host[0] - own[0]) <= 1e-12 * own[0]), bool(host[-1] >= high * (1 - 1e-12)))
    return at_noise.at_levels(schedule, points, ends, rounded=rounded, same=_SAME_LEVEL)


def _least(schedule: "Schedule") -> tuple[float, float]:
    """Return the noise level of the origin, and the lowest one at which a point can lie."""
    listed = isinstance(schedule.timestep_rule, np.ndarray)
    known = schedule.log_alpha_bar if not listed else curve.knots(schedule)[0]
    ends = [double_double.take(column, slice(1)) for column in (schedule.log_alpha_bar, known)]
    levels = [float(to_host(_levels_at(schedule, namespace(e.high), e))[0]) for e in ends]
    return levels[0], max(levels)


def require_signal(schedule: "Schedule") -> None:
    """Raise if the last point is pure noise, which is infinitely far in log-SNR.

    Raises:
        ValueError: The last point is pure noise.
    """
    if not np.isfinite(to_host(schedule.log_alpha_bar.high)[-1]):
        last = len(schedule) - 1
        raise ValueError(
            f"spacing by noise level needs a finite log-SNR, and point {last} (timestep "
            f"{schedule.timesteps[-1]}) has zero signal: space schedule[:{last}] instead"
        )
