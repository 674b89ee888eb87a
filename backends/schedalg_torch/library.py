"""What differs between torch and the array API standard."""

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as namespace
import numpy as np
import torch
from torch import Tensor

from schedalg.libraries import Library

#: The floating-point types that NumPy has too.
_NUMPYS = (torch.float16, torch.float32, torch.float64)


class TorchLibrary(Library):
    """Tensors of torch."""

    scalars_adapt = True

    def recognizes(self, value: object) -> bool:
        """Whether the value is a tensor."""
        return isinstance(value, Tensor)

    def namespace(self, x: Tensor) -> Any:
        """Return array-api-compat's view of torch."""
        return namespace

    def device(self, x: Tensor) -> torch.device:
        """Return the device that x is on."""
        return x.device

    def to_host(self, x: Tensor) -> np.ndarray:
        """Return the values of x, without its gradient, as a NumPy array."""
        if (reason := self.unreadable(x)) is not None:
            raise ValueError(f"a tensor of shape {tuple(x.shape)} {reason}")
        x = x.detach().cpu().resolve_conj().resolve_neg()
        if x.is_floating_point() and x.dtype not in _NUMPYS:
            x = x.float()
        return np.asarray(x)

    def requires_gradient(self, x: Tensor) -> bool:
        """Whether autograd follows x."""
        return x.requires_grad

    def can_be_read(self, x: Tensor) -> bool:
        """Whether x is on the CPU."""
        return x.device.type == "cpu"

    def is_like(self, result: Any, x: Tensor) -> bool:
        """Whether a result is a tensor like x, and its storage holds its elements."""
        if (
            type(result) is not type(x)
            or result.shape != x.shape
            or result.dtype is not x.dtype
            or result.device != x.device
        ):
            return False
        return self.holds_elements(result)

    def holds_elements(self, x: Tensor) -> bool:
        """Whether x's storage is as large as its shape needs.

        torch lets a storage be shrunk under a tensor (`x.untyped_storage().resize_(0)`), and its
        operations then read memory that is not theirs.
        """
        if torch.compiler.is_compiling():
            return True
        try:
            stored = x.untyped_storage().nbytes()
        except NotImplementedError:  # of what only wraps a tensor, as torch.func does
            return True
        if x.is_contiguous() and not x.storage_offset():
            return stored >= x.nbytes
        before = x.storage_offset() * x.itemsize
        if x.is_contiguous():
            return stored >= before + x.nbytes or x.numel() == 0
        if x.numel() == 0:
            return True
        places = zip(x.shape, x.stride(), strict=True)
        last = 1 + sum((size - 1) * stride for size, stride in places)
        return stored >= before + last * x.itemsize

    def unreadable(self, x: Tensor) -> str | None:
        """Return why the values of x cannot be read; None if they can."""
        if x.device.type == "meta":
            return "is on the device meta, which holds no data"
        if x.layout is not torch.strided:
            return f"must be strided, got layout {x.layout}"
        if not self.holds_elements(x):
            return "has a storage that was resized, and nothing can be read"
        return None

    def drawing(self, source: Any, x: Tensor) -> Callable[[Any], Any] | None:
        """Return a function that draws from a `torch.Generator`."""
        if not isinstance(source, torch.Generator):
            return None
        return lambda x: torch.randn(x.shape, generator=source, dtype=x.dtype, device=x.device)
