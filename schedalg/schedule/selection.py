"""Which points are named: by index or mask, by timestep, or how many."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import Array, is_array, is_real_floating, namespace
from schedalg.checks import check_order, host_array, host_numbers, integer

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def checked_indices(name: str, indices: object, n: int) -> np.ndarray:
    """Return indices or a boolean mask into n points as a rising int64 array.

    Raises:
        TypeError: They are neither integers nor booleans.
        ValueError: A mask of another length; an index out of range, repeated or out of order.
    """
    array = host_array(name, indices)
    if array.shape == (0,):
        return np.zeros(0, dtype=np.int64)
    if isinstance(indices, Sequence) and array.dtype != np.bool_ and _has_bool(indices):
        raise TypeError(f"{name} must hold integers or booleans, not both")
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {array.shape}")
    if array.dtype == np.bool_:
        if len(array) != n:
            raise ValueError(f"{name}: a mask must have one entry a point, {n}; got {len(array)}")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers or booleans, got dtype {array.dtype}")
    return rising_indices(name, array, n)


def rising_indices(name: str, array: np.ndarray, n: int) -> np.ndarray:
    """Return indices into n points, a 1-D array of integers, as int64.

    Raises:
        ValueError: One is out of range, repeated or out of order.
    """
    if len(array) and array[0] >= 0 and array[-1] < n and _rise(array):
        return array.astype(np.int64, copy=False)  # one look is enough where nothing is wrong
    outside = (array < 0) | (array >= n)
    if outside.any():
        k = int(np.argmax(outside))
        allowed = f"allowed are 0 to {n - 1}" if n else "the schedule has no points"
        raise ValueError(f"{name}[{k}] is {array[k]}: {allowed}")
    array = array.astype(np.int64)
    check_order(name, array)
    falls = np.diff(array) <= 0
    if falls.any():
        k = int(np.argmax(falls)) + 1
        what = "repeats" if array[k] == array[k - 1] else "is out of order after"
        raise ValueError(f"{name}[{k}] is {array[k]}, which {what} {array[k - 1]}: they must rise")
    return array


def _rise(array: np.ndarray) -> bool:
    """Whether numbers rise strictly."""
    return int(np.count_nonzero(array[1:] > array[:-1])) == len(array) - 1


def _has_bool(values: Sequence[object]) -> bool:
    return any(isinstance(value, bool | np.bool_) for value in values)


def checked_count(steps: object, n: int) -> int:
    """Return how many of n points to keep, the first and the last among them.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is less than 2, or more than there are.
    """
    count = integer("steps", steps)
    if not 2 <= count <= n:
        raise ValueError(
            f"steps must be from 2, the first and the last point, to the number of points, {n}; "
            f"got {count}"
        )
    return count


def positions_of(schedule: "Schedule", timesteps: Sequence[float] | Array) -> np.ndarray:
    """Return the positions of timesteps, each of which the schedule has exactly once.

    Raises:
        TypeError: They are not numbers.
        ValueError: One is not a timestep of the schedule or of several points, repeated, or out of
            order.
    """
    wanted = host_numbers("timesteps", timesteps)
    own = schedule.timesteps
    # A noise level is computed, and equal to the one asked for only to rounding. So is any number
    # that comes in a shorter float.
    tolerance = 0.0 if isinstance(schedule.timestep_rule, np.ndarray) else 1e-12
    given: Any = timesteps
    if is_array(given) and is_real_floating(given):
        short = float(namespace(given).finfo(given.dtype).eps)
        if short > np.finfo(np.float64).eps:
            tolerance = 4 * short
    positions: list[int] = []
    for k, t in enumerate(wanted.tolist()):
        found = np.flatnonzero(np.abs(own - t) <= tolerance * abs(t))
        if len(found) != 1:
            fault = "not a timestep of" if len(found) == 0 else "the timestep of several points of"
            raise ValueError(f"timesteps[{k}] is {t!r}, {fault} {schedule!r}")
        positions.append(int(found[0]))
    if (np.diff(positions) < 0).all():
        check_order("timesteps", wanted)
    for k, (before, after) in enumerate(pairwise(positions), 1):
        if after <= before:
            what = "repeated" if after == before else "out of order"
            raise ValueError(
                f"timesteps[{k}] is {wanted[k]}, {what}: list them as the schedule does, from "
                "least to most noisy"
            )
    return np.array(positions, dtype=np.int64)
