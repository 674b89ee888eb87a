"""What a JSON file holds: a schedule, a plan, a recipe, or a configuration of diffusers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schedalg.bulk.recipe import Recipe
from schedalg.checks import parsed_json, shown
from schedalg.interop.diffusers import ClippedDDIM, LowerOrderFinal, from_diffusers
from schedalg.interop.diffusers.methods import LatePNDM
from schedalg.plan.plan import Plan
from schedalg.schedule import Schedule

#: Samplers that configurations are read as, apart from the library's own.
OF_DIFFUSERS = (ClippedDDIM, LowerOrderFinal, LatePNDM)


def recipe_of(data: Mapping[str, Any]) -> Recipe:
    """Return the recipe that JSON holds, which may be one of a configuration of diffusers.

    Raises:
        TypeError: A value in it has the wrong type.
        ValueError: It holds no recipe.
    """
    return Recipe.from_dict(data, OF_DIFFUSERS)


#: What files call what they hold, and how the schedule in it is read.
_READERS: dict[str, Callable[[Any], Schedule]] = {
    "schedalg.Schedule": Schedule.from_dict,
    "schedalg.Plan": lambda data: Plan.from_dict(data).schedule,
    "schedalg.Recipe": lambda data: recipe_of(data).schedule,
    "schedalg.Samples": lambda data: recipe_of(data).schedule,
}


def read_json(path: str) -> Mapping[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not JSON, or no object of it.
    """
    try:
        data = parsed_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    if not isinstance(data, Mapping):
        raise ValueError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


def is_configuration(data: Mapping[str, Any]) -> bool:
    """Whether JSON is the configuration of a scheduler of diffusers."""
    return "_class_name" in data


def read_recipe(path: str) -> Recipe:
    """Return the recipe of a file, or of the `recipe.json` in a folder.

    Raises:
        OSError: The file cannot be read.
        TypeError: A value in it has the wrong type.
        ValueError: It holds no recipe.
    """
    data = read_json(path)
    if is_configuration(data):
        raise ValueError(
            f"{path} is a configuration of diffusers: schedalg convert makes it a recipe"
        )
    return recipe_of(data)


def read_schedule(path: str) -> Schedule:
    """Return the schedule of a JSON file; that of training, of a configuration of diffusers.

    Raises:
        OSError: The file cannot be read.
        TypeError: A value in it has the wrong type.
        ValueError: It holds no schedule.
    """
    data = read_json(path)
    if is_configuration(data):
        return from_diffusers(data).schedule
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError(
            f"{path} has the type {shown(kind)}, and must have one of {', '.join(_READERS)}, or be "
            "the configuration of a scheduler of diffusers, with a _class_name"
        )
    return _READERS[kind](data)
