"""What keeps values from being changed: memory that is never written to, and attributes."""

from dataclasses import FrozenInstanceError
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type[Any])


def fixed(array: np.ndarray) -> np.ndarray:
    """Return an array in the memory of a bytes object; one that is in such memory as it is.

    An array that owns its memory and is read-only can be made writable by `setflags(write=True)`.
    NumPy refuses that where bytes are the owner.
    """
    owner = array.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, bytes):
        return array
    return np.ndarray(array.shape, array.dtype, array.tobytes())


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
