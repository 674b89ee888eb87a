"""Which points to keep: `subsample`, and the spacings that it knows.

N requested is N returned, and the selected points are found by position, never by searching for a
timestep. Where other code has made a spacing known, its rounding is part of the meaning:
"trailing", "linspace" and `sections` give the very indices of diffusers and of guided-diffusion.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from schedalg.arrays import Array, Namespace, namespace
from schedalg.checks import flag, host_numbers, integer, positive_integer, shown
from schedalg.libraries import Function
from schedalg.plugins import imported
from schedalg.schedule import at_noise, curve, double_double, elementary, interpolation, path
from schedalg.schedule.cheapest import cheapest
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.grids import GRIDS
from schedalg.schedule.kl import kl_costs
from schedalg.schedule.noise_levels import at_noise_levels, noise_levels, require_signal
from schedalg.schedule.pasted import rising_levels
from schedalg.schedule.published import PUBLISHED, published_levels
from schedalg.schedule.sections import sections_of
from schedalg.schedule.selection import (
    checked_count,
    checked_indices,
    positions_of,
    rising_indices,
)

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: Ways to space the indices of the kept points.
IndexSpacing: TypeAlias = Literal[
    "leading", "trailing", "linspace", "quadratic", "simple", "ddim_uniform", "beta_timesteps"
]
#: Ways to space noise levels or timesteps, which need not be those of points.
NoiseSpacing: TypeAlias = Literal[
    "log_snr", "exponential", "karras", "beta", "kl_optimal", "linear_quadratic", "bong_tangent",
    "sgm_uniform", "ays_sd15", "ays_sdxl", "ays_svd", "gits", "oss_flux", "oss_wan", "oss_chroma",
]  # fmt: skip


_WAYS = ("every", "steps", "indices", "timesteps", "sections", "sigmas")


def _by_name(function: Function) -> Function:
    """Return `subsample`, which says what is meant where a value is given without a name."""

    @functools.wraps(function)
    def named(schedule: "Schedule", *values: object, **arguments: Any) -> Any:
        if not values:
            return function(schedule, **arguments)
        n = values[0]
        if isinstance(n, int) and not isinstance(n, bool):
            meant = f"steps={n} keeps {n} points, and every={n} those at 0, {n}, {2 * n}, ..."
        else:
            meant = f"{', '.join(f'{way}=' for way in _WAYS[:-1])} or {_WAYS[-1]}="
        raise TypeError(f"subsample takes its arguments by name: {meant}; got {shown(n)}")

    same: Any = named
    return same  # type: ignore[no-any-return]


@_by_name
def subsample(
    schedule: "Schedule",
    *,
    every: int | None = None,
    steps: int | None = None,
    indices: Sequence[int] | Array | None = None,
    timesteps: Sequence[float] | Array | None = None,
    sections: str | int | Sequence[int] | None = None,
    sigmas: str | Sequence[float] | Array | None = None,
    spacing: IndexSpacing | NoiseSpacing | None = None,
    errors: Sequence[float] | Array | None = None,
    offset: int | None = None,
    rounded: bool = False,
) -> "Schedule":
    """Return the schedule that visits only some of the points, chosen in exactly one way.

    ᾱ is kept at the points that stay, and so β'_k = 1 - ᾱ[t_k] / ᾱ[t_{k-1}] between them. So is the
    origin, and the timesteps.

    Args:
        schedule: The schedule to choose from, of n points.
        every: Keep 0, every, 2 every, ….
        steps: Keep this many points, placed by `spacing`, or where `errors` says.
        indices: Keep these positions, rising strictly.
        timesteps: Keep the points with these timesteps, in the schedule's order; to rounding, where
            they come in float32 or less or are noise levels.
        sections: Divide the schedule evenly and keep so many points of each part: `"10,15,20"`,
            `[10, 15, 20]`, a single count, or `"ddim25"` for the smallest whole stride from 0 that
            gives 25 points. Exactly the indices of guided-diffusion's `space_timesteps`.
        sigmas: Keep the points at these noise levels, between points where need be: a list as other
            programs write it, either way round, with the 0 of clean data or without, or a text such
            as "14.6, 6.47, 0". They are sigma / alpha, or t where the network is a flow's. One that
            lies beyond the first or the last by up to 1 % is that.
        spacing: With `steps` only. By index: "trailing" (strides back from the end, which stays;
            the default, since sampling starts from pure noise), "leading" (whole strides from 0),
            "linspace" (first and last stay, the rest rounded half to even), "quadratic" (denser
            near clean data). By noise, between points where need be: "log_snr" (uniform in
            log-SNR; "exponential" is the same grid), "karras" (sigma^(1/7) uniform), "beta"
            (quantiles of Beta(.6, .6); needs SciPy). And what others have published:
            "simple", "ddim_uniform", "beta_timesteps", "sgm_uniform", "kl_optimal",
            "linear_quadratic", "bong_tangent", "ays_sd15", "ays_sdxl", "ays_svd", "gits",
            "oss_flux", "oss_wan" and "oss_chroma" (see "How do I use a list of sigmas?" in the
            docs). "ddim_uniform" leaves out the noisiest points: 7 steps of 1000 begin at timestep
            853, and x there is drawn as from pure noise. Points by noise have fractional timesteps,
            on the line between their neighbours'; a network that looks timesteps up in a table
            needs `round_timesteps` after it.
        errors: With `steps` and in place of `spacing`: the network's errors at the n points, as
            `step_costs` takes them. Of all subsets with the first and the last point, the one whose
            steps lose least (see `choose`).
        offset: With "leading" only: added to every index.
        rounded: With a spacing by noise only: give the network the nearer of the two
            neighbouring timesteps of this schedule. They may repeat.

    Returns:
        A schedule of exactly the points asked for.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: No way of choosing is given, or two; or the one given cannot be satisfied.

    Example:
        >>> from schedalg import Schedule
        >>> base = Schedule.linear(1000)
        >>> base.subsample(every=250).timesteps
        array([  0, 250, 500, 750])
        >>> base.subsample(steps=4, spacing="trailing").timesteps
        array([249, 499, 749, 999])
        >>> base.subsample(sections="ddim25").timesteps[:3]
        array([ 0, 40, 80])
        >>> base.subsample(steps=4, spacing="karras").timesteps.round(2)
        array([  0.  , 300.98, 775.13, 999.  ])
        >>> base.subsample(sigmas="12.5, 1.5, 0.1, 0").timesteps.round(2)
        array([ 26.41, 338.12, 705.42])

    Source: Nichol and Dhariwal, arXiv 2102.09672, section 4 (respacing); Song et al., arXiv
    2010.02502, appendix D.2 (quadratic); Lin et al., arXiv 2305.08891, table 2 (trailing); Karras
    et al., arXiv 2206.00364, equation 5; Lee et al., arXiv 2407.12173 (beta); Watson
    et al., arXiv 2106.03802 (errors).
    """
    values = (every, steps, indices, timesteps, sections, sigmas)
    given = [name for name, value in zip(_WAYS, values, strict=True) if value is not None]
    rounded = flag("rounded", rounded)
    placed = spacing is not None or offset is not None or rounded
    if steps is None and (placed or errors is not None):
        instead = f", not with {given[0]}=" if given else ": give steps=, the number of points"
        raise ValueError(f"spacing, errors, offset and rounded go with steps={instead}")
    if len(given) != 1:
        raise ValueError(
            f"choose points in one way, of {', '.join(_WAYS)}, as in subsample(steps=20); got "
            f"{', '.join(given) or 'none'}"
        )
    n = len(schedule)
    if errors is not None:
        if placed:
            raise ValueError("errors choose the points: give no spacing, offset or rounded")
        costs = kl_costs(schedule, errors)
        return schedule[cheapest(costs, checked_count(steps, n))]
    if steps is not None:
        return _spaced(schedule, positive_integer("steps", steps), spacing, offset, rounded)
    if every is not None:
        return schedule[:: _stride(n, every)]
    if sigmas is not None:
        listed = sigmas if isinstance(sigmas, str) else host_numbers("sigmas", sigmas)
        return at_noise_levels(schedule, "sigmas", rising_levels("sigmas", listed)[1])
    if indices is not None:
        chosen = checked_indices("indices", indices, n)
    elif timesteps is not None:
        chosen = positions_of(schedule, timesteps)
    else:
        chosen = np.array(sections_of(n, sections))
    if len(chosen) == 0:
        raise ValueError(f"{given[0]} chooses no point: at least one is needed")
    return schedule[chosen]


def _stride(n: int, every: int) -> int:
    every = positive_integer("every", every)
    if every > n:
        raise ValueError(f"every must be at most the number of points, {n}; got {every}")
    return every


def _spaced(
    schedule: "Schedule", steps: int, spacing: str | None, offset: int | None, rounded: bool
) -> "Schedule":
    name = "trailing" if spacing is None else spacing
    if not isinstance(name, str) or name not in _SPACINGS:
        allowed = ", ".join(map(repr, _SPACINGS))
        raise ValueError(f"spacing must be one of {allowed}; got {shown(spacing)}")
    if name not in _BY_INDEX and name != "sgm_uniform":
        if offset is not None:
            raise ValueError(f"offset goes with spacing='leading', not with {name!r}")
        if name in _BY_NOISE:
            return _by_noise(schedule, steps, _BY_NOISE[name], rounded)
        return _by_level(schedule, steps, name, rounded)
    if rounded:
        raise ValueError(f"rounded goes with a spacing by noise level, not with {name!r}")
    n = len(schedule)
    if steps > n:
        raise ValueError(f"steps must be at most the number of points, {n}; got {steps}")
    if offset is not None:
        if name != "leading":
            said = "without a spacing" if spacing is None else f"with {name!r}"
            raise ValueError(
                f"offset goes with spacing='leading', not {said}: give spacing='leading'"
            )
        index, first = _leading(n, steps), integer("offset", offset)
        last = first + int(index[-1])
        if first < 0 or last >= n:
            raise ValueError(
                f"offset is {first}: indices would run from {first} to {last}, and allowed are 0 "
                f"to {n - 1}"
            )
        return schedule[index + first]
    if name == "sgm_uniform":
        return _sgm_uniform(schedule, steps)
    return schedule._select(rising_indices("index", _BY_INDEX[name](n, steps), n))


def _leading(n: int, steps: int) -> np.ndarray:
    return np.arange(steps) * (n // steps)


def _trailing(n: int, steps: int) -> np.ndarray:
    # The entries of np.arange(n, 0, -n / steps), bit for bit, but always as many as asked for:
    # arange itself gives one more for 62 of the counts up to 1000.
    backwards = n + np.arange(float(steps)) * ((n - n / steps) - n)
    return np.rint(backwards)[::-1].astype(np.int64) - 1


def _linspace(n: int, steps: int) -> np.ndarray:
    return np.round(np.linspace(0, n - 1, steps)).astype(np.int64)


def _quadratic(n: int, steps: int) -> np.ndarray:
    """floor(c i²), with c such that the last is n - 1; where two would coincide, the next index."""
    kept: list[int] = []
    for i in range(steps):
        index = (n - 1) * i * i // max(steps - 1, 1) ** 2
        kept.append(max(index, kept[-1] + 1) if kept else index)
    return np.array(kept)


def _simple(n: int, steps: int) -> np.ndarray:
    """Return the indices of ComfyUI's "simple": strides back from the end, rounded down."""
    stride = n / steps
    return np.array([n - 1 - int(k * stride) for k in range(steps - 1, -1, -1)])


