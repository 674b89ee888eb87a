"""The timesteps of a schedule: a list of numbers, or what follows from the noise.

A network trained on 1000 discrete steps gets a number from that list, which a point keeps
whatever happens to the schedule. A network trained on continuous noise gets a function of the
noise level: then the timestep follows from the point, moves with it when a transform changes the
noise, and is exact between points too. Constructors take it as `timesteps=`:

- `"sigma"`: sigma / alpha, as networks of karras schedules are;
- `"log_sigma/4"`: log(sigma / alpha) / 4, as EDM's own;
- `"flow_time"`: t = sigma / (alpha + sigma), as networks of flows are;
- `"1000 flow_time"`: 1000 t, and so any other whole number;
- a function: `function(alpha, sigma)`, of NumPy arrays in the network's scale.

Names can be saved as JSON, a function cannot.

    >>> import numpy as np
    >>> from schedalg import Schedule
    >>> s = Schedule.from_log_snr([2.0, 0.0], kind="flow", timesteps="1000 flow_time")
    >>> s.timesteps.round(2)
    array([268.94, 500.  ])
    >>> Schedule.from_log_snr([2.0, 0.0], timesteps=lambda alpha, sigma: sigma).timesteps.round(4)
    array([0.3453, 0.7071])
"""

import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from schedalg.arrays import (
    Array,
    Namespace,
    device,
    integer_dtype,
    namespace,
    requires_gradient,
    seen,
    to_host,
)
from schedalg.checks import described, host_numbers, host_result, raise_stopped, shown
from schedalg.schedule import elementary, path
from schedalg.schedule.double_double import DoubleDouble, minus, single
from schedalg.schedule.path import Kind

#: alpha and sigma of a number of points -> the timesteps there.
TimestepFunction: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
#: A number for each point, or what they follow from: a name or a function.
TimestepRule: TypeAlias = np.ndarray | str | TimestepFunction


#: Largest size of a timestep, and of a whole one. Differences of two are in range, too.
_LARGEST, _LARGEST_WHOLE = 1e300, 2**62


class Named(NamedTuple):
    """What a name stands for: `factor` times a function of sigma / alpha."""

    function: Literal["sigma", "log_sigma", "flow_time"]
    factor: float

    def of(self, xp: Namespace, ratio: Array) -> Array:
        """Return the timesteps at ratios sigma / alpha."""
        if self.function == "log_sigma":
            return xp.log(ratio) * self.factor
        level = ratio if self.function == "sigma" else ratio / (1 + ratio)
        return level if self.factor == 1 else level * self.factor

    def levels(self, timesteps: np.ndarray) -> DoubleDouble:
        """Return log ᾱ of clean data and of the points at timesteps before pure noise."""
        one = single(np.ones_like(timesteps))
        if self.function == "flow_time":
            signal = minus(single(self.factor), single(timesteps))
            return path.from_ratios(np, single(timesteps), signal, one)
        sigma = single(timesteps)
        if self.function == "log_sigma":
            sigma = elementary.exp(np, single(timesteps / self.factor))
        return path.from_sigmas(np, sigma, one)


def named(name: str) -> Named:
    """Return what a name of timesteps stands for.

    Raises:
        ValueError: There is no such name.
    """
    if name == "log_sigma/4":
        return Named("log_sigma", 0.25)
    if name == "sigma":
        return Named("sigma", 1.0)
    if found := re.fullmatch(r"(?:([1-9][0-9]{0,8}) )?flow_time", name):
        return Named("flow_time", float(found[1] or 1))
    raise ValueError(
        "timesteps must be numbers, a function, or one of 'sigma', 'log_sigma/4', 'flow_time', "
        f"'1000 flow_time'; got {name!r}"
    )


def checked_timesteps(timesteps: object, n: int) -> np.ndarray:
    """Return timesteps that a user listed as n finite numbers on the host.

    Raises:
        TypeError: They are not real numbers.
        ValueError: Their number or shape is wrong, or one is NaN, infinite or too large.
    """
    array = host_numbers("timesteps", timesteps)
    if array.shape != (n,):
        raise ValueError(f"timesteps must have shape ({n},), one a point; got shape {array.shape}")
    if not np.isfinite(array).all():
        index = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"timesteps[{index}] is {array[index].item()!r}: timesteps must be finite")
    for index in (int(array.argmin()), int(array.argmax())) if n else ():
        check_size(f"timesteps[{index}]", array[index].item())
    return canonical_timesteps(array)


def check_size(name: str, timestep: float) -> None:
    """Raise if a timestep, a whole number or a finite float, is too large.

    Raises:
        ValueError: It is.
    """
    limit = _LARGEST_WHOLE if isinstance(timestep, int) else _LARGEST
    if not -limit <= timestep <= limit:
        raise ValueError(
            f"{name} is {shown(timestep)}: timesteps must be from {-limit!r} to {limit!r}"
        )


def canonical_timesteps(timestep_rule: np.ndarray) -> np.ndarray:
    """Return timesteps as int64 where all are whole, so that equal timesteps have one dtype."""
    if timestep_rule.dtype.kind != "f":
        return timestep_rule
    if ((timestep_rule == np.rint(timestep_rule)) & (np.abs(timestep_rule) < 2**53)).all():
        return timestep_rule.astype(np.int64)
    return timestep_rule + 0.0  # -0.0 is the same timestep as 0.0


