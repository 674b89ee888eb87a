"""How the numbers of a point change with its log-SNR, while it moves along a schedule's curve."""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import namespace, to_host
from schedalg.schedule import curve, path
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import TimestepFunction, called, named, scales_at

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: A timestep is rounded, not interpolated, if it is off by more than this share of its size.
_OFF = 1e-6
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
    rule, levels = schedule.timestep_rule, schedule.log_alpha_bar
    log_snr = to_host(path.log_snr(namespace(levels.high), path.inner(levels)))
    if isinstance(rule, np.ndarray):
        return _on_curve(schedule, log_snr)
    ratio = np.exp(-log_snr / 2)
    if not isinstance(rule, str):
        return _of_function(rule, schedule.network_kind, log_snr)
    function, factor = named(rule)
    if function == "log_sigma":
        return np.full(len(ratio), -factor / 2)
    if function == "sigma":
        return -factor / 2 * ratio
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.isfinite(ratio), -factor / 2 * ratio / (1 + ratio) ** 2, 0.0)


def _on_curve(schedule: "Schedule", log_snr: np.ndarray) -> np.ndarray:
    points, timesteps, _ = curve.knots(schedule)
    known = to_host(path.log_snr(namespace(points.high), points))
    if len(known) < 2:
        return np.zeros(len(log_snr))
    index = np.clip(np.searchsorted(-known, -log_snr, side="right") - 1, 0, len(known) - 2)
    with np.errstate(invalid="ignore"):
        gap = known[index + 1] - known[index]
        slopes = (timesteps[index + 1] - timesteps[index]) / gap
        expected = timesteps[index] + slopes * (log_snr - known[index])
    own = schedule.timesteps
    close = abs(own - expected) <= _OFF * np.maximum(1.0, abs(own))
    return np.where(close & np.isfinite(slopes), slopes, 0.0)


def _of_function(rule: TimestepFunction, kind: Kind, log_snr: np.ndarray) -> np.ndarray:
    """Return derivatives of what a user's function returns, by differences of order 4."""

    def told(change: float) -> np.ndarray:
        return called(rule, *scales_at(np.exp(-(log_snr + change) / 2), kind))

    with np.errstate(invalid="ignore", over="ignore"):
        near, far = told(_NEAR) - told(-_NEAR), told(2 * _NEAR) - told(-2 * _NEAR)
        slopes = (8 * near - far) / (12 * _NEAR)
    return np.where(np.isfinite(log_snr), slopes, 0.0)
