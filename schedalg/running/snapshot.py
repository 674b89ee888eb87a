"""Snapshots of a run: what is needed to go on with it later, or in another process."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from schedalg.arrays import Array, is_array, namespace, to_host
from schedalg.checks import check_like, check_sample, described, integer, parsed_json, shown
from schedalg.network.bounds import Clamp, Clip, bounding
from schedalg.parameterization import (
    PARAMETERIZATIONS,
    Parameterization,
    Prediction,
    parameterization,
)
from schedalg.plan.plan import Plan
from schedalg.running.matrix import integers

#: What stands in the settings for a function, which a snapshot cannot hold.
_FUNCTION = "function"
#: What a state must hold; it has "keys" as well where noise comes from seeds.
NEEDED = ("x", "memories", "row", "settings")


_MISMATCHES = {
    "version": "state is of version {saved}, and this release reads version {given}",
    "plan": "state is of another plan",
    "library": "state was of arrays of {saved}, and its x is an array of {given}",
    "dtype": "state was in {saved}, and its x is in {given}",
}


def settings_of(plan: Plan, x: Array, meaning: Parameterization, bounds: Any) -> np.ndarray:
    """Return what a run must agree in to go on, as a JSON text in UTF-8.

    Args:
        plan: The plan.
        x: Its array.
        meaning: What the network's output means.
        bounds: (low, high), a function that bounds x0, or None.
    """
    clip = _FUNCTION if callable(bounds) else bounds
    settings = _agreement(plan, x) | {"prediction": _name(meaning), "clip": clip}
    return np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy()


def _agreement(plan: Plan, x: Array) -> dict[str, Any]:
    return {
        "version": 1,
        "plan": hashlib.sha256(json.dumps(plan.to_dict(), sort_keys=True).encode()).hexdigest(),
        "library": _library_name(x),
        "dtype": str(x.dtype),
    }


def _library_name(x: Array) -> str:
    """Return the name of x's library, which is that of a traced x and of a subclass's, too."""
    name: str = getattr(namespace(x), "__name__", type(x).__module__)
    return name.removeprefix("array_api_compat.").partition(".")[0]


def _name(meaning: Parameterization) -> str:
    """Return the name of a parameterization; that of one without a name stands for a function."""
    named = (name for name, known in PARAMETERIZATIONS.items() if known == meaning)
    return next(named, _FUNCTION)


def read_settings(value: Any, plan: Plan, x: Array) -> dict[str, Any]:
    """Return the settings, which agree with a plan and the x of the state.

    Raises:
        ValueError: They do not, or are none.
    """
    wrong = ValueError("state['settings'] is not what Run.state() returned")
    if not is_array(value) or to_host(value).dtype.kind not in "iu":
        raise wrong
    try:
        settings = parsed_json(to_host(value).astype(np.uint8).tobytes())
    except (ValueError, TypeError, RecursionError):
        raise wrong from None
    if not isinstance(settings, dict) or set(settings) != {*_MISMATCHES, "prediction", "clip"}:
        raise wrong
    if not isinstance(settings["prediction"], str) or not _are_bounds(settings["clip"]):
        raise wrong
    for name, given in _agreement(plan, x).items():
        if settings[name] != given:
            raise ValueError(_MISMATCHES[name].format(saved=settings[name], given=given))
    return settings


def _are_bounds(saved: Any) -> bool:
    """Whether the settings hold what stands there for bounds."""
    if saved is None or saved == _FUNCTION:
        return True
    pair = isinstance(saved, list) and len(saved) == 2
    return pair and all(type(bound) is float for bound in saved) and saved[0] < saved[1]


def read_meaning(saved: Any, given: Prediction | Parameterization | None) -> Parameterization:
    """Return what the output means, by the settings' name or as it is given again.

    Raises:
        ValueError: The settings do not say, and it is not given; or the two contradict.
    """
    if given is None:
        if saved not in PARAMETERIZATIONS:
            raise ValueError(
                "the run began with a Parameterization of its own, which is not in the state: give "
                "it again as prediction"
            )
        return parameterization(saved)
    meaning = parameterization(given)
    if _name(meaning) != saved:
        raise ValueError(
            f"prediction is {shown(given)}, and the run began with {saved!r}: give that, or none"
        )
    return meaning


def read_bound(saved: Any, given: Clip | None) -> Callable[[Array], Array] | None:
    """Return the bounds of x0 as a function, by the settings or as they are given again.

    Raises:
        ValueError: They were a function, which is not given; or the two contradict.
    """
    if given is None:
        if saved == _FUNCTION:
            raise ValueError(
                "the run began with a function as clip, which is not in the state: give it again"
            )
        return bounding(saved)
    bound = bounding(given)
    own = [bound.low, bound.high] if type(bound) is Clamp else _FUNCTION
    if own != saved:
        raise ValueError(
            f"clip is {shown(given)}, and the run began with {saved!r}: give that, or none"
        )
    return bound


def read_row(value: Any, rows: int) -> int:
    """Return the row as an int.

    Raises:
        TypeError: It is not an integer.
        ValueError: The plan has no such row, nor ends there.
    """
    row = integer("state['row']", value.item() if is_array(value) and value.ndim == 0 else value)
    if not 0 <= row <= rows:
        raise ValueError(f"state['row'] is {row}: rows of the plan are 0 to {rows}, its end")
    return row


def read_memories(value: Any, count: int, x: Array) -> tuple[Array, ...]:
    """Return the memories one by one, the oldest first.

    Raises:
        TypeError: They are not an array.
        ValueError: There are not `count` of them, like x.
    """
    check_sample("state['memories']", value)
    if tuple(value.shape) != (count, *x.shape):
        raise ValueError(
            f"state['memories'] must have shape {(count, *x.shape)}, got {tuple(value.shape)}"
        )
    memories = tuple(value[k, ...] for k in range(count))
    for k, memory in enumerate(memories):
        check_like(f"state['memories'][{k}]", memory, x)
    return memories


def read_keys(value: Any, x: Array) -> np.ndarray:
    """Return the keys of the noise, (B, 2), uint64.

    Raises:
        ValueError: There are not two integers for each sample, of 64 bits: of smaller ones, which
            `jax.numpy.asarray` makes of them, the noise would be another.
    """
    host = to_host(value) if is_array(value) else np.asarray(value)
    if host.dtype.kind not in "iu" or host.dtype.itemsize < 8 or host.shape != (x.shape[0], 2):
        raise ValueError(
            f"state['keys'] must hold integers of 64 bits, of shape {(x.shape[0], 2)}, got "
            f"{described(value)}"
        )
    return host.astype(np.uint64)


def read_integers(
    state: Mapping[str, Any], name: str, shape: tuple[int, ...], most: int
) -> np.ndarray:
    """Return integers of a state, from 0 to the most.

    Raises:
        TypeError: They are not integers.
        ValueError: They have another shape, or one is out of range.
    """
    values = integers(f"state['{name}']", state[name])
    if values.shape != shape or not ((values >= 0) & (values <= most)).all():
        raise ValueError(
            f"state['{name}'] must hold integers from 0 to {most}, of shape {shape}; got "
            f"{shown(values.tolist())}"
        )
    return values
