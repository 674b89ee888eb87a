"""What the message of an error shows of a value."""

import numbers
from typing import Any

import numpy as np

from schedalg.arrays import is_array, type_name


def described(value: Any) -> str:
    """Return the shape and dtype of an array, or the type of anything else, for a message."""
    if is_array(value):
        return f"shape {tuple(value.shape)}, dtype {value.dtype}"
    return type_name(value)


def shown(value: Any, depth: int = 2) -> str:
    """Return what a message shows of any value: its repr, or the start of a long one.

    Of an array the shape and dtype, since its elements may be many, or in memory that was freed.
    """
    if is_array(value) and not isinstance(value, np.generic):
        return described(value)
    if isinstance(value, list | tuple) and depth:
        parts = [shown(each, depth - 1) for each in value[:5]] + ["..."] * (len(value) > 5)
        text = ", ".join(parts)
        return f"[{text}]" if isinstance(value, list) else f"({text}{',' * (len(value) == 1)})"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if not isinstance(value, str | bytes | numbers.Number | np.generic | None):
        return type_name(value)
    if isinstance(value, int) and abs(value) >= 10**100:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
