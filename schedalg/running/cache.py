"""What the plans and rows of the last calls are cached by, in a `schedalg.cache.Cache`."""

from collections.abc import Hashable
from dataclasses import fields
from typing import Any

from schedalg.parameterization import PARAMETERIZATIONS, Parameterization
from schedalg.schedule import Schedule

_PLAIN = (bool, int, str, type(None))
_NAMED = tuple(PARAMETERIZATIONS.values())


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
        parts = tuple(map(key_of, value))
        return None if None in parts else (tuple, parts)
    if kind is Parameterization and any(value is named for named in _NAMED):
        return value  # type: ignore[no-any-return]
    if "__dataclass_params__" in vars(kind) and kind.__dataclass_params__.frozen:
        names = [field.name for field in fields(kind)]
        if not set(getattr(value, "__dict__", ())) <= set(names):
            return None  # it holds something that is not a field
        parts = tuple([key_of(getattr(value, name)) for name in names])
        return None if None in parts else (kind, parts)
    return None
