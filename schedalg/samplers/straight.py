"""The coordinates in which a perfect network's path to a single image is a straight line.

Where alpha is 1, dx/dsigma = (x - x0)/sigma, which is the noise eps. On a flow, dx/dt =
(x - x0)/t, which is the flow's velocity. These are one equation in two coordinates, tau =
sigma/alpha and tau = sigma/(alpha + sigma), in which a method of finite order gives slightly
different images. The network's training decides which of them is used: tau = sigma/(alpha + sigma)
for networks of flow matching, in whatever scale x is, and tau = sigma/alpha for all others.
"""

import math
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
        unit_t: At the start of the step, x / unit_t is x in these coordinates.
        unit_s: At the end of the step, x / unit_s is x in these coordinates.
        change: tau_s - tau_t, below 0.
        finite: Whether tau is finite at the start of the step, a NumPy array.
    """

    unit_t: Array
    unit_s: Array
    change: Array
    finite: np.ndarray


def straight(schedule: "Schedule", steps: Steps) -> Straight:
    """Return the steps of a schedule in the coordinates of its network.

    tau_s - tau_t = -(1 - e^-h) tau_t, times alpha_s/(alpha_s + sigma_s) on a flow; this form loses
    no digits in short steps.
    """
    if schedule.network_kind == "flow":
        unit_t, unit_s = steps.alpha_t + steps.sigma_t, steps.alpha_s + steps.sigma_s
        change = -steps.rise * (steps.sigma_t / unit_t) * (steps.alpha_s / unit_s)
        return Straight(unit_t, unit_s, change, np.ones(len(schedule), dtype=bool))
    finite = to_host(steps.alpha_t) > 0
    unit_t = steps.where(finite, steps.alpha_t, 1.0)
    return Straight(unit_t, steps.alpha_s, -steps.rise * (steps.sigma_t / unit_t), finite)


def slope(schedule: "Schedule", finite: Array) -> tuple[Array, Array]:
    """Return p and q of a row's memory p x0 + q eps: dx/dtau, or x0 where tau is infinite.

    Args:
        schedule: The path. dx/dtau is eps, or eps - x0 if its networks are those of flow matching.
        finite: Whether tau is finite, a NumPy array.
    """
    p = np.where(finite, -1.0 if schedule.network_kind == "flow" else 0.0, 1.0)
    return p, np.where(finite, 1.0, 0.0)


def scales(kind: Kind, signal: Array, noise: Array) -> tuple[Array, Array]:
    """Return alpha and sigma in the scale of `kind`, given two numbers in the same ratio."""
    if kind == "ve":
        return signal / signal, noise / signal
    # First divide by the larger one, so that no square overflows or underflows.
    xp = namespace(noise)
    larger = xp.maximum(signal, noise)
    signal, noise = signal / larger, noise / larger
    total = signal + noise if kind == "flow" else (signal**2 + noise**2) ** 0.5
    return signal / total, noise / total


def timestep_at_clean(schedule: "Schedule") -> float | None:
    """Return the timestep that a network of flow matching gets at clean data, where t is 0.

    None if no timestep is known there: the timesteps are a list, which ends at the first point, or
    are infinite at clean data; or the network is none of flow matching.
    """
    rule = schedule.timestep_rule
    if schedule.network_kind != "flow" or isinstance(rule, np.ndarray):
        return None
    if isinstance(rule, str):
        with np.errstate(divide="ignore"):
            timestep = float(named(rule).of(np, np.zeros(())))
    else:
        timestep = called(rule, np.ones(1), np.zeros(1)).item()
    return timestep if math.isfinite(timestep) else None


def timesteps_between(schedule: "Schedule", alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the timestep for the network at noise levels between the points of a schedule.

    What follows from the noise level, where the timesteps do. Otherwise a timestep in proportion
    to the log-SNR, on the curve that the schedule was chosen from, and beyond the first and the
    last point of finite log-SNR that point's own.

    Args:
        schedule: The path, of at least one point.
        alpha: Signal scale at each noise level, above 0.
        sigma: Noise scale at each noise level.
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
    timesteps = np.append(np.nan if origin is None else origin, schedule.timesteps)
    usable = np.isfinite(known) & np.isfinite(timesteps)
    if not usable.any():
        return np.full(rho.shape, timesteps[-1])
    return np.asarray(np.interp(2 * np.log(rho), -known[usable], timesteps[usable]))