def _ddim_uniform(n: int, steps: int) -> np.ndarray:
    """Return the indices of ComfyUI's "ddim_uniform", whole strides from 1: as many as asked for.

    There, the strides go on to the end, which may give more. The noisiest of them are left out
    here: 7 of 1000 points end at index 853, where a run begins.
    """
    return _leading(n, steps) + (steps < n)


def _beta_timesteps(n: int, steps: int) -> np.ndarray:
    """Return the indices of ComfyUI's "beta", quantiles of Beta(.6, .6): as many as asked for.

    There, what coincides is left out. Here, the next index takes its place.
    """
    beta = imported("scipy.stats", "spacing='beta_timesteps'", "scipy").beta
    quantiles = beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), 0.6, 0.6)
    index, k = np.rint(quantiles * (n - 1)).astype(np.int64)[::-1], np.arange(steps)
    return np.minimum(np.maximum.accumulate(index - k) + k, n - steps + k)


_BY_INDEX: dict[str, Callable[[int, int], np.ndarray]] = {
    "leading": _leading,
    "trailing": _trailing,
    "linspace": _linspace,
    "quadratic": _quadratic,
    "simple": _simple,
    "ddim_uniform": _ddim_uniform,
    "beta_timesteps": _beta_timesteps,
}


@curve.computed_on_host
def _sgm_uniform(schedule: "Schedule", steps: int) -> "Schedule":
    """Return points at even strides back from the last, which would reach the first in one more."""
    position = (len(schedule) - 1) * np.arange(1, steps + 1)
    fraction = double_double.quotients(np, np.ones(1), position % steps, steps)
    return interpolation.at_positions(
        schedule, position // steps, fraction, "spacing='sgm_uniform'"
    )


