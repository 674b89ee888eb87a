"""Two denoisers, each at noise levels of its own."""

import math
from collections.abc import Callable

from schedalg.arrays import Array, host_number, to_host
from schedalg.checks import number_or_infinity, real_number
from schedalg.network.denoiser import (
    AnyDenoiser,
    Denoiser,
    DerivedDenoiser,
    InnerDenoiser,
    check_denoiser,
)
from schedalg.schedule import Point


def switch(
    inside: AnyDenoiser,
    outside: AnyDenoiser,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    *,
    t_min: float | None = None,
    t_max: float | None = None,
    timestep_min: float | None = None,
    timestep_max: float | None = None,
    log_snr_min: float | None = None,
    log_snr_max: float | None = None,
) -> DerivedDenoiser:
    """Return a denoiser that is `inside` in an interval of noise levels, else `outside`.

    One use is guidance in an interval of noise levels, with the unguided network outside. Another
    is to switch from a base model to a refiner, or between two experts, at a noise level; multistep
    samplers then use the predictions of both.

    Bounds are inclusive, to rounding. They are of one quantity, named in the call; one that is not
    given is open.

    Args:
        inside: The denoiser in the interval.
        outside: The denoiser elsewhere, for the same schedule.
        sigma_min: Lower bound of sigma/alpha, EDM's sigma. Not on a flow, whose own sigma is t.
        sigma_max: Upper bound of it.
        t_min: Lower bound of t = sigma / (alpha + sigma), the time of a flow, from 0 to 1.
        t_max: Upper bound of it.
        timestep_min: Lower bound of the timestep passed to the network.
        timestep_max: Upper bound of it.
        log_snr_min: Lower bound of log(alpha² / sigma²), which is the noisy end.
        log_snr_max: Upper bound of it.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The denoisers are for different schedules, bounds of two quantities are given,
            the interval is empty, or sigma is asked for on a flow.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Denoiser, Schedule, sample, switch
        >>> s = Schedule.flow(40, shift=12.0)
        >>> base = Denoiser(lambda x, t: 0 * x, s, "x0")
        >>> refiner = Denoiser(lambda x, t: 0 * x + 1, s, "x0")
        >>> sample(switch(base, refiner, t_min=0.875), s, DDIM(), np.ones((1, 2)))
        array([[1., 1.]])

    Source: Kynkäänniemi et al., arXiv 2404.07724, equation 6 (guidance interval).
    """
    for name, denoiser in (("inside", inside), ("outside", outside)):
        check_denoiser(name, denoiser)
    bounds = {
        "sigma": (sigma_min, sigma_max),
        "t": (t_min, t_max),
        "timestep": (timestep_min, timestep_max),
        "log_snr": (log_snr_min, log_snr_max),
    }
    given = [name for name, (low, high) in bounds.items() if low is not None or high is not None]
    if len(given) > 1:
        named = [
            f"{name}_{end}"
            for name in given
            for end, bound in zip(("min", "max"), bounds[name], strict=True)
            if bound is not None
        ]
        raise ValueError(f"switch takes bounds of one quantity; got {', '.join(named)}")
    quantity = given[0] if given else "t"
    low, high = _interval(quantity, *bounds[quantity])
    if quantity == "sigma" and inside.schedule.kind == "flow":
        raise ValueError(
            "sigma_min and sigma_max are of sigma/alpha, and the sigma of a flow is t: give t_min "
            "and t_max, as in t_min=0.875 (sigma/alpha = r is t = r / (1 + r))"
        )
    measure = _MEASURES[quantity]

    def chosen(x: Array, t: Point, inside: InnerDenoiser, outside: InnerDenoiser) -> Array:
        return (inside if low <= measure(t) <= high else outside)(x, t)

    return Denoiser.from_function(chosen, inside.schedule, inside, outside)


def _interval(name: str, low: float | None, high: float | None) -> tuple[float, float]:
    """Return both bounds, an ulp or two wider."""
    floor = 0.0 if name in ("sigma", "t") else -math.inf
    least = floor if low is None else real_number(f"{name}_min", low)
    most = math.inf if high is None else number_or_infinity(f"{name}_max", high)
    if not floor <= least < most:
        rule = "at least 0 and " if floor == 0 else ""
        raise ValueError(f"{name}_min must be {rule}below {name}_max, got {least!r} and {most!r}")
    below, above = (1e-14 * abs(bound) if math.isfinite(bound) else 0.0 for bound in (least, most))
    return least - below, most + above


def _noise_to_signal(t: Point) -> float:
    alpha, sigma = host_number(t.alpha), host_number(t.sigma)
    return sigma / alpha if alpha > 0 else math.inf


def _flow_time(t: Point) -> float:
    alpha, sigma = host_number(t.alpha), host_number(t.sigma)
    return sigma / (alpha + sigma)


#: What the bounds of `switch` are of, at a point.
_MEASURES: dict[str, Callable[[Point], float]] = {
    "sigma": _noise_to_signal,
    "t": _flow_time,
    "timestep": lambda t: -math.inf if t.timestep is None else float(t.timestep),
    "log_snr": lambda t: float(to_host(t.log_snr)),
}
