"""A schedule as numbers, strings and lists, for JSON and the like, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import check_version, flag, real_number, shown
from schedalg.schedule import curve as curves
from schedalg.schedule import path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.path import Kind
from schedalg.schedule.timesteps import check_size, checked_timesteps, named

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

_KEYS = ("kind", "network_kind", "origin_timestep", "timesteps", "log_alphas_cumprod")


def to_dict(schedule: "Schedule") -> dict[str, Any]:
    """Return the schedule as numbers, strings and lists that JSON holds without loss.

    Returns:
        A dictionary for `json.dumps(..., allow_nan=False)`, and for `Schedule.from_dict`.

    Raises:
        ValueError: The timesteps follow from a function, which has no name in JSON.

    Example:
        >>> import json
        >>> from schedalg import Schedule
        >>> s = Schedule.flow(8, shift=3.0)
        >>> Schedule.from_dict(json.loads(json.dumps(s.to_dict()))) == s
        True
    """
    if not isinstance(schedule.timestep_rule, np.ndarray | str):
        raise ValueError(
            "the timesteps follow from a function, which JSON cannot hold: make the schedule with "
            "one of the names that timesteps= takes, as '1000 flow_time', or with a list of numbers"
        )
    curve = None if schedule.curve is None else _points(schedule.curve.base)
    return {
        "type": "schedalg.Schedule",
        "version": 2,
        "kind": schedule.kind,
        "network_kind": schedule.network_kind,
        **_points(schedule),
        "curve": curve,
    }


def _points(schedule: "Schedule") -> dict[str, Any]:
    high, low = (to_host(part).astype(np.float64).tolist() for part in schedule.log_alpha_bar)
    rule = schedule.timestep_rule
    return {
        "origin_timestep": schedule.origin_timestep,
        "timesteps": rule.tolist() if isinstance(rule, np.ndarray) else str(rule),
        # Some JSON writers do not distinguish integers from floats; an empty list holds neither.
        "whole_timesteps": rule.dtype.kind == "i" if isinstance(rule, np.ndarray) else None,
        # JSON has no infinity.
        "log_alphas_cumprod": [[*high[:-1], high[-1] if high[-1] > -math.inf else "-inf"], low],
    }


def from_dict(cls: "type[Schedule]", data: Mapping[str, Any]) -> "Schedule":
    """Return the schedule that `to_dict` wrote, now or in version 1, on NumPy arrays.

    Returns:
        A schedule equal to the one written, to its last bit.

    Raises:
        TypeError: The data is not a mapping, or holds something of the wrong type.
        ValueError: It is not what `to_dict` writes.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_dict(Schedule.linear(10).to_dict()) == Schedule.linear(10)
        True
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a mapping, got {type(data).__name__}")
    version = check_version("data", data, "schedalg.Schedule", 2)
    keys = _KEYS if version == 1 else (*_KEYS, "whole_timesteps", "curve")
    if missing := [key for key in keys if key not in data]:
        raise ValueError(f"data lacks {missing}")
    kind = path.checked_kind("kind", data["kind"])
    network_kind = path.checked_kind("network_kind", data["network_kind"])
    schedule = _read(cls, data, kind, network_kind)
    if "ve" in (kind, network_kind) and not np.isfinite(schedule.to_sigmas()).all():
        raise ValueError("kind or network_kind 've' cannot end in pure noise: sigma is infinite")
    if data.get("curve") is None:
        return schedule
    return replace(schedule, curve=_read_curve(schedule, data["curve"]))


def _read(
    cls: "type[Schedule]", data: Mapping[str, Any], kind: Kind, network_kind: Kind
) -> "Schedule":
    """Return a schedule without its curve, or the base of one."""
    log_alpha_bar = _log_alpha_bar(data["log_alphas_cumprod"])
    rule, whole = data["timesteps"], data.get("whole_timesteps")
    if whole is not None:
        flag("whole_timesteps", whole)
    if not isinstance(rule, str):
        if not isinstance(rule, Sequence | np.ndarray):
            raise TypeError(f"timesteps must be a list of numbers or a name, got {shown(rule)}")
        n = len(log_alpha_bar.high) - 1
        rule = checked_timesteps(rule, n) if n or len(rule) else np.arange(0)
        if whole is False:
            rule = rule.astype(np.float64)
    else:
        named(rule)
    origin = data["origin_timestep"]
    if origin is not None:
        origin = origin if type(origin) is int else real_number("origin_timestep", origin)
        check_size("origin_timestep", origin)
    return cls(
        log_alpha_bar=log_alpha_bar,
        timestep_rule=rule,
        kind=kind,
        network_kind=network_kind,
        origin_timestep=origin,
    )


def _read_curve(schedule: "Schedule", data: object) -> curves.Curve | None:
    """Return the curve of a schedule, without what of it lies beyond its ends.

    Raises:
        TypeError: The data is not that of a curve.
        ValueError: It is the curve of another schedule.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"curve must be a mapping or None, got {type(data).__name__}")
    if missing := [key for key in _KEYS[2:] if key not in data]:
        raise ValueError(f"curve lacks {missing}")
    base = _read(type(schedule), data, schedule.kind, schedule.network_kind)
    if not all(isinstance(s.timestep_rule, np.ndarray) for s in (schedule, base)):
        raise ValueError("curve goes with timesteps that are numbers, and has such itself")
    return curves.covering(base, curves.located(base, schedule.log_alpha_bar))


def _log_alpha_bar(pair: object) -> DoubleDouble:
    name = "log_alphas_cumprod"
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise ValueError(
            f"{name} must be two lists of numbers, high and low parts; got {shown(pair)}"
        )
    high, low = (_numbers(f"{name}[{i}]", part) for i, part in enumerate(pair))
    if high.shape != low.shape or high.size == 0:
        raise ValueError(
            f"{name} must be two lists of one length, at least 1; got {len(high)} and {len(low)}"
        )
    with np.errstate(invalid="ignore"):  # the difference of two -inf, which is no fall
        falls = np.diff(high) + np.diff(low) < 0
    if not falls.all():
        k = int(np.argmin(falls)) + 1
        raise ValueError(f"{name}[0][{k}] is {high[k].item()!r}: the values must fall strictly")
    if high[0] > 0 or (high[0] == 0 and low[0] != 0):
        raise ValueError(f"{name}[0][0] is {high[0].item()!r}: it must be at most 0")
    # low is what rounding to high has lost, to float32 at worst.
    whole = np.abs(low) <= 2**-22 * np.where(np.isfinite(high), np.abs(high), 0)
    if not whole.all():
        k = int(np.argmin(whole))
        raise ValueError(f"{name}[1][{k}] is {low[k].item()!r}: more than rounding high loses")
    return DoubleDouble(high, low)


def _numbers(name: str, values: object) -> np.ndarray:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{name} must be a list of numbers, got {type(values).__name__}")
    last = len(values) - 1
    return np.array(
        [
            -math.inf if k == last and value == "-inf" else real_number(f"{name}[{k}]", value)
            for k, value in enumerate(values)
        ],
        dtype=np.float64,
    )