@curve.computed_on_host
def _by_level(schedule: "Schedule", steps: int, name: str, rounded: bool) -> "Schedule":
    """Return the points at noise levels by a formula, or from a published list."""
    if rounded and not isinstance(schedule.timestep_rule, np.ndarray):
        raise ValueError("rounded: the timesteps of this schedule are its noise levels themselves")
    levels: Array
    if name in PUBLISHED:
        levels = published_levels(name, steps)
    else:
        own = noise_levels(schedule)
        levels = GRIDS[name](namespace(own), own[:1], own[-1:], steps)
    return at_noise_levels(schedule, f"levels of spacing={name!r}", levels, rounded=rounded)


@curve.computed_on_host
def _by_noise(schedule: "Schedule", steps: int, grid: "_Grid", rounded: bool) -> "Schedule":
    n = len(schedule)
    if n == 0:
        raise ValueError("an empty schedule has no noise levels to choose from")
    if rounded and not isinstance(schedule.timestep_rule, np.ndarray):
        raise ValueError("rounded: the timesteps of this schedule are its noise levels themselves")
    xp = namespace(schedule.log_alpha_bar.high)
    points = path.inner(schedule.log_alpha_bar)
    require_signal(schedule)
    if n == 1 or steps == 1:
        if steps > 1:
            raise ValueError(f"no {steps} different noise levels lie in a schedule of one point")
        return schedule[[n - 1]]
    whole = path.log_snr_since(
        xp, double_double.take(points, slice(-1, None)), double_double.take(points, slice(1))
    )
    inner = double_double.take(grid(xp, whole, steps), slice(1, -1))
    none = double_double.single(xp.zeros_like(whole.high))
    since = double_double.concat(xp, double_double.concat(xp, none, inner), whole)
    return at_noise.at_log_snr(schedule, since, rounded=rounded)


