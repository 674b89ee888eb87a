"""Sums of arrays with weights, on any array library: half precision in float32, rounded once."""

from collections.abc import Iterable
from typing import Any

from schedalg.arrays import Array, namespace


def given(weight: Any) -> bool:
    """Whether a weight is to be multiplied with: no number 0. Arrays are not looked into."""
    return not isinstance(weight, float) or weight != 0


def weighted(terms: Iterable[tuple[Any, Any]], rounded: bool = True) -> Array:
    """Return Σ weight value without what is multiplied by 0, half precision in float32 inside.

    Args:
        terms: (weight, array), the first array being of the dtype to return.
        rounded: Whether half precision is rounded to its own type again.
    """
    total, first = None, None
    for weight, value in terms:
        first = value if first is None else first
        if given(weight):
            term = weight * widened(value)
            total = term if total is None else total + term
    if total is None:
        total = 0.0 * widened(first)
    if rounded and first is not None and total.dtype != first.dtype:
        return namespace(first).astype(total, first.dtype)
    return total


def is_half(x: Array) -> bool:
    """Whether an array is in half precision: float16 or bfloat16."""
    return str(x.dtype).endswith("float16")


def widened(x: Array) -> Array:
    """Return half precision in float32, and anything else as it is."""
    if is_half(x):
        xp = namespace(x)
        return xp.astype(x, xp.float32)
    return x
