"""The coordinates in which a perfect network's path to a single image is a straight line.

Where alpha is 1, dx/dsigma = (x - x0)/sigma, which is the noise eps; on a flow, dx/dt =
(x - x0)/t, which is the flow's velocity. One equation, in two coordinates, tau = sigma/alpha and
tau = sigma/(alpha + sigma); a method of finite order gives slightly different images in the two. It
is the scale that the network was trained in that decides, whatever the scale of the path.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schedalg.arrays import Array, namespace, to_host
from schedalg.plan.steps import Steps, column_log_alpha_bar
from schedalg.schedule import path
from schedalg.schedule.curve import base_of
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import called, named

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


class Straight(NamedTuple):
    """The steps of a schedule in these coordinates: columns of N numbers, noisiest first.

    Attributes:
        unit_t: x / unit is x in these coordinates, where the step starts.
        unit_s: The same where it arrives.
        change: tau_s - tau_t, below 0.
        finite: Whether tau is finite where the step starts, a NumPy array.
    """

    unit_t: Array
    unit_s: Array
    change: Array
    finite: np.ndarray


def straight(schedule: "Schedule", steps: Steps) -> Straight:
    """Return the steps of a schedule in the coordinates of its network.

    tau_s - tau_t is -(1 - e^-h) tau_t, times alpha_s/(alpha_s + sigma_s) on a flow: exact for short
    steps.
    """
    if schedule.network_kind == "flow":
        unit_t, unit_s = steps.alpha_t + steps.sigma_t, steps.alpha_s + steps.sigma_s
        change = -steps.rise * (steps.sigma_t / unit_t) * (steps.alpha_s / unit_s)
        return Straight(unit_t, unit_s, change, np.ones(len(schedule), dtype=bool))
    finite = to_host(steps.alpha_t) > 0
    unit_t = steps.where(finite, steps.alpha_t, 1.0)
    return Straight(unit_t, steps.alpha_s, -steps.rise * (steps.sigma_t / unit_t), finite)


def slope(schedule: "Schedule", finite: Array) -> tuple[Array, Array]:
    """Return p and q of what a row remembers, p x0 + q eps: dx/dtau, or x0 where tau is infinite.

    Args:
        schedule: Whose network decides the coordinates: dx/dtau is eps, or eps - x0 for a flow.
        finite: Whether tau is finite, a NumPy array.
    """
    p = np.where(finite, -1.0 if schedule.network_kind == "flow" else 0.0, 1.0)
    return p, np.where(finite, 1.0, 0.0)


def scales(kind: Kind, signal: Array, noise: Array) -> tuple[Array, Array]:
    """Return signal and noise scale, in the scale of `kind`, from numbers in their proportion."""
    if kind == "ve":
        return signal / signal, noise / signal
    # Both by the larger one first, so that no square leaves the range of floats.
    xp = namespace(noise)
    larger = xp.maximum(signal, noise)
    signal, noise = signal / larger, noise / larger
    total = signal + noise if kind == "flow" else (signal**2 + noise**2) ** 0.5
    return signal / total, noise / total


def timesteps_between(schedule: "Schedule", alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return what the network is told at levels between the points of a schedule.

    What follows from the noise level, where that is what it is told. Else a timestep in proportion
    to the log-SNR, on the curve that the schedule was chosen from, and beyond the first and the
    last point of finite log-SNR that point's own.

    Args:
        schedule: The path, of at least one point.
        alpha: Signal scale of each level, above 0.
        sigma: Noise scale.
    """
    rho, rule = sigma / alpha, schedule.timestep_rule
    if isinstance(rule, str):
        return np.asarray(named(rule).of(np, rho))
    if not isinstance(rule, np.ndarray):
        return called(rule, *scales(schedule.network_kind, alpha, sigma))
    schedule = base_of(schedule)
    log_alpha_bar = column_log_alpha_bar(schedule)
    known = to_host(path.log_snr(namespace(log_alpha_bar.high), log_alpha_bar))
    origin = schedule.origin.timestep
    told = np.append(np.nan if origin is None else origin, schedule.timesteps)
    usable = np.isfinite(known) & np.isfinite(told)
    if not usable.any():
        return np.full(rho.shape, told[-1])
    return np.asarray(np.interp(2 * np.log(rho), -known[usable], told[usable]))
