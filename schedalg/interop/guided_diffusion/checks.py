"""Checks of the tensors that a process is given, by its caller or by a network."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from schedalg.checks import (
    check_readable,
    check_sample,
    described,
    integer,
    raise_stopped,
    shown,
)
from schedalg.interop.guided_diffusion.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def checked_batch(name: str, value: object) -> "Tensor":
    """Return a batch of floating-point numbers.

    Raises:
        TypeError: The value is not a tensor, or has another dtype.
        ValueError: It has no batch dimension, or cannot be read.
    """
    batch = _checked_tensor(name, value)
    check_sample(name, batch)
    return batch


def check_image(name: str, value: object) -> None:
    """Raise unless the value is a batch with channels.

    Raises:
        TypeError: The value is not a tensor of a floating-point dtype.
        ValueError: It has fewer than two dimensions.
    """
    if (batch := checked_batch(name, value)).ndim < 2:
        raise ValueError(f"{name} must have shape (B, C, ...), got {tuple(batch.shape)}")


def check_shape(name: str, value: object, shape: Sequence[int]) -> None:
    """Raise unless the value is a batch of floating-point numbers of the given shape.

    Raises:
        TypeError: The value is not a tensor, or has another dtype.
        ValueError: It has another shape, or cannot be read.
    """
    got = tuple(_checked_tensor(name, value).shape)
    if got != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {got}")
    check_sample(name, value)


def checked_sizes(shape: object) -> tuple[int, ...]:
    """Return the shape of samples.

    Raises:
        TypeError: `shape` is not a tuple or a list of integers.
        ValueError: It has no batch dimension, or a size is below 0 or too large for a tensor.
    """
    if not isinstance(shape, tuple | list):
        raise TypeError(f"shape must be a tuple or a list of integers, got {shown(shape)}")
    sizes = tuple(integer(f"shape[{i}]", size) for i, size in enumerate(shape))
    if not sizes or min(sizes) < 0 or math.prod(max(size, 1) for size in sizes) >= 2**60:
        raise ValueError(f"shape must be (B, C, ...), sizes of at least 0; got {shown(shape)}")
    return sizes


def called(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function of the user's returns.

    Raises:
        ValueError: It raises StopIteration.
    """
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise_stopped(error, name)


def keywords(model_kwargs: object) -> Mapping[str, Any]:
    """Return the keyword arguments of a network; none for None.

    Raises:
        TypeError: `model_kwargs` is not a mapping from names.
    """
    if model_kwargs is None:
        return {}
    if not isinstance(model_kwargs, Mapping):
        raise TypeError(f"model_kwargs must be a mapping, got {described(model_kwargs)}")
    if any(not isinstance(name, str) for name in model_kwargs):
        raise TypeError(f"model_kwargs must have strings as keys, got {list(model_kwargs)}")
    return model_kwargs


def _checked_tensor(name: str, value: object) -> "Tensor":
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {described(value)}")
    check_readable(name, value)
    return value
