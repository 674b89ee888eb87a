"""Schedules from numbers: betas, ᾱ, sigmas, times of a flow, log-SNRs.

Each function is a constructor of `Schedule` (its first argument), and is called as
`Schedule.from_betas(...)`. All find their steps without a subtraction of nearly equal numbers,
unless those numbers are the user's own.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from schedalg.arrays import (
    Array,
    Namespace,
    has_values,
    holds,
    namespace,
    requires_gradient,
    to_host,
)
from schedalg.checks import (
    check_callable,
    check_order,
    in_unit,
    positive_integer,
    raise_stopped,
    require,
    table,
)
from schedalg.schedule import elementary, path
from schedalg.schedule.double_double import (
    DoubleDouble,
    add,
    concat,
    differences,
    divided,
    minus,
    on_device_of,
    plus,
    product,
    single,
    where,
)
from schedalg.schedule.pasted import rising_levels
from schedalg.schedule.path import Kind
from schedalg.schedule.scalars import arrays_of, scalar
from schedalg.schedule.timesteps import (
    TimestepFunction,
    TimestepRule,
    checked_timesteps,
    timesteps_at,
)

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: Numbers, one a point, least noisy first.
Values: TypeAlias = Sequence[float] | Array
#: The timesteps for the network: numbers, a name or a function; see `schedalg.schedule.timesteps`.
Timesteps: TypeAlias = Values | str | TimestepFunction
#: Beyond it, and below its inverse, the square of a noise-to-signal ratio leaves float64.
LARGEST_SIGMA = 1e153


def from_betas(
    cls: "type[Schedule]", betas: Values, *, timesteps: Timesteps | None = None
) -> "Schedule":
    """Return the variance-preserving schedule with the given per-step noise variances.

    log ᾱ_k = Σ_{i<=k} log1p(-β_i), summed in double-double precision.

    Args:
        betas: (N,), each in (0, 1]; 1 (zero signal) only at the end. An array of any array-API
            library, or a sequence; the schedule's arrays are of the same library.
        timesteps: (N,), the timesteps, or a name or a function of alpha and sigma that
            it follows from (see `schedalg.schedule.timesteps`); 0, 1, …, N-1 if not given.

    Returns:
        A schedule of kind "vp", with `to_betas()` equal to `betas` to a few ulp.

    Raises:
        TypeError: `betas` holds no real numbers.
        ValueError: It is empty, not 1-D, or a value is out of range, NaN, or so small that float64
            holds it with fewer digits.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.2]).to_alphas_cumprod().round(12)
        array([0.9 , 0.72])

    Source: Ho et al., arXiv 2006.11239, equation 4.
    """
    _, beta = table("betas", betas)
    xp, exact = _computed_on(beta)
    return from_exact_betas(cls, DoubleDouble(exact, xp.zeros_like(exact)), timesteps, like=beta)


def from_alphas_cumprod(
    cls: "type[Schedule]", alphas_cumprod: Values, *, timesteps: Timesteps | None = None
) -> "Schedule":
    """Return the variance-preserving schedule with the given ᾱ.

    β_k = (ᾱ_{k-1} - ᾱ_k) / ᾱ_{k-1}, whose subtraction is exact for neighbouring floats.

    Args:
        alphas_cumprod: (N,), in [0, 1), falling strictly; 0 (zero signal) only at the end.
        timesteps: (N,), the timesteps, or a name or a function of alpha and sigma that
            it follows from (see `schedalg.schedule.timesteps`); 0, 1, …, N-1 if not given.

    Returns:
        A schedule of kind "vp", on arrays of the library given.

    Raises:
        TypeError: `alphas_cumprod` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or does not fall.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alphas_cumprod([0.9, 0.45]).to_betas()
        array([0.1, 0.5])
    """
    xp, values = table("alphas_cumprod", alphas_cumprod)
    name = "alphas_cumprod"
    check_order(name, values, falls=True)
    require(name, values, (values >= 0) & (values < 1), f"{name} must be in [0, 1)")
    before = xp.concat([xp.ones_like(values[:1]), values[:-1]])
    require(name, values, values < before, f"{name} must fall strictly, from least to most noisy")
    (xp, after), (_, before) = _computed_on(values), _computed_on(before)
    fall = path.Fall(
        divided(single(after), single(before)),
        divided(minus(single(before), single(after)), single(before)),
    )
    return make(cls, path.from_falls(xp, fall), "vp", timesteps, like=values)


def from_alpha_bar(
    cls: "type[Schedule]",
    alpha_bar: Callable[[float], float],
    n: int,
    *,
    max_beta: float = 0.999,
    timesteps: Timesteps | None = None,
) -> "Schedule":
    """Return the schedule that follows a function ᾱ(t) of time in [0, 1].

    β_i = min(1 - ᾱ((i+1)/n) / ᾱ(i/n), max_beta).

    Args:
        alpha_bar: ᾱ as a function of a float; called at 0, 1/n, …, 1.
        n: Number of steps.
        max_beta: The largest β, which keeps the last steps from destroying the signal.
        timesteps: (n,), the timesteps, or a name or a function as in `from_betas`;
            0, 1, …, n-1 if not given.

    Returns:
        A schedule of kind "vp", on NumPy arrays.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: `n` < 1, `max_beta` is not in (0, 1], or ᾱ is not positive and falling.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alpha_bar(lambda t: 1 - 0.9 * t, 3).to_alphas_cumprod().round(12)
        array([0.7, 0.4, 0.1])

    Source: OpenAI's `betas_for_alpha_bar`; Nichol and Dhariwal, arXiv 2102.09672.
    """
    n = positive_integer("n", n)
    check_callable("alpha_bar", alpha_bar)
    largest = scalar("max_beta", max_beta, in_unit)
    try:
        values = [scalar(f"alpha_bar({i}/{n})", alpha_bar(i / n)) for i in range(n + 1)]
    except StopIteration as error:
        raise_stopped(error, "alpha_bar")
    for i, (earlier, later) in enumerate(pairwise(number.value for number in values)):
        if earlier is not None and later is not None and not 0 <= later < earlier:
            raise ValueError(
                f"alpha_bar({i + 1}/{n}) is {later!r}, after {earlier!r}: it must fall, down to 0"
            )
    xp, (limit, *arrays) = arrays_of(largest, *values)
    alpha_bar_at = single(xp.concat([array.high for array in arrays]))
    after, before = path.inner(alpha_bar_at), path.before(alpha_bar_at)
    fall = path.Fall(divided(after, before), divided(minus(before, after), before))
    return make(cls, path.from_falls(xp, capped(xp, fall, limit)), "vp", timesteps)


def from_sigmas(
    cls: "type[Schedule]", sigmas: Values | str, *, timesteps: Timesteps | None = None
) -> "Schedule":
    """Return the variance-exploding schedule (alpha = 1) with the given noise levels.

    Args:
        sigmas: (N,), rising or falling strictly, each in (1e-153, 1e153). A 0 at the clean end is
            the origin, not a point. Or a text with such a list, as web UIs write it.
        timesteps: (N,), the timesteps, or a name or a function as in `from_betas`;
            sigma itself if not given.

    Returns:
        A schedule of kind "ve", on arrays of the library given.

    Raises:
        TypeError: `sigmas` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or out of order; or a part of the text
            is not a number.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_sigmas([0.1, 1.0, 10.0]).to_sigmas().round(12)
        array([ 0.1,  1. , 10. ])
        >>> Schedule.from_sigmas("14.6, 6.47, 1.52, 0").to_sigmas().round(12)
        array([ 1.52,  6.47, 14.6 ])

    Source: Karras et al., arXiv 2206.00364.
    """
    xp, sigma, before = _rising("sigmas", sigmas)
    limit = LARGEST_SIGMA if sigma.dtype == xp.float64 else 1e18
    inside = (sigma > 1 / limit) & (sigma < limit)
    require("sigmas", sigma, inside, f"sigmas must be between {1 / limit:g} and {limit:g}")
    (xp, exact), (_, before) = _computed_on(sigma), _computed_on(before)
    rise = divided(minus(single(exact), single(before)), single(exact))
    log_alpha_bar = path.from_sigmas(xp, single(exact), rise)
    return make(cls, log_alpha_bar, "ve", timesteps, default="sigma", like=sigma)


def from_flow_times(
    cls: "type[Schedule]", times: Values | str, *, timesteps: Timesteps | None = None
) -> "Schedule":
    """Return the straight path of flow matching, alpha = 1 - t and sigma = t, at the given t.

    Args:
        times: (N,), rising or falling strictly, each in (0, 1]; 1 is pure noise. A 0 at the clean
            end is the origin, not a point. Or a text with such a list, as web UIs write it.
        timesteps: (N,), the timesteps, or a name or a function as in `from_betas`, such
            as "1000 flow_time"; t itself if not given.

    Returns:
        A schedule of kind "flow", on arrays of the library given.

    Raises:
        TypeError: `times` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or out of order; or a part of the text
            is not a number.

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.from_flow_times([0.1, 0.5, 1.0], timesteps="1000 flow_time")
        >>> s.sigma.round(12), s.timesteps.round(12)
        (array([0.1, 0.5, 1. ]), array([ 100.,  500., 1000.]))

    Source: Lipman et al., arXiv 2210.02747.
    """
    xp, noise, before = _rising("times", times)
    least = 1 / LARGEST_SIGMA if noise.dtype == xp.float64 else 1e-18
    inside = (noise > least) & (noise <= 1)
    require("times", noise, inside, f"times must be between {least:g} and 1")
    (xp, exact), (_, before) = _computed_on(noise), _computed_on(before)
    t, s = single(exact), single(before)
    rise = divided(minus(t, s), product(t, minus(single(1.0), s)))
    log_alpha_bar = path.from_ratios(xp, t, minus(single(1.0), t), rise)
    return make(cls, log_alpha_bar, "flow", timesteps, default="flow_time", like=noise)


def from_log_snr(
    cls: "type[Schedule]",
    log_snr: Values,
    *,
    kind: Kind = "vp",
    timesteps: Timesteps | None = None,
) -> "Schedule":
    """Return the schedule with the given log(alpha² / sigma²).

    ᾱ = sigmoid(log SNR), and β_k = sigmoid(-log SNR_k) (1 - SNR_k / SNR_{k-1}).

    Args:
        log_snr: (N,), at most 700, falling strictly; -inf (zero signal) only at the end.
        kind: The scale of the path: "vp", "ve" or "flow".
        timesteps: (N,), the timesteps, or a name or a function as in `from_betas`; if
            not given, t = sigma / (alpha + sigma) on a flow, and 0, 1, …, N-1 elsewhere.

    Returns:
        A schedule of the kind asked for, on arrays of the library given.

    Raises:
        TypeError: `log_snr` holds no real numbers.
        ValueError: It is empty, not 1-D, out of range, NaN, or does not fall; `kind` is unknown;
            or one is below -704 in a "ve" schedule, whose sigma would leave float64.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_log_snr([2.0, 0.0, -2.0]).to_log_snr().round(12)
        array([ 2.,  0., -2.])

    Source: Kingma et al., arXiv 2107.00630.
    """
    xp, values = table("log_snr", log_snr)
    check_order("log_snr", values, falls=True)
    limit = 700.0 if values.dtype == xp.float64 else 80.0
    kind = path.checked_kind("kind", kind)
    require("log_snr", values, values <= limit, f"log_snr must be at most {limit:g}")
    before = xp.concat([xp.full_like(values[:1], xp.inf), values[:-1]])
    require("log_snr", values, values < before, "log_snr must fall strictly")
    if kind == "ve":
        least = -2 * math.log(LARGEST_SIGMA if values.dtype == xp.float64 else 1e18)
        rule = f"log_snr must be at least {least:.0f} where sigma is not to be infinite: kind='ve'"
        require("log_snr", values, values > least, rule)
    xp, exact = _computed_on(values)
    # e^-|v|; not by |v|, which has no derivative at 0.
    below = exact < 0
    decay = xp.where(below, exact, -exact)
    small = path.shares(xp, DoubleDouble(decay, xp.zeros_like(decay))).kept
    one = single(xp.ones_like(small.high))
    total = plus(one, small)
    less, more = divided(small, total), divided(one, total)
    value = DoubleDouble(exact, xp.zeros_like(exact))
    # log ᾱ = -log(1 + e^-v), whose exponential need not be in float64's range.
    lowest = where(xp, below, value, single(xp.zeros_like(small.high)))
    log_alpha_bar = add(xp, elementary.log(xp, more, less), lowest)
    start = single(xp.zeros_like(exact[:1]))
    fall = path.fall_by(xp, differences(xp, concat(xp, start, log_alpha_bar)))
    drop = concat(xp, single(xp.ones_like(exact[:1])), path.shares(xp, differences(xp, value)).lost)
    lost = product(where(xp, below, more, less), drop)
    log_alpha_bar = path.from_falls(xp, path.Fall(fall.kept, lost, fall.far))
    default = "flow_time" if kind == "flow" else None
    return make(cls, log_alpha_bar, kind, timesteps, default=default, like=values)


def _rising(name: str, values: Values | str) -> tuple[Namespace, Array, Array]:
    """Return the namespace of noise levels, the levels, rising, and the one before each.

    Raises:
        TypeError: They are not real numbers.
        ValueError: There are none, or they do not rise from 0 on.
    """
    xp, levels = rising_levels(name, values)
    before = xp.concat([xp.zeros_like(levels[:1]), levels[:-1]])
    rule = f"{name} must rise or fall strictly, and only the one at the clean end may be 0"
    require(name, levels, levels > before, rule)
    return xp, levels, before


def _computed_on(values: Array) -> tuple[Namespace, Array]:
    """Return the values where they are to be computed with, and its namespace.

    That is NumPy, unless a gradient is required; see `schedalg.schedule.curve.computed_on_host`.
    """
    if requires_gradient(values):
        return namespace(values), values
    return np, to_host(values).astype(np.float64, copy=False)


def from_exact_betas(
    cls: "type[Schedule]",
    beta: DoubleDouble,
    timesteps: Timesteps | None = None,
    like: Array | None = None,
) -> "Schedule":
    """Return the variance-preserving schedule of betas in double-double; see `from_betas`."""
    xp = namespace(beta.high)
    up_to = -1 if holds(beta.high[-1:] == 1, unseen=False)[0] else None
    rule = "betas must be in (0, 1), and the last may be 1"
    require("betas", beta.high, (beta.high > 0) & (beta.high < 1), rule, up_to=up_to)
    log_alpha_bar = path.from_log_alphas(xp, elementary.log(xp, None, beta))
    return make(cls, log_alpha_bar, "vp", timesteps, like=like)


def capped(xp: Namespace, fall: path.Fall, max_beta: DoubleDouble) -> path.Fall:
    """Return the falls of ᾱ with β at most `max_beta`, (1,)."""
    beyond = fall.lost.high > max_beta.high
    return path.Fall(
        where(xp, beyond, minus(single(1.0), max_beta), fall.kept),
        where(xp, beyond, max_beta, fall.lost),
    )


def make(
    cls: "type[Schedule]",
    log_alpha_bar: DoubleDouble,
    kind: Kind,
    timesteps: Timesteps | None,
    default: TimestepRule | None = None,
    like: Array | None = None,
) -> "Schedule":
    """Return a schedule that starts clean, with the user's timesteps, the default, or 0, 1, ….

    Its arrays are in the library of `like`, if that is given.

    Raises:
        TypeError: The timesteps are not real numbers.
        ValueError: They are not one a point, or not finite.
    """
    n = log_alpha_bar.high.shape[0] - 1
    if like is not None and isinstance(log_alpha_bar.high, np.ndarray):
        log_alpha_bar = on_device_of(namespace(like), like, log_alpha_bar)
    if timesteps is None:
        rule = np.arange(n) if default is None else default
    elif isinstance(timesteps, str) or callable(timesteps):
        if not isinstance(timesteps, str):
            check_callable("timesteps", timesteps)
        rule = timesteps
        xp = namespace(log_alpha_bar.high)
        values = timesteps_at(xp, log_alpha_bar, rule, kind)
        if has_values(values):
            checked_timesteps(values, n)
    else:
        rule = checked_timesteps(timesteps, n)
    return cls(log_alpha_bar=log_alpha_bar, timestep_rule=rule, kind=kind, network_kind=kind)
