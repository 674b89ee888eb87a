"""Bounds of the x0 prediction: clamping and dynamic thresholding."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from schedalg.arrays import Array, is_array, namespace
from schedalg.checks import (
    check_like,
    check_readable,
    check_sample,
    in_unit,
    positive_number,
    real_number,
    shown,
)

#: (low, high), or a function from an x0 prediction to a new one of the same shape and dtype.
Clip: TypeAlias = tuple[float, float] | Callable[[Array], Array]


@dataclass(frozen=True)
class Clamp:
    """Clamp every element of the x0 prediction to the same interval, such as (-1, 1)."""

    low: float
    high: float

    def __call__(self, x0: Array) -> Array:
        """Return the clamped prediction."""
        return namespace(x0).clip(x0, self.low, self.high)


@dataclass(frozen=True)
class DynamicThreshold:
    """Clamp each sample's x0 prediction to its own quantile of `|x0|`, and scale it to [-1, 1].

    x0 ← clip(x0, -s, s) / s, where s is the quantile, raised to 1 if it is less and limited to
    `max_value`. Use it as `sample(..., clip=DynamicThreshold())`.

    Args:
        quantile: In (0, 1]. Between two values of `|x0|` it is interpolated linearly.
        max_value: The largest s, at least 1. None: no limit.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is out of range.

    Example:
        >>> import numpy as np
        >>> from schedalg import DynamicThreshold
        >>> DynamicThreshold(0.5)(np.array([[0.5, -2.0, 8.0]]))
        array([[ 0.25, -1.  ,  1.  ]])

    Source: Saharia et al., arXiv 2205.11487, section 2.3.
    """

    quantile: float = 0.995
    max_value: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantile", in_unit("quantile", self.quantile))
        if self.max_value is not None:
            largest = positive_number("max_value", self.max_value)
            if largest < 1:
                raise ValueError(f"max_value must be at least 1, got {largest!r}")
            object.__setattr__(self, "max_value", largest)

    def __call__(self, x0: Array) -> Array:
        """Return the thresholded prediction."""
        check_sample("x0", x0)
        xp = namespace(x0)
        if math.prod(x0.shape) == 0:
            return x0
        batch = x0.shape[0]
        ordered = xp.sort(xp.reshape(xp.abs(x0), (batch, -1)), axis=1)
        place = self.quantile * (ordered.shape[1] - 1)
        low = int(place)
        high = min(low + 1, ordered.shape[1] - 1)
        s = ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low])
        s = xp.clip(s, 1.0, self.max_value)
        s = xp.reshape(s, (batch,) + (1,) * (x0.ndim - 1))
        return xp.minimum(xp.maximum(x0, -s), s) / s


def bounding(clip: Any) -> Callable[[Array], Array] | None:
    """Return the value of `clip=` as a function of x0, or None for no bounds.

    Raises:
        TypeError: `clip` is neither a function nor a pair of numbers.
        ValueError: `clip` is a pair whose first number is not below the second.
    """
    if clip is None:
        return None
    if isinstance(clip, type):
        raise TypeError(f"clip must be an object, not the class {clip.__name__}")
    if is_array(clip):
        check_readable("clip", clip)
    if callable(clip):
        return clip  # type: ignore[no-any-return]
    try:
        low, high = clip
    except (TypeError, ValueError):
        raise TypeError(
            f"clip must be a pair (low, high), such as (-1, 1), or a function; got {shown(clip)}"
        ) from None
    low, high = real_number("clip[0]", low), real_number("clip[1]", high)
    if not low < high:
        raise ValueError(f"clip must be (low, high) with low < high, got {shown(clip)}")
    return Clamp(low, high)


def bounded(clip: Callable[[Array], Array], x0: Array) -> Array:
    """Return the x0 prediction within the bounds of a function.

    Raises:
        TypeError: The function does not return an array of x0's library.
        ValueError: What it returns differs from x0 in shape, dtype or device.
    """
    result = clip(x0)
    check_like("x0 returned by clip", result, x0, "x0")
    return result
