"""What the steps of a schedule lose, given the errors of a network along it.

A DDPM step from t to s has the posterior's mean with the prediction in place of x0. The KL
divergence between the two is ½ (SNR_s - SNR_t) error_t, in nats an element: it counts the whole
step at the error of its noisy end. With more and more points, the sum goes to ∫ ½ error dSNR, which
no choice of points undercuts where the error falls with the SNR.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, device, namespace, to_host
from schedalg.checks import described
from schedalg.schedule import double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.errors import checked_errors, errors_at, host_log_alpha_bar, snr_falls

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def step_costs(schedule: "Schedule", errors: Sequence[float] | Array) -> Array:
    """Return what each step loses, ½ (SNR_s - SNR_t) error_t, in nats an element: (N,).

    Entry k is the step from point k to the one before it, and entry 0 the step to the origin. At
    clean data the SNR is infinite, and so is entry 0; sums are of the others.

    Args:
        schedule: The schedule that is sampled.
        errors: (N,), the mean over elements of E(x0 - prediction)² at each point, the least noisy
            first: from `network_errors`, from `errors_from_losses`, or from `errors_on` of the
            schedule along which they are known.

    Raises:
        TypeError: `errors` does not hold real numbers.
        ValueError: An error is negative or not finite, there are not N of them, or they fall with
            the noise as a loss of epsilon does.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.from_sigmas([0.5, 1.0, 2.0])
        >>> s.step_costs([0.2, 0.5, 0.8]).round(12)
        array([ inf, 0.75, 0.3 ])

    Source: Kingma et al., arXiv 2107.00630; Watson et al., arXiv 2106.03802.
    """
    values = checked_errors(schedule, errors)
    log_alpha_bar = schedule.log_alpha_bar
    xp = namespace(log_alpha_bar.high)
    clean = float(to_host(log_alpha_bar.high)[0]) == 0
    steps = path.inner(log_alpha_bar) if clean and len(values) else log_alpha_bar
    falls = snr_falls(xp, path.inner(steps), path.before(steps))
    own, dtype = device(log_alpha_bar.high), log_alpha_bar.high.dtype
    if clean:
        first = xp.full((min(len(values), 1),), math.inf, dtype=dtype, device=own)
        falls = xp.concat([first, falls])
        values = np.append(np.ones(min(len(values), 1)), values[1:])  # inf whatever the error
    with _to_infinity():
        return falls * xp.asarray(values / 2, dtype=dtype, device=own)


def _to_infinity() -> np.errstate:
    """Have a loss be infinite, without a warning, where it is beyond float64."""
    return np.errstate(over="ignore")


def excess(
    schedule: "Schedule", errors: Sequence[float] | Array, than: "Schedule | None" = None
) -> float:
    """Return what a respacing loses more than the full chain, or than any steps: nats an element.

    With `than`, the sum of `step_costs` minus that of the full chain, between the respacing's last
    point and the chain's least noisy one. (A respacing that skips this is counted down to it.)
    Without, the sum of the schedule's own `step_costs` between its points minus ∫ ½ error dSNR,
    which no choice of points undercuts. Where the error falls with the SNR, both are at least 0.

        respaced.excess(errors, than=base) + base.excess(errors)

    is what the respacing loses more than any number of steps would.

    Args:
        schedule: The respacing.
        errors: The errors along `than`, or along the schedule itself.
        than: The full chain, of which the schedule is a subset, a slice or a spacing by noise.

    Raises:
        TypeError: `errors` does not hold real numbers, or `than` is not a schedule.
        ValueError: `errors` is not what `step_costs` takes, the schedule is not within `than`, or
            the loss is beyond float64.

    Example:
        >>> from schedalg import Schedule
        >>> base = Schedule.linear(1000)
        >>> errors = 1 / (1 + 1 / base.to_sigmas() ** 2)  # of data N(0, 1)
        >>> round(base.excess(errors), 3)
        0.465
        >>> round(base.subsample(steps=10, spacing="log_snr").excess(errors, than=base), 3)
        9.261

    Source: Watson et al., arXiv 2106.03802; Kingma et al., arXiv 2107.00630.
    """
    if than is None:
        return _above_integral(host_log_alpha_bar(schedule), checked_errors(schedule, errors))
    if not isinstance(than, type(schedule)):
        raise TypeError(f"than must be a Schedule, got {described(than)}")
    values = checked_errors(than, errors)
    chain, own = host_log_alpha_bar(than), host_log_alpha_bar(schedule)
    own_values = errors_at(chain, values, own)
    if not len(own.high):
        return 0.0
    top = _end(schedule, chain, than)
    every = double_double.concat(np, double_double.concat(np, own, chain), top)
    _, index = np.unique(-every.high, return_index=True)
    inside = (every.high[index] <= top.high) & (every.high[index] >= own.high[-1])
    log_alpha_bar = double_double.gather(np, every, index[inside])
    falls = snr_falls(np, path.inner(log_alpha_bar), path.before(log_alpha_bar))
    by_own, by_chain = (
        np.searchsorted(-known.high, -log_alpha_bar.high[1:], side="left") for known in (own, chain)
    )
    of_own = own_values[by_own]
    # Both start at the schedule's last point, where the chain need not have one.
    of_chain = np.where(chain.high[by_chain] < own.high[-1], own_values[-1], values[by_chain])
    return _sum(falls, (of_own - of_chain) / 2)


def _end(schedule: "Schedule", chain: DoubleDouble, than: "Schedule") -> DoubleDouble:
    """Return log ᾱ where the steps are counted down to, (1,).

    Raises:
        ValueError: The schedule goes on where the chain has ended.
    """
    origins = [
        DoubleDouble(*(to_host(part)[:1].astype(np.float64) for part in s.log_alpha_bar))
        for s in (schedule, than)
    ]
    last = double_double.take(chain, slice(1)) if origins[1].high[0] == 0 else origins[1]
    if origins[0].high[0] == 0 and origins[1].high[0] == 0:
        return last
    if origins[0].high[0] > last.high[0]:
        raise ValueError(
            f"than ends at log-SNR {path.log_snr(np, last)[0]:.6g}, and the schedule at "
            f"{path.log_snr(np, origins[0])[0]:.6g}: give the schedule that it was chosen from"
        )
    return origins[0]


def _above_integral(log_alpha_bar: DoubleDouble, errors: np.ndarray) -> float:
    """Return Σ ½ (SNR_s - SNR_t) error_t - ∫ ½ error dSNR between the points.

    Where 1/error is linear, the integral over a step is (SNR_s - SNR_t) error_t log(1 + r) / r with
    1 + r = error_t/error_s. So it is the share (r - log(1 + r)) / r that is lost.
    """
    if not len(errors):
        return 0.0
    falls = snr_falls(np, path.inner(log_alpha_bar), path.before(log_alpha_bar))
    clean, noisy = errors[:-1], errors[1:]
    both = (clean > 0) & (noisy > 0)
    lost, r = less_log(np.where(both, noisy, 1.0), np.where(both, clean, 1.0))
    # Where an error rises by more than float64 holds, all of it is lost.
    some = (r != 0) & np.isfinite(r)
    share = np.where(some, lost / np.where(some, r, 1.0), r != 0)
    return _sum(falls, noisy / 2 * np.where(both, share, noisy > 0))


def _sum(falls: np.ndarray, errors: np.ndarray) -> float:
    """Return the exact sum of falls of the SNR times errors, rounded once.

    Raises:
        ValueError: It is beyond float64.
    """
    with _to_infinity():
        losses = falls * errors
    try:
        total = math.fsum(losses)
    except (OverflowError, ValueError):  # infinities of both signs are a ValueError
        total = math.inf
    if not math.isfinite(total):
        raise ValueError(
            f"errors up to {np.abs(errors).max():g} make a loss that is beyond float64"
        )
    return total


def less_log(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return r - log(1 + r) and r, with 1 + r = a / b of positive numbers; both may be infinite.

    It is without the cancellation of small r, where, with y = r / (2 + r), log(1 + r) is
    2 (y + y³/3 + y⁵/5 + …), and r - 2y is r y. Elsewhere the logarithm is that of the ratio, since
    1 + r has lost the digits of a small one.
    """
    with np.errstate(over="ignore"):
        r, ratio = (a - b) / b, a / b
    small = np.abs(r) < 0.25
    near = np.where(small, r, 0.0)
    y = near / (2 + near)
    series = sum(y ** (2 * k + 1) / (2 * k + 1) for k in range(10, 0, -1))
    held = (ratio > 1e-300) & (ratio < np.inf)
    log = np.where(held, np.log(np.where(held, ratio, 1.0)), np.log(a) - np.log(b))
    return np.where(small, near * y - 2 * series, r - log), r


