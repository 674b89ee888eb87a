"""Values whose attributes cannot be set."""

from dataclasses import FrozenInstanceError
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type[Any])


def without_assignment(cls: Class) -> Class:
    """Let a frozen dataclass that has slots name the attribute that someone assigns or deletes.

    Where that is not a field, the methods that Python 3.11 makes end in an error about `super`:
    they know the class that there was before it got slots.
    """

    def assign(self: object, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def delete(self: object, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    cls.__setattr__ = assign  # type: ignore[assignment]
    cls.__delattr__ = delete  # type: ignore[assignment]
    return cls
