"""What a JSON file holds: a schedule, a plan, or a configuration of diffusers."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schedalg.checks import shown
from schedalg.interop.diffusers import from_diffusers
from schedalg.plan.plan import Plan
from schedalg.schedule import Schedule

#: What `to_dict` of a class calls it, and how the schedule in it is read.
_READERS: dict[str, Callable[[Any], Schedule]] = {
    "schedalg.Schedule": Schedule.from_dict,
    "schedalg.Plan": lambda data: Plan.from_dict(data).schedule,
}


def read_json(path: str) -> Mapping[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not JSON, or no object of it.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, Mapping):
        raise ValueError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


def schedule_in(path: str) -> Schedule:
    """Return the schedule of a JSON file; that of training, of a configuration of diffusers.

    Raises:
        OSError: The file cannot be read.
        TypeError: What it holds has a value of the wrong type.
        ValueError: It holds none.
    """
    data = read_json(path)
    if "_class_name" in data:
        return from_diffusers(data).schedule
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError(
            f"{path} has the type {shown(kind)}, and must have one of {', '.join(_READERS)}, or be "
            "the configuration of a scheduler of diffusers, with a _class_name"
        )
    return _READERS[kind](data)
