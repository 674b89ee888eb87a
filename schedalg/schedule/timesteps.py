"""What the network is told at each point: a list of numbers, or the noise level itself.

A network trained on 1000 discrete steps is told a number from that list, which a point keeps
whatever happens to the schedule. A network trained on continuous noise is told the noise level, in
the scale it was trained in: then the timestep follows from the point, and moves with it when a
transform changes the noise.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import device

from schedalg.arrays import Array, Namespace, integer_dtype, namespace, to_host
from schedalg.checks import host_numbers
from schedalg.schedule import path
from schedalg.schedule.double_double import DoubleDouble

#: A number for each point, or the rule that gives it: sigma / alpha, or sigma / (alpha + sigma).
TimestepRule: TypeAlias = np.ndarray | Literal["sigma", "flow_time"]


def checked_timesteps(timesteps: object, n: int) -> np.ndarray:
    """Return timesteps that a user gave as n finite numbers on the host.

    Raises:
        TypeError: They are no real numbers.
        ValueError: Their number or shape is wrong, or one is NaN or infinite.
    """
    array = host_numbers("timesteps", timesteps)
    if array.shape != (n,):
        raise ValueError(f"timesteps must have shape ({n},), one a point; got shape {array.shape}")
    if not np.isfinite(array).all():
        index = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"timesteps[{index}] is {array[index].item()!r}: timesteps must be finite")
    return canonical_timesteps(array)


def canonical_timesteps(timestep_rule: np.ndarray) -> np.ndarray:
    """Return timesteps as int64 where all are whole, so that equal timesteps are told alike."""
    if timestep_rule.dtype.kind != "f":
        return timestep_rule
    if ((timestep_rule == np.rint(timestep_rule)) & (np.abs(timestep_rule) < 2**53)).all():
        return timestep_rule.astype(np.int64)
    return timestep_rule + 0.0  # -0.0 is the same timestep as 0.0


def timesteps_key(timesteps: np.ndarray) -> bytes:
    """Return what is the same for equal timesteps, be they held as integers or as floats."""
    key = timesteps.astype(np.float64)
    if timesteps.dtype.kind == "i" and (np.abs(key) > 2**53).any():
        return timesteps.tobytes()
    return key.tobytes()


def timesteps_at(
    xp: Namespace, log_alpha_bar: DoubleDouble, timestep_rule: TimestepRule
) -> np.ndarray:
    """Return the timestep of every point (the levels without their origin)."""
    if isinstance(timestep_rule, np.ndarray):
        return timestep_rule
    return noise_level(xp, path.inner(log_alpha_bar), timestep_rule)


def noise_level(
    xp: Namespace, log_alpha_bar: DoubleDouble, rule: Literal["sigma", "flow_time"]
) -> np.ndarray:
    """Return what a network of continuous noise is told at each level."""
    _, sigma = path.alpha_sigma(xp, log_alpha_bar, "ve" if rule == "sigma" else "flow")
    return to_host(sigma)


def take_timesteps(timestep_rule: TimestepRule, index: slice | np.ndarray) -> TimestepRule:
    """Return the timesteps of the points chosen, or the rule."""
    return timestep_rule[index] if isinstance(timestep_rule, np.ndarray) else timestep_rule


def timestep_batch(x: Array, timestep: int | float) -> Array:
    """Return a timestep as a network is told it: one a sample, (B,), beside x."""
    dtype = timestep_dtype(x, timestep)
    return namespace(x).full((x.shape[0],), timestep, dtype=dtype, device=device(x))


def timestep_dtype(x: Array, timestep: int | float) -> Any:
    """Return the dtype in which a network with input x is told timesteps.

    The library's integer for whole numbers; else x's own type, but at least float32, since half
    precision has no room for 999.5.
    """
    xp = namespace(x)
    if isinstance(timestep, int):
        return integer_dtype(xp, device(x))
    return x.dtype if x.dtype in (xp.float32, xp.float64) else xp.float32
