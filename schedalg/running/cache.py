"""What the plans and rows of the last calls are cached by, in a `schedalg.cache.Cache`."""

from collections.abc import Hashable, Iterable
from dataclasses import fields
from functools import cache
from typing import Any, cast

from schedalg.parameterization import PARAMETERIZATIONS, Parameterization
from schedalg.schedule import Schedule

_PLAIN = (bool, int, str, type(None))
#: Their names are compared faster than their functions.
_NAMED = {id(value): name for name, value in PARAMETERIZATIONS.items()}


def key_of(value: Any) -> Hashable | None:
    """Return what a value is equal by, or None if it may change or is equal to itself alone.

    Numbers, strings, tuples and schedules are equal by value, and so are instances of frozen
    dataclasses that hold nothing but fields which are: the samplers of this library, and `edm`. A
    class that is derived from such a class and is not a dataclass itself is none.
    """
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is float:
        return float, value.hex()
    if kind is Schedule:
        return value if value.is_constant else None
    if kind is tuple:
        return _together(tuple, map(key_of, value))
    if kind is Parameterization and id(value) in _NAMED:
        return Parameterization, _NAMED[id(value)]
    names = _fields_of(cast(Hashable, kind))
    if names is None:
        return None
    if not names.keys() >= getattr(value, "__dict__", names).keys():
        return None  # it holds something that is no field
    return _together(kind, [key_of(getattr(value, name)) for name in names])


def _together(kind: type[Any], keys: Iterable[Hashable | None]) -> Hashable | None:
    """Return the key of what has a type and parts, from the keys of the parts."""
    parts = tuple(keys)
    for part in parts:
        if part is None:
            return None
    return kind, parts


@cache
def _fields_of(kind: Any) -> dict[str, None] | None:
    """Return the names of a frozen dataclass's fields, in their order; None if it is none."""
    if "__dataclass_params__" in vars(kind) and kind.__dataclass_params__.frozen:
        return dict.fromkeys(field.name for field in fields(kind))
    return None
