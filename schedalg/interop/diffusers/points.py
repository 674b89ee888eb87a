"""The points that a run in a pipeline visits."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import host_numbers, positive_integer, real_number, shown
from schedalg.interop.diffusers import flow
from schedalg.interop.diffusers.request import falling
from schedalg.interop.diffusers.spacing import distilled
from schedalg.interop.diffusers.trained import on_curve
from schedalg.schedule import Schedule


class Asked(NamedTuple):
    """The arguments of `set_timesteps`; see there."""

    steps: Any
    timesteps: Any
    sigmas: Any
    mu: Any
    original: Any
    strength: Any


def selected(
    base: Schedule, spacing: Any, asked: Asked, *, shift: float, dynamic_shift: bool
) -> Schedule:
    """Return the points that were asked for.

    Args:
        base: The schedule that they are chosen from.
        spacing: How a number of points is chosen; "all": the schedule's, in place of any others.
        asked: The points.
        shift: The shift of `sigmas`.
        dynamic_shift: Whether `mu` shifts them.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: None or more than one of the three is given, or the points do not exist.
    """
    given = [name for name in ("timesteps", "sigmas") if getattr(asked, name) is not None]
    if not given and asked.steps is None:
        raise ValueError("give one of num_inference_steps, timesteps and sigmas")
    if spacing == "all":
        path = _all(base, getattr(asked, given[0]) if given else None, asked.steps)
    elif asked.sigmas is not None:
        path = at_sigmas(base, asked.sigmas, shift)
        if asked.timesteps is not None:
            path = _with_timesteps(path, falling("timesteps", asked.timesteps)[::-1])
    elif asked.timesteps is not None:
        path = base.subsample(timesteps=falling("timesteps", asked.timesteps)[::-1].copy())
    else:
        path = _by_number(base, spacing, asked)
    if given and asked.steps is not None and asked.steps != len(path):
        raise ValueError(
            f"num_inference_steps is {asked.steps}, but {' and '.join(given)} select {len(path)} "
            "points"
        )
    if given or len(path) == len(base):
        path = _share(path, asked.strength)
    if asked.mu is not None and dynamic_shift:
        path = path.shift(math.exp(real_number("mu", asked.mu)))
    return path


def _all(base: Schedule, listed: Any, steps: Any) -> Schedule:
    asked = positive_integer("num_inference_steps", steps) if listed is None else len(listed)
    if asked != len(base):
        raise ValueError(
            f"{asked} points are asked for, and with spacing='all' the schedule's {len(base)} are "
            "visited"
        )
    return base


def _by_number(base: Schedule, spacing: Any, asked: Asked) -> Schedule:
    steps = positive_integer("num_inference_steps", asked.steps)
    if steps == len(base):
        return base
    if asked.original is None:
        return _share(base, asked.strength).subsample(steps=steps, spacing=spacing)
    original = positive_integer("original_inference_steps", asked.original)
    if original > len(base):
        raise ValueError(
            f"original_inference_steps is {original}, and the schedule has {len(base)} points"
        )
    return _spread(base, original, steps, real_number("strength", asked.strength))


def _spread(base: Schedule, original: int, steps: int, strength: float) -> Schedule:
    """Return the points that LCM chooses from those of its distillation."""
    kept = int(original * strength)
    if steps > kept:
        raise ValueError(
            f"num_inference_steps is {steps}, and original_inference_steps={original} leaves "
            f"{kept} at strength={shown(strength)}"
        )
    return base[distilled(len(base), original, kept, steps)]


def _with_timesteps(path: Schedule, timesteps: np.ndarray) -> Schedule:
    """Return the path with other timesteps for the network, at the same noise levels."""
    if len(timesteps) != len(path):
        raise ValueError(f"timesteps and sigmas differ in length: {len(timesteps)} and {len(path)}")
    log_snr = np.append(float(path.origin.log_snr), to_host(path.to_log_snr()))
    known = path.origin.sigma > 0
    labelled = Schedule.from_log_snr(
        log_snr if known else log_snr[1:],
        kind=path.kind,
        timesteps=np.append(timesteps[0], timesteps) if known else timesteps.copy(),
    )
    return replace(labelled[1:] if known else labelled, network_kind=path.network_kind)


def _share(path: Schedule, strength: object) -> Schedule:
    """Return the least noisy share of a path.

    Raises:
        TypeError: `strength` is not a number.
        ValueError: `strength` is outside [0, 1], or leaves nothing.
    """
    share = real_number("strength", strength)
    kept = int(len(path) * share)
    if not 0 <= share <= 1 or kept == 0:
        raise ValueError(
            f"strength must be in [0, 1] and leave at least one of the {len(path)} steps, got "
            f"{share!r}"
        )
    return path[:kept]


def noise_levels(schedule: Schedule, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the noise levels of some alpha and sigma, and then that of the schedule's origin.

    They are sigma/alpha, or sigma of a flow; float64.
    """
    origin = schedule.origin
    alpha, sigma = np.append(alpha, origin.alpha), np.append(sigma, origin.sigma)
    with np.errstate(divide="ignore"):  # pure noise
        unit = alpha + sigma if schedule.network_kind == "flow" else alpha
        return np.asarray(sigma / unit, dtype=np.float64)


def at_sigmas(base: Schedule, sigmas: object, shift: float = 1.0) -> Schedule:
    """Return the schedule through noise levels, with timesteps between those of the base.

    Args:
        base: The schedule; the last step arrives where it arrives there.
        sigmas: sigma/alpha, or sigma of a flow, falling. They may end with where the last step
            arrives.
        shift: By how much they are shifted, as those of a flow.

    Raises:
        TypeError: `sigmas` holds no numbers.
        ValueError: `sigmas` does not fall, or lies outside the base.
    """
    end = float(noise_levels(base, np.zeros(0), np.zeros(0))[-1])
    levels = host_numbers("sigmas", sigmas).astype(np.float64)
    if len(levels) > 1 and abs(levels[-1] - end) <= 1e-6 * end:
        levels = levels[:-1]
    levels = falling("sigmas", levels)
    if shift != 1:
        levels = shift * levels / (1 + (shift - 1) * levels)
    straight = base.network_kind == "flow"
    known = to_host(base.as_flow().sigma if straight else base.to_sigmas())
    rounding = 2e-6 * known[-1] if np.isfinite(known[-1]) else 0.0
    if abs(levels[-1] - known[0]) <= 1e-6 * known[0]:  # it may have been rounded to float32
        levels[-1] = known[0]
    if len(levels) == 0 or levels[-1] <= end or levels[0] > known[-1] + rounding:
        raise ValueError(
            f"sigmas must be above {end:.6g}, where the schedule ends, and at most "
            f"{known[-1]:.6g}; got {levels.tolist()}"
        )
    levels = levels[::-1]
    levels = np.minimum(levels, known[-1])
    if straight:
        timesteps = np.interp(levels, known, base.timesteps)
        log_snr = flow.log_snr(levels)
    else:
        timesteps = np.interp(np.log(levels), np.log(known), base.timesteps)
        log_snr = -2 * np.log(levels)
    if end > 0:
        log_snr = np.append(float(base.origin.log_snr), log_snr)
        timesteps = np.append(min(base.origin_timestep or 0, timesteps[0]), timesteps)
    path = Schedule.from_log_snr(log_snr, kind=base.kind, timesteps=timesteps)
    path = replace(path[1:] if end > 0 else path, network_kind=base.network_kind)
    if isinstance(base.timestep_rule, np.ndarray):
        return on_curve(path, base)
    return replace(path, timestep_rule=base.timestep_rule)
