"""Checks of the tensors that a process is given, by its caller or by a network."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from schedalg.checks import check_readable, described
from schedalg.interop.guided_diffusion.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def checked_batch(name: str, value: object) -> "Tensor":
    """Return a batch of floating-point numbers.

    Raises:
        TypeError: The value is not a tensor, or has another dtype.
        ValueError: It has no batch dimension.
    """
    batch = _checked_tensor(name, value)
    if not batch.is_floating_point():
        raise TypeError(f"{name} must be of a floating-point dtype, got {described(value)}")
    if batch.ndim == 0:
        raise ValueError(f"{name} must have a batch dimension, shape (B, ...); got shape ()")
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
    """Raise unless the value is a tensor of the given shape.

    Raises:
        TypeError: The value is not a tensor.
        ValueError: It has another shape.
    """
    got = tuple(_checked_tensor(name, value).shape)
    if got != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {got}")


def keywords(model_kwargs: object) -> Mapping[str, Any]:
    """Return the keyword arguments of a network; none for None.

    Raises:
        TypeError: `model_kwargs` is not a mapping.
    """
    if model_kwargs is None:
        return {}
    if not isinstance(model_kwargs, Mapping):
        raise TypeError(f"model_kwargs must be a mapping, got {described(model_kwargs)}")
    return model_kwargs


def _checked_tensor(name: str, value: object) -> "Tensor":
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {described(value)}")
    check_readable(name, value)
    return value
