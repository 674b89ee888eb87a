"""A plan as text: a table to read, and numbers, strings and lists for JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import real_number
from schedalg.plan.columns import FLOATS, Evaluations, host_start, require_finite
from schedalg.schedule import Schedule
from schedalg.schedule.timesteps import canonical_timesteps

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


def table(plan: "Plan") -> str:
    """Return the table, aligned. Columns that say nothing (no memory but x0) are left out."""
    scale, noise = host_start(plan.start)
    start = ("x" if scale == 1 else f"{scale:.6g} x") + (f" + {noise:.6g} z" if noise else "")
    head = f"plan of {len(plan)} model calls in {len(np.unique(plan.step))} steps, start: {start}"
    columns = {
        "row": [str(k) for k in range(len(plan))],
        "step": [str(k) for k in plan.step],
        "timestep": [f"{t:.6g}" for t in plan.timesteps],
    }
    for name in FLOATS:
        if getattr(plan, name) is None:
            continue
        values = to_host(getattr(plan, name))
        if name in ("m_x", "m_d") and (values == (name == "m_d")).all():
            continue
        names = [name] if values.ndim == 1 else [f"{name}{j}" for j in range(values.shape[1])]
        for title, column in zip(names, np.reshape(values, (-1, len(names))).T, strict=True):
            columns[title] = [f"{value:.6g}" for value in column]
    widths = [max(map(len, [name, *cells])) for name, cells in columns.items()]
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    return "\n".join([head, *(" ".join(map(str.rjust, line, widths)) for line in lines)])


def to_dict(plan: "Plan") -> dict[str, Any]:
    """Return the plan as numbers, strings and lists that JSON holds without loss.

    Example:
        >>> import json
        >>> from schedalg import DDIM, Plan, Schedule
        >>> plan = DDIM().plan(Schedule.flow(4))
        >>> Plan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False))) == plan
        True
    """
    columns: dict[str, Any] = {
        name: None if (column := getattr(plan, name)) is None else listed(to_host(column))
        for name in FLOATS
    }
    return {
        "type": "schedalg.Plan",
        "version": 1,
        "schedule": plan.schedule.to_dict(),
        "step": plan.step.tolist(),
        "timesteps": plan.timesteps.tolist(),
        "start": list(host_start(plan.start)),
        **columns,
    }


def from_dict(cls: "type[Plan]", data: Mapping[str, Any]) -> "Plan":
    """Return the plan that `to_dict` wrote, on NumPy arrays.

    Raises:
        TypeError: The data is no mapping, or holds something of the wrong type.
        ValueError: It is not what `to_dict` writes.

    Example:
        >>> from schedalg import DDPM, Plan, Schedule
        >>> plan = DDPM().plan(Schedule.linear(10))
        >>> Plan.from_dict(plan.to_dict()) == plan
        True
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a mapping, got {type(data).__name__}")
    kind, version = data.get("type"), data.get("version")
    if (
        not isinstance(kind, str)
        or kind != "schedalg.Plan"
        or type(version) is not int
        or version != 1
    ):
        raise ValueError(
            "data must be what Plan.to_dict() returns, version 1; got type "
            f"{kind!r}, version {version!r}"
        )
    keys = ("schedule", "step", "timesteps", "start", *FLOATS)
    if missing := [key for key in keys if key not in data]:
        raise ValueError(f"data lacks {missing}")
    columns: dict[str, Any] = {
        name: None if data[name] is None and name == "log_variance" else floats(name, data)
        for name in FLOATS
    }
    for name in ("b", "log_variance"):  # without rows, lists do not tell how wide they were
        if columns[name] is not None and columns[name].size == 0:
            columns[name] = np.zeros((0, 2 if name == "log_variance" else 1))
    timesteps, step = floats("timesteps", data), floats("step", data)
    start = floats("start", data)
    require_finite("c_in", columns["c_in"])
    for name in ("c_in", "c_x", "c_out"):
        if columns[name].shape != timesteps.shape:
            raise ValueError(f"{name} must have {len(timesteps)} rows, as timesteps")
    plan = cls.of(
        Schedule.from_dict(data["schedule"]),
        a=columns["a"],
        b=columns["b"],
        c=columns["c"],
        memory=(columns["m_x"], columns["m_d"]),
        evaluations=Evaluations(timesteps, columns["alpha"], columns["sigma"]),
        step=canonical_timesteps(step),
        log_variance=columns["log_variance"],
        start=tuple(start.tolist()),
    )
    return replace(plan, **{name: columns[name] for name in ("c_in", "c_x", "c_out")})


def listed(values: np.ndarray) -> list[Any]:
    """Return nested lists of numbers, with what JSON lacks as text."""
    if values.ndim > 1:
        return [listed(row) for row in values]
    return [v if math.isfinite(v) else str(v) for v in values.astype(np.float64).tolist()]


def floats(name: str, data: Mapping[str, Any]) -> np.ndarray:
    """Return the lists that `_listed` made as an array again."""

    def read(value: Any, place: str) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [read(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if isinstance(value, str) and value in ("inf", "-inf", "nan"):
            return float(value)
        return real_number(place, value)

    if not isinstance(data[name], Sequence) or isinstance(data[name], str | bytes):
        raise TypeError(f"{name} must be a list of numbers, got {data[name]!r}")
    try:
        return np.array(read(data[name], name), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{name} must be a table of numbers: {error}") from None
