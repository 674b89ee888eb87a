"""What pipelines pass of torch: tensors, generators, devices; and noise as they draw it."""

from typing import TYPE_CHECKING, Any

from schedalg.checks import check_sample, shown

if TYPE_CHECKING:
    from torch import Tensor


def check_tensor(name: str, value: object) -> None:
    """Raise unless the value is a batch of floating-point numbers of torch.

    Raises:
        TypeError: It is not a tensor of floating-point numbers.
        ValueError: It has no batch dimension, or cannot be read.
    """
    if not isinstance(value, imported_torch().Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {shown(value)}")
    check_sample(name, value)


def check_generator(generator: object, batch: int) -> None:
    """Raise unless it is a generator of torch, a list with one for each sample, or None.

    Raises:
        TypeError: It is something else.
        ValueError: The list has another length.
    """
    each = generator if isinstance(generator, list) else [generator]
    if not all(one is None or isinstance(one, imported_torch().Generator) for one in each):
        raise TypeError(
            f"generator must be a torch.Generator or a list of them, got {shown(generator)}"
        )
    if len(each) not in (1, batch):
        raise ValueError(f"generator holds {len(each)} generators for {batch} samples")


def check_device(device: object) -> None:
    """Raise unless torch knows the device, or it is None.

    Raises:
        ValueError: torch does not know it.
    """
    if device is None:
        return
    try:
        imported_torch().device(device)
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"device is {shown(device)}, which torch does not know: {error}") from None


def normal_like(x: "Tensor", generator: Any) -> "Tensor":
    """Return noise like x, drawn as pipelines draw it."""
    torch = imported_torch()
    if isinstance(generator, list):
        if len(generator) == 1:
            generator = generator[0]
        else:
            parts = [normal_like(x[i : i + 1], one) for i, one in enumerate(generator)]
            joined: Tensor = torch.cat(parts)
            return joined
    where = x.device if generator is None else generator.device
    drawn = torch.randn(tuple(x.shape), generator=generator, dtype=x.dtype, device=where)
    noise: Tensor = drawn.to(x.device)
    return noise


def imported_torch() -> Any:
    """Return the module of torch.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(
            "a pipeline's scheduler needs torch and diffusers: pip install 'schedalg[diffusers]'"
        ) from None
    return torch
