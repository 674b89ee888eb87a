"""How the numbers of a point change with its log-SNR, while it moves along a schedule's curve."""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, device, has_values, known, namespace, requires_gradient, to_host
from schedalg.schedule import curve, double_double, path
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import TimestepFunction, called, named, scales_at

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: A timestep is rounded, not interpolated, if it is off by more than this share of its size, by the
#: bytes of a noise level.
_OFF = {8: 1e-6, 4: 1e-3}
#: How far a function of a user's is looked at on both sides, in log-SNR.
_NEAR = 2.0**-7


def scale_slopes(kind: Kind, alpha: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of alpha and sigma by the log-SNR, in the scale of `kind`.

    From log(alpha/sigma), half the log-SNR, and what the scale keeps: alpha² + sigma², alpha, or
    alpha + sigma.
    """
    share = {"vp": sigma**2, "ve": np.zeros_like(sigma), "flow": sigma}[kind]
    rest = {"vp": alpha**2, "ve": np.ones_like(alpha), "flow": alpha}[kind]
    return alpha * share / 2, -sigma * rest / 2


def timestep_slopes(schedule: "Schedule") -> np.ndarray:
    """Return the derivative of each point's timestep by its log-SNR, (N,).

    On a curve, that of the stretch where the point lies; at a point of the curve, of the stretch to
    more noise, and at its end to less. 0 where a timestep was rounded, and at pure noise.
    """
    levels = schedule.log_alpha_bar
    log_snr = to_host(path.log_snr(namespace(levels.high), path.inner(levels)))
    return _slopes(schedule, schedule.timesteps, log_snr)


def differentiable_timesteps(schedule: "Schedule") -> Array:
    """Return the timesteps of a schedule, differentiable where a gradient moves them.

    Listed ones of points of a curve do not move. Those of points between do, when the point moves
    or the curve.
    """
    levels, values = schedule.log_alpha_bar, schedule.timesteps
    if not requires_gradient(levels.high) or not has_values(levels.high):
        return values
    if isinstance(schedule.timestep_rule, np.ndarray):
        between = curve.places_of(schedule)[1:] % 2 == 1
        if not timestep_slopes(schedule)[between].any():
            return values
    scales = path.alpha_sigma(namespace(levels.high), path.inner(levels), schedule.kind)
    return timesteps_at(schedule, values, *scales)


def timesteps_at(schedule: "Schedule", timesteps: np.ndarray, alpha: Array, sigma: Array) -> Array:
    """Return timesteps at noise levels on a schedule's curve, differentiable by these levels.

    Args:
        schedule: A schedule.
        timesteps: (M,).
        alpha: (M,), signal scale, at any noise level between the schedule's.
        sigma: (M,), noise scale.
    """
    if not requires_gradient(sigma) or not has_values(sigma):
        return timesteps
    with np.errstate(divide="ignore"):
        host = 2 * (np.log(to_host(alpha)) - np.log(to_host(sigma)))
    slopes = _slopes(schedule, timesteps, host)
    (moving,) = np.nonzero(slopes)
    if not len(moving):
        return timesteps
    xp, library = namespace(sigma), known(sigma)

    def gathered(values: Array, index: np.ndarray) -> Array:
        return xp.take(values, xp.asarray(index, device=device(sigma)))

    log_snr = 2 * xp.log(gathered(alpha, moving) / gathered(sigma, moving))
    if isinstance(schedule.timestep_rule, np.ndarray):
        # The curve may move too, and a timestep moves against it.
        points, _, _ = curve.knots(schedule)
        levels = to_host(path.log_snr(xp, points))
        index = _stretches(levels, host[moving])
        ends = [path.log_snr(xp, double_double.gather(xp, points, index + k)) for k in (0, 1)]
        share = (host[moving] - levels[index]) / (levels[index + 1] - levels[index])
        share = library.array_like(share, sigma)
        log_snr = log_snr - (1 - share) * ends[0] - share * ends[1]
    change = log_snr - library.array_like(to_host(log_snr), sigma)  # 0, with a derivative
    change = xp.concat([change * library.array_like(slopes[moving], sigma), 0 * change[:1]])
    # Each level has its own change, or the 0 after them.
    place = np.full(len(timesteps), len(moving))
    place[moving] = np.arange(len(moving))
    return gathered(change, place) + library.array_like(timesteps.astype(np.float64), sigma)


def _slopes(schedule: "Schedule", timesteps: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    """Return the derivative of timesteps by the log-SNR, at any log-SNRs on the curve."""
    rule = schedule.timestep_rule
    if isinstance(rule, np.ndarray):
        return _on_curve(schedule, timesteps, log_snr)
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = _of_rule(rule, schedule.network_kind, log_snr)
    return np.where(np.isfinite(log_snr), slopes, 0.0)


def _on_curve(schedule: "Schedule", own: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    points, timesteps, _ = curve.knots(schedule)
    levels = to_host(path.log_snr(namespace(points.high), points))
    if len(levels) < 2:
        return np.zeros(len(log_snr))
    index = _stretches(levels, log_snr)
    with np.errstate(invalid="ignore"):
        gap = levels[index + 1] - levels[index]
        slopes = (timesteps[index + 1] - timesteps[index]) / gap
        expected = timesteps[index] + slopes * (log_snr - levels[index])
    close = abs(own - expected) <= _OFF[levels.itemsize] * np.maximum(1.0, abs(own))
    return np.where(close & np.isfinite(slopes), slopes, 0.0)


def _stretches(levels: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    """Return the point of a curve, of two or more, from which on each level lies."""
    return np.clip(np.searchsorted(-levels, -log_snr, side="right") - 1, 0, len(levels) - 2)


def _of_rule(rule: str | TimestepFunction, kind: Kind, log_snr: np.ndarray) -> np.ndarray:
    ratio = np.exp(-log_snr / 2)
    if not isinstance(rule, str):
        return _of_function(rule, kind, log_snr)
    function, factor = named(rule)
    if function == "log_sigma":
        return np.full(len(ratio), -factor / 2)
    level = ratio if function == "sigma" else ratio / (1 + ratio) ** 2
    return np.asarray(-factor / 2 * level)


def _of_function(rule: TimestepFunction, kind: Kind, log_snr: np.ndarray) -> np.ndarray:
    """Return derivatives of what a user's function returns, by differences of order 4."""

    def at(change: float) -> np.ndarray:
        return called(rule, *scales_at(np.exp(-(log_snr + change) / 2), kind))

    near, far = at(_NEAR) - at(-_NEAR), at(2 * _NEAR) - at(-2 * _NEAR)
    return np.asarray((8 * near - far) / (12 * _NEAR))