def kl_costs(schedule: "Schedule", errors: Sequence[float] | Array) -> np.ndarray:
    """Return what a step between any two points loses: C[i, j] of the step from j down to i.

    ½ (SNR_i - SNR_j) error_j in nats an element, for i < j; `inf` elsewhere, where there is no
    step. It is what `choose` takes.

    Args:
        schedule: The schedule to choose points from.
        errors: (N,), as `step_costs` takes them.

    Returns:
        (N, N), float64 NumPy.

    Raises:
        TypeError: As `step_costs`.
        ValueError: As `step_costs`.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_sigmas([0.5, 1.0, 2.0]).kl_costs([0.2, 0.5, 0.8]).round(12)
        array([[ inf, 0.75, 1.5 ],
               [ inf,  inf, 0.3 ],
               [ inf,  inf,  inf]])

    Source: Watson et al., arXiv 2106.03802.
    """
    values, log_alpha_bar = checked_errors(schedule, errors), host_log_alpha_bar(schedule)
    n = len(values)
    costs = np.full((n, n), np.inf)
    for i in range(n - 1):
        s = double_double.take(log_alpha_bar, slice(i, i + 1))
        t = double_double.take(log_alpha_bar, slice(i + 1, None))
        with _to_infinity():
            costs[i, i + 1 :] = snr_falls(np, t, s) * values[i + 1 :] / 2
    return costs
