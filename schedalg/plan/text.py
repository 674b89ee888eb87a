"""A plan as text: a printed table, and numbers, strings and lists for JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import check_version, real_number, shown
from schedalg.network.reading import reading_of
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.plan.columns import FLOATS, Evaluations, host_start
from schedalg.schedule import Schedule
from schedalg.schedule.timesteps import canonical_timesteps

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


#: Columns of more than LONG rows are printed with ENDS rows at either end.
LONG, ENDS = 50, 10


def table(plan: "Plan", prediction: Prediction | Parameterization | None = None) -> str:
    """Return the plan as an aligned table; the middle rows of a long plan are left out.

    The columns p, q and u are left out if the memory is the x0 prediction.

    Args:
        plan: The plan.
        prediction: What the network predicts. If given, the table also has c_in, c_x and c_out, for
            x0 = c_x x + c_out model(c_in x, timestep).

    Raises:
        ValueError: `prediction` is unknown.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> print(DDIM().plan(Schedule.linear(1000).subsample(steps=2)).table("epsilon"))
        plan of 2 model calls in 2 steps, start: x
        row step timestep      alpha    sigma c_in     c_x    c_out        a       b0 c
          0    0      999 0.00635282  0.99998    1  157.41 -157.407 0.959922 0.274236 0
          1    1      499   0.280334 0.959902    1 3.56717 -3.42414        0        1 0
    """
    return "\n".join([heading(plan), *aligned(columns(plan, prediction))])


def heading(plan: "Plan") -> str:
    """Return the line above the table."""
    scale, noise = host_start(plan.start)
    start = ("x" if scale == 1 else f"{scale:.6g} x") + (f" + {noise:.6g} z" if noise else "")
    return f"plan of {len(plan)} model calls in {len(np.unique(plan.step))} steps, start: {start}"


def columns(
    plan: "Plan", prediction: Prediction | Parameterization | None = None
) -> dict[str, np.ndarray]:
    """Return the columns of the table by their titles: (K,) each.

    Raises:
        ValueError: `prediction` is unknown.
    """
    found: dict[str, Any] = {
        "row": np.arange(len(plan)),
        "step": plan.step,
        "timestep": to_host(plan.timesteps),
        "alpha": plan.alpha,
        "sigma": plan.sigma,
    }
    if prediction is not None:
        found |= reading_of(
            parameterization(prediction), plan.schedule, plan.alpha, plan.sigma
        )._asdict()
        for name in ("e_x", "e_out"):
            del found[name]
    memory = {name: to_host(getattr(plan, name)) for name in ("p", "q", "u")}
    usual = {"p": 1, "q": 0, "u": 0}
    found |= {name: values for name, values in memory.items() if (values != usual[name]).any()}
    found |= {"a": plan.a, "b": plan.b, "c": plan.c, "log_variance": plan.log_variance}
    titled: dict[str, np.ndarray] = {}
    for name, column in found.items():
        if column is None:
            continue
        values = to_host(column)
        if values.ndim == 1:
            titled[name] = values
        else:
            titled |= {f"{name}{j}": values[:, j] for j in range(values.shape[1])}
    return titled


def aligned(columns: Mapping[str, np.ndarray], digits: int = 6) -> list[str]:
    """Return columns of numbers or strings as lines of text, the titles first.

    The middle of long columns is left out.
    """
    titled, left_out = cells(columns, digits)
    widths = [max(map(len, [name, *column])) for name, column in titled.items()]
    lines = [list(titled), *zip(*titled.values(), strict=True)]
    text = [" ".join(map(str.rjust, line, widths)) for line in lines]
    if left_out:
        text.insert(1 + ENDS, f"… {left_out} rows …")
    return text


def cells(columns: Mapping[str, np.ndarray], digits: int = 6) -> tuple[dict[str, list[str]], int]:
    """Return the cells of columns of numbers or strings, and how many rows are left out.

    Of long columns, only the first and the last `ENDS` cells are returned.
    """
    n = len(next(iter(columns.values())))
    rows = np.arange(n) if n <= LONG else np.r_[:ENDS, n - ENDS : n]
    titled = {
        name: [each if isinstance(each, str) else f"{each:.{digits}g}" for each in values[rows]]
        for name, values in columns.items()
    }
    return titled, n - len(rows)


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
        "version": 2,
        "schedule": plan.schedule.to_dict(),
        "step": plan.step.tolist(),
        "timesteps": to_host(plan.timesteps).tolist(),
        "start": list(host_start(plan.start)),
        **columns,
    }


def from_dict(cls: "type[Plan]", data: Mapping[str, Any]) -> "Plan":
    """Return the plan that `to_dict` wrote, in version 1 or 2, with NumPy arrays.

    Version 1 also held what the network predicts. That is passed to `run` now.

    Raises:
        TypeError: `data` is not a mapping, or a value has the wrong type.
        ValueError: `data` is not what `to_dict` returns.

    Example:
        >>> from schedalg import DDPM, Plan, Schedule
        >>> plan = DDPM().plan(Schedule.linear(10))
        >>> Plan.from_dict(plan.to_dict()) == plan
        True
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a mapping, got {type(data).__name__}")
    version = check_version("data", data, "schedalg.Plan", 2)
    memory = ("m_x", "m_d") if version == 1 else ("p", "q", "u")
    names = ("alpha", "sigma", *memory, "a", "b", "c", "log_variance")
    keys = ("schedule", "step", "timesteps", "start", *names)
    if missing := [key for key in keys if key not in data]:
        raise ValueError(f"data lacks {missing}")
    columns: dict[str, Any] = {
        name: None if data[name] is None and name == "log_variance" else floats(name, data)
        for name in names
    }
    for name in ("b", "log_variance"):  # an empty list has no second dimension
        if columns[name] is not None and columns[name].size == 0:
            columns[name] = np.zeros((0, 2 if name == "log_variance" else 1))
    timesteps, step = floats("timesteps", data), floats("step", data)
    start = floats("start", data)
    for name in ("alpha", "sigma", *memory):
        if columns[name].shape != timesteps.shape:
            raise ValueError(f"{name} must have {len(timesteps)} rows, as timesteps")
    p, q, *rest = (columns[name] for name in memory)
    if version == 1:  # in which the memory is m_x x + m_d x0
        p, q = q + p * columns["alpha"], p * columns["sigma"]
    return cls.of(
        Schedule.from_dict(data["schedule"]),
        a=columns["a"],
        b=columns["b"],
        c=columns["c"],
        memory=(p, q, *rest),
        evaluations=Evaluations(timesteps, columns["alpha"], columns["sigma"]),
        step=canonical_timesteps(step),
        log_variance=columns["log_variance"],
        start=tuple(start.tolist()),
    )


def listed(values: np.ndarray) -> list[Any]:
    """Return nested lists of numbers, with infinities and NaN as strings, for JSON."""
    if values.ndim > 1:
        return [listed(row) for row in values]
    return [v if math.isfinite(v) else str(v) for v in values.astype(np.float64).tolist()]


def floats(name: str, data: Mapping[str, Any]) -> np.ndarray:
    """Return an array from the lists that `listed` made."""

    def read(value: Any, place: str) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            if place.count("[") > 1:
                raise ValueError(f"{place} must be a number, got {type(value).__name__}")
            return [read(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if isinstance(value, str) and value in ("inf", "-inf", "nan"):
            return float(value)
        return real_number(place, value)

    if not isinstance(data[name], Sequence) or isinstance(data[name], str | bytes):
        raise TypeError(f"{name} must be a list of numbers, got {shown(data[name])}")
    lists = read(data[name], name)
    try:
        return np.array(lists, dtype=np.float64)
    except ValueError:
        raise ValueError(f"{name} must hold numbers, or lists of numbers of equal length") from None