def rounded_timesteps(timesteps: np.ndarray) -> np.ndarray:
    """Return the nearest whole numbers, half to even."""
    return canonical_timesteps(np.rint(timesteps))


def timesteps_key(timesteps: np.ndarray) -> bytes:
    """Return what is the same for equal timesteps, be they held as integers or as floats."""
    key = timesteps.astype(np.float64)
    if timesteps.dtype.kind == "i" and np.count_nonzero(np.abs(key) > 2**53):
        return timesteps.tobytes()
    return key.tobytes()


def timesteps_at(
    xp: Namespace, log_alpha_bar: DoubleDouble, timestep_rule: TimestepRule, network_kind: Kind
) -> Any:
    """Return the timestep of every point (the levels without their origin), as `following` does."""
    if isinstance(timestep_rule, np.ndarray):
        return timestep_rule
    return following(xp, path.inner(log_alpha_bar), timestep_rule, network_kind)


def following(
    xp: Namespace,
    log_alpha_bar: DoubleDouble,
    rule: str | TimestepFunction,
    network_kind: Kind,
) -> Any:
    """Return the timesteps that follow from levels: traced ones, if these have no values."""
    if not isinstance(rule, str):
        alpha, sigma = path.alpha_sigma(xp, log_alpha_bar, network_kind)
        return called(rule, to_host(alpha), to_host(sigma))
    function, factor = named(rule)
    if function == "log_sigma":
        return seen(path.log_snr(xp, log_alpha_bar)) * (-factor / 2)
    _, sigma = path.alpha_sigma(xp, log_alpha_bar, "ve" if function == "sigma" else "flow")
    return seen(sigma) if factor == 1 else seen(sigma) * factor


def called(function: TimestepFunction, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return what a user's function of alpha and sigma returns, as float64.

    Raises:
        TypeError: It returns no real numbers.
        ValueError: It does not return one a point.
    """
    timestep_values: Any
    try:
        with np.errstate(all="ignore"):
            timestep_values = function(alpha.astype(np.float64), sigma.astype(np.float64))
    except StopIteration as error:
        raise_stopped(error, "timesteps")
    if requires_gradient(timestep_values):
        raise TypeError("what timesteps returns requires a gradient, which would be lost here")
    values = host_result("what timesteps returns", timestep_values)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"timesteps must return real numbers, got {described(timestep_values)}")
    if values.shape not in ((), alpha.shape):
        raise ValueError(
            f"timesteps must return an array of shape {alpha.shape}, as alpha; got {values.shape}"
        )
    return np.full(alpha.shape, values, dtype=np.float64)


def scales_at(ratio: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and sigma in a scale, where sigma / alpha is as given."""
    if kind == "ve":
        return np.ones_like(ratio), ratio
    total = 1 + ratio if kind == "flow" else np.hypot(1, ratio)
    return 1 / total, ratio / total


def ratio_where(
    function: TimestepFunction,
    kind: Kind,
    timesteps: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Return sigma / alpha where a function that rises or falls returns the given timesteps.

    Args:
        function: Of alpha and sigma.
        kind: In which scale.
        timesteps: What it returns there.
        low: Lower bounds of the result.
        high: Upper bounds of it, at most 1e150.
    """
    start, end = low / (1 + low), high / (1 + high)
    inside = start + 0.25 * (end - start), start + 0.75 * (end - start)
    first, second = (called(function, *scales_at(t / (1 - t), kind)) for t in inside)
    rises = second > first
    for _ in range(1100):
        # By the geometric mean, where the lower end is negligible against the upper.
        small = low < high / 4
        middle = np.where(small, np.sqrt(np.maximum(low, 1e-300) * high), (low + high) / 2)
        if not ((low < middle) & (middle < high)).any():
            break
        below = (called(function, *scales_at(middle, kind)) < timesteps) == rises
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high


def take_timesteps(timestep_rule: TimestepRule, index: slice | np.ndarray) -> TimestepRule:
    """Return the timesteps of the points chosen, or the rule."""
    return timestep_rule[index] if isinstance(timestep_rule, np.ndarray) else timestep_rule


def timestep_batch(x: Array, timestep: Any) -> Array:
    """Return a timestep for the network: one for each sample, (B,), on the same device as x.

    It is a number, or an array of one that a gradient or a tracer follows.
    """
    dtype, xp = timestep_dtype(x, timestep), namespace(x)
    # `torch.compile` cannot ask for the library of a number.
    if not isinstance(timestep, int | float) and requires_gradient(timestep):
        return xp.broadcast_to(xp.astype(timestep, dtype, copy=False), (x.shape[0],))
    return xp.full((x.shape[0],), timestep, dtype=dtype, device=device(x))


def timestep_dtype(x: Array, timestep: Any) -> Any:
    """Return the dtype of the timesteps for a network with input x.

    The library's integer for whole numbers; else x's own type, but at least float32, since half
    precision has no room for 999.5.
    """
    xp = namespace(x)
    if isinstance(timestep, int):
        return integer_dtype(xp, device(x))
    return x.dtype if x.dtype in (xp.float32, xp.float64) else xp.float32
