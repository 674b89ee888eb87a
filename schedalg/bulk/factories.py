"""Networks and conditions by name, "package.module:name", for processes that make their own."""

from importlib import import_module
from typing import Any

from schedalg.arrays import is_array
from schedalg.checks import shown


def by_name(argument: str, value: Any) -> Any:
    """Return what a string "package.module:name" names, and anything else unchanged.

    Args:
        argument: What errors call the value.
        value: A string, or anything else.

    Raises:
        ValueError: The string is not of this form, there is no such module, or it has no such name.
        Exception: What importing the module raises, with a note.
    """
    if not isinstance(value, str):
        return value
    place, colon, name = value.partition(":")
    if not colon or not all(part.isidentifier() for part in [*place.split("."), *name.split(".")]):
        raise ValueError(
            f'{argument} must be "package.module:name" where it is a string; got {shown(value)}'
        )
    try:
        found: Any = import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            error.add_note(f"while importing {place}, for {argument}={value!r}")
            raise
        raise ValueError(
            f"{argument} is {value!r}, and there is no module {error.name}: is it installed, or in "
            "a folder of PYTHONPATH?"
        ) from None
    except Exception as error:
        error.add_note(f"while importing {place}, for {argument}={value!r}")
        raise
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{argument} is {value!r}, and {place} has no {name}")
        found = getattr(found, part)
    return found


def network_of(model: Any, like: Any) -> tuple[Any, Any]:
    """Return the network, and an array whose library and device it takes.

    Args:
        model: The network; or the name of a function without arguments that makes it. The function
            returns the network, or a pair of it and of such an array.
        like: The array, if it was passed; it is preferred.

    Raises:
        ValueError: As `by_name`.
        TypeError: What is named is not a function.
        Exception: What the function raises, with a note.
    """
    if not isinstance(model, str):
        return model, like
    factory = by_name("model", model)
    if not callable(factory):
        raise TypeError(
            f"model is {model!r}, which must be a function that returns the network; it is "
            f"{shown(factory)}"
        )
    try:
        made = factory()
    except Exception as error:
        error.add_note(f"while making the network, with model={model!r}")
        raise
    if isinstance(made, tuple) and len(made) == 2 and is_array(made[1]):
        return made[0], made[1] if like is None else like
    return made, like