#: (namespace, last log-SNR minus the first, count) -> as many log-SNRs minus the first.
_Grid: TypeAlias = Callable[[Namespace, DoubleDouble, int], DoubleDouble]


def _log_snr_grid(xp: Namespace, whole: DoubleDouble, n: int) -> DoubleDouble:
    """Return n evenly spaced differences of log-SNR, from 0 to `whole`."""
    u = double_double.quotients(xp, whole.high, np.arange(n), n - 1)
    return double_double.product(u, whole)


def _karras_grid(xp: Namespace, whole: DoubleDouble, n: int) -> DoubleDouble:
    u = double_double.quotients(xp, whole.high, np.arange(n), n - 1)
    return _by_power(xp, whole, u, 7.0)


def _beta_grid(xp: Namespace, whole: DoubleDouble, n: int) -> DoubleDouble:
    beta = imported("scipy.stats", "spacing='beta'", "scipy").beta
    quantile = double_double.single(beta.ppf(np.linspace(0, 1, n), 0.6, 0.6))
    u = double_double.on_device_of(xp, whole.high, quantile)
    return _by_power(xp, whole, u, 1.0)


def _by_power(xp: Namespace, whole: DoubleDouble, u: DoubleDouble, rho: float) -> DoubleDouble:
    """Return where sigma^(1/rho) is a share u of the way from first to last."""
    scale = double_double.single(2 * rho)
    start, gap, _ = path.shares(xp, double_double.divided(whole, scale))
    least = double_double.constant(xp, start.high, path.smallest(xp, start.high), 0.0)
    start = double_double.where(xp, start.high > least.high, start, least)
    rest = double_double.minus(double_double.single(1.0), u)
    x = double_double.plus(u, double_double.product(rest, start))
    logarithm = elementary.log(xp, x, double_double.product(rest, gap))
    return double_double.minus(whole, double_double.product(scale, logarithm))


_BY_NOISE: dict[str, _Grid] = {
    "log_snr": _log_snr_grid,
    "exponential": _log_snr_grid,
    "karras": _karras_grid,
    "beta": _beta_grid,
}
_SPACINGS = (*_BY_INDEX, *_BY_NOISE, *GRIDS, *PUBLISHED, "sgm_uniform")
