"""The errors of a network along a schedule: the mean over elements of E(x0 - prediction)².

They are listed like the schedule's points, the least noisy first. For data N(0, c) they are
c / (1 + c SNR), so that 1/error is linear in the SNR. Between two points it is taken to be so for
all data: exact for Gaussian data, and never outside of the errors at the two.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import Array, device, namespace, requires_gradient, to_host
from schedalg.checks import described, host_numbers, require
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.schedule import double_double, path
from schedalg.schedule.double_double import DoubleDouble

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: Log-SNRs that differ by less are the same level, reached in two ways.
_SAME = 1e-9


def errors_from_losses(
    schedule: "Schedule",
    losses: Sequence[float] | Array,
    prediction: Prediction | Parameterization,
) -> np.ndarray:
    """Return the errors of x0 that follow from a training loss, logged at every point.

    x0 = c_x x + c_out output, and so the error is c_out² times the loss: (sigma/alpha)² for a
    network that predicts epsilon, sigma² for v on a variance-preserving schedule, t² for flow.

    Args:
        schedule: The schedule that the network was trained on.
        losses: (N,), the mean over elements of (target - output)², without any weight, the least
            noisy point first.
        prediction: What the network predicts, as in `sample`.

    Returns:
        (N,), float64 NumPy.

    Raises:
        TypeError: `losses` does not hold real numbers.
        ValueError: A loss is negative or not finite, there are not N of them, `prediction` is
            unknown, or a point's output does not determine x0 (epsilon at zero signal).

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.from_alphas_cumprod([0.8, 0.5])
        >>> s.errors_from_losses([0.4, 0.2], "epsilon").round(12)
        array([0.1, 0.2])

    Source: Salimans and Ho, arXiv 2202.00512, section 4; Kingma et al., arXiv 2107.00630.
    """
    values = _checked_numbers("losses", losses, len(schedule))
    xp = namespace(schedule.log_alpha_bar.high)
    scales = path.alpha_sigma(xp, path.inner(schedule.log_alpha_bar), schedule.network_kind)
    alpha, sigma = (to_host(scale).astype(np.float64, copy=False) for scale in scales)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.broadcast_to(parameterization(prediction).c_out(alpha, sigma), values.shape)
    fails = ~np.isfinite(factor)
    if fails.any():
        k = int(np.argmax(fails))
        raise ValueError(
            f"losses[{k}] says nothing about x0: prediction={prediction!r} does not determine it "
            f"at timestep {schedule.timesteps[k]}, where alpha is {alpha[k]:.6g}"
        )
    with np.errstate(over="ignore"):
        errors = factor * (factor * values)  # the square alone may leave float64
    require("losses", values, np.isfinite(errors), "the error of x0 there is beyond float64")
    return np.asarray(errors)


def errors_on(
    schedule: "Schedule", errors: Sequence[float] | Array, other: "Schedule"
) -> np.ndarray:
    """Return the errors at the points of another schedule, from those at the points of this one.

    They are looked up by noise level, so the other schedule may be a subset, a slice, or the path
    in another scale. At a noise level between two points, 1/error is linear in the SNR.

    Args:
        schedule: The schedule along which the errors are known.
        errors: (N,), its errors.
        other: A schedule within the noise levels of this one.

    Returns:
        (len(other),), float64 NumPy.

    Raises:
        TypeError: `errors` does not hold real numbers, or `other` is not a schedule.
        ValueError: `errors` is not what `step_costs` takes, or a point of `other` lies outside.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.from_sigmas([0.5, 1.0, 2.0])
        >>> errors = 1 / (1 + 1 / s.to_sigmas() ** 2)  # of data N(0, 1)
        >>> s.errors_on(errors, Schedule.from_sigmas([0.8, 2.0])).round(6)
        array([0.390244, 0.8     ])
    """
    if not isinstance(other, type(schedule)):
        raise TypeError(f"other must be a Schedule, got {described(other)}")
    values = checked_errors(schedule, errors)
    return np.asarray(errors_at(host_log_alpha_bar(schedule), values, host_log_alpha_bar(other)))


def checked_errors(
    schedule: "Schedule", errors: Sequence[float] | Array, name: str = "errors"
) -> np.ndarray:
    """Return the errors at the points of a schedule as float64.

    An error of x0 rises with the noise, and a good network's is at most (sigma/alpha)². What
    neither rises nor is below that at the least noisy point is taken for the loss of a network that
    predicts epsilon.

    Raises:
        TypeError: They are not real numbers.
        ValueError: One is negative or not finite, their number is not that of the points, or they
            are a loss of epsilon.
    """
    values = _checked_numbers(name, errors, len(schedule))
    if len(values) and values[0] > values[-1]:
        bound = float(to_host(schedule.to_sigmas())[0]) ** 2
        if values[0] > bound:
            raise ValueError(
                f"{name} fall with the noise, from {values[0]:.4g} to {values[-1]:.4g}, and "
                f"{name}[0] is above (sigma/alpha)² there, {bound:.4g}: errors of x0 rise, and a "
                "loss of epsilon falls; convert it by "
                "schedule.errors_from_losses(losses, 'epsilon')"
            )
    return values


def _checked_numbers(name: str, values: object, n: int) -> np.ndarray:
    numbers = host_numbers(name, values).astype(np.float64)
    if len(numbers) != n:
        raise ValueError(
            f"{name} must have one entry for each of the schedule's {n} points, least noisy first; "
            f"got {len(numbers)}"
        )
    allowed = np.isfinite(numbers) & (numbers >= 0)
    require(name, numbers, allowed, "a mean of squares must be finite and at least 0")
    return numbers


def host_log_alpha_bar(schedule: "Schedule") -> DoubleDouble:
    """Return log ᾱ of the points in float64 NumPy."""
    high, low = (
        to_host(part).astype(np.float64, copy=False) for part in path.inner(schedule.log_alpha_bar)
    )
    return DoubleDouble(high, low)


def snr_falls(xp: Any, t: DoubleDouble, s: DoubleDouble) -> Array:
    """Return SNR_s - SNR_t, for s less noisy than t: ᾱ_s (1 - ᾱ_t/ᾱ_s) / ((1 - ᾱ_s)(1 - ᾱ_t))."""
    snr = path.alphas_cumprod(xp, s) / path.sigmas_squared(xp, s)
    return snr * path.snr_drop(xp, t, s)


def errors_at(known: DoubleDouble, errors: np.ndarray, wanted: DoubleDouble) -> Array:
    """Return the errors at noise levels, given those at others.

    Args:
        known: log ᾱ where the errors are known, the least noisy first; float64 NumPy.
        errors: The errors there.
        wanted: log ᾱ where they are wanted; float64 NumPy, or of a library where a gradient flows.

    Returns:
        float64 NumPy, or an array like `wanted` where a gradient flows, which it follows.

    Raises:
        ValueError: A level is outside of those that are known, or none are.
    """
    host = DoubleDouble(to_host(wanted.high), to_host(wanted.low))
    count = len(known.high)
    if count == 0 and len(host.high):
        raise ValueError("errors are known at no point: the schedule that they belong to is empty")
    # The first known point that is as noisy or noisier.
    after = np.searchsorted(-known.high, -host.high, side="left")
    _check_within(known, host, after == count, (after == 0) & (host.high > known.high[:1]))
    after = np.minimum(after, count - 1)
    found = np.asarray(errors[after])
    if requires_gradient(wanted.high):
        after = np.maximum(after, 1)
        between = np.isfinite(host.high) & (count > 1)
    else:
        between = (after > 0) & (host.high > known.high[after])
    if not between.any():
        return _like(wanted.high, found)
    place, index = np.flatnonzero(between), after[between]
    xp = namespace(wanted.high)
    t, s = (
        DoubleDouble(*(_like(wanted.high, part) for part in double_double.gather(np, known, k)))
        for k in (index, index - 1)
    )
    noisy, clean = (_like(wanted.high, errors[k]) for k in (index, index - 1))
    share = snr_falls(xp, t, double_double.gather(xp, wanted, place)) / snr_falls(xp, t, s)
    weight = (1 - share) * clean + share * noisy
    inner = xp.where(weight > 0, noisy * clean / xp.where(weight > 0, weight, 1.0), 0.0)
    own = np.flatnonzero(~between)
    joined = xp.concat([inner, _like(wanted.high, found[own])])
    order = np.argsort(np.concatenate([place, own]))
    return xp.take(joined, order if xp is np else xp.asarray(order, device=device(joined)))


def _like(values: Array, numbers: np.ndarray) -> Array:
    """Return NumPy numbers in the library and dtype and on the device of an array."""
    xp = namespace(values)
    return numbers if xp is np else xp.asarray(numbers, dtype=values.dtype, device=device(values))


def _check_within(
    known: DoubleDouble, wanted: DoubleDouble, noisier: np.ndarray, cleaner: np.ndarray
) -> None:
    outside = noisier | cleaner
    if not outside.any():
        return
    ends = DoubleDouble(known.high[[0, -1]], known.low[[0, -1]])
    (first, last), asked = path.log_snr(np, ends), path.log_snr(np, wanted)
    outside &= ~((asked >= last - _SAME) & (asked <= first + _SAME))
    if outside.any():
        k = int(np.argmax(outside))
        raise ValueError(
            f"errors are known from log-SNR {first:.6g} to {last:.6g}, and point {k} is at "
            f"{asked[k]:.6g}: measure them along a schedule that covers it"
        )
