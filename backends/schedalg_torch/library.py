"""What differs between torch and the array API standard."""

import math
from collections.abc import Callable
from typing import Any

import array_api_compat.torch as namespace
import numpy as np
import torch
from torch import Tensor
from torch.compiler import is_compiling, is_dynamo_compiling

from schedalg.libraries import Function, Library, constant

#: The floating-point types that NumPy has too.
_NUMPYS = (torch.float16, torch.float32, torch.float64)


class TorchLibrary(Library):
    """Tensors of torch."""

    __slots__ = ()  # torch.compile calls no method of a constant that has a `__dict__`
    types = (Tensor,)
    scalars_adapt = True

    def compiling(self) -> bool:
        """Whether torch.compile or torch.export traces the call."""
        return is_compiling()

    def namespace(self, x: Tensor) -> Any:
        """Return array-api-compat's view of torch."""
        return namespace

    def device(self, x: Tensor) -> torch.device:
        """Return the device that x is on."""
        return x.device

    def to_host(self, x: Tensor) -> np.ndarray:
        """Return the values of x, without its gradient, as a NumPy array."""
        if (reason := self.unreadable(x)) is not None:
            raise ValueError(f"a tensor {reason}")
        x = x.detach().cpu().resolve_conj().resolve_neg()
        if x.is_floating_point() and x.dtype not in _NUMPYS:
            x = x.float()
        return np.asarray(x)

    def is_real_floating(self, x: Tensor) -> bool:
        """Whether x holds real floating-point numbers, half precision included."""
        return x.dtype.is_floating_point

    def requires_gradient(self, x: Tensor) -> bool:
        """Whether autograd follows x."""
        return x.requires_grad

    def can_be_read(self, x: Tensor) -> bool:
        """Whether x is on the CPU, and not traced."""
        return x.device.type == "cpu" and not is_compiling() and not _wraps(x)

    def lasts(self, x: Tensor) -> bool:
        """Whether x is a mere tensor, with or without a gradient, as `torch.compile` takes it."""
        return type(x) is Tensor and (is_dynamo_compiling() or not _wraps(x))

    def constant_of(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns; for `torch.compile`, it is a constant."""
        if is_dynamo_compiling():
            return _constant(function, *arguments)[0]
        return function(*arguments)

    def are_positions(self, k: Any, n: int, x: Tensor) -> bool:
        """Whether k holds int64 for a leading part of x's shape, in range if one can look."""
        if (
            type(k) is not type(x)
            or k.dtype is not torch.int64
            or k.shape != x.shape[: k.ndim]
            or k.ndim == 0
            or k.device != x.device
        ):
            return False
        if is_compiling() or _wraps(k):
            return True
        return self._is_whole(k) and (not self.can_be_read(k) or _are_in_range(k, n))

    def surely_fit(self, x: Tensor, y: Any, k: Any, n: int) -> bool:
        """Whether x and y are two mere tensors alike, and `are_positions` of k."""
        if not type(x) is type(y) is type(k) is Tensor or is_compiling():
            return False
        shape, dtype, device = x.shape, x.dtype, x.device
        return bool(
            y.shape == shape
            and k.shape == shape[: k.ndim] != ()
            and dtype.is_floating_point
            and y.dtype is dtype
            and k.dtype is torch.int64
            and y.device == device
            and k.device == device
            and device.type != "meta"
            and self._is_whole(x)
            and self._is_whole(y)
            and self._is_whole(k)
            and (not k.is_cpu or _are_in_range(k, n))
        )

    def _is_whole(self, x: Tensor) -> bool:
        """Whether x is no wrapper and not sparse, and its storage holds its elements."""
        try:
            stored = x.untyped_storage().nbytes()
        except NotImplementedError:
            return False
        if stored >= x.nbytes and x.is_contiguous() and not x.storage_offset():
            return True
        return self.holds_elements(x)

    def rows_at(self, table: Tensor, position: Any) -> tuple[Tensor, ...]:
        """Return each row of a table at positions."""
        if isinstance(position, int):
            return table.narrow(1, position, 1).clone().unbind()
        if position.ndim > 1:
            flat = table.index_select(1, position.flatten())
            rows: Tensor = flat.unflatten(1, position.shape)
            return rows.unbind()
        return table.index_select(1, position).unbind()

    def mixed_at(self, table: Tensor, position: Any, x: Tensor, y: Tensor) -> Tensor:
        """Return p x + q y, where p and q are the rows of a table at positions."""
        p, q = self.rows_at(table, position)
        mixed = p * x
        if is_compiling() or _wraps(y):  # torch.func writes no batch to what has none
            return mixed.addcmul(q, y)
        return mixed.addcmul_(q, y)

    def likeness(self, x: Tensor) -> Callable[[Any], bool]:
        """Return whether a result is a tensor like x, and its storage holds its elements."""
        kind, shape, dtype, device, on_cpu = type(x), x.shape, x.dtype, x.device, x.is_cpu
        size = math.inf if is_compiling() else x.nbytes  # sizes may be symbols there

        def like(result: Any) -> bool:
            if (
                type(result) is not kind
                or result.shape != shape
                or result.dtype is not dtype
                or (not (on_cpu and result.is_cpu) and result.device != device)
            ):
                return False
            if kind is not Tensor or is_compiling():
                return self.holds_elements(result)
            try:
                stored = result.untyped_storage().nbytes()
            except NotImplementedError:  # it only wraps a tensor, or is sparse
                return self.holds_elements(result)
            if stored >= size and result.is_contiguous() and not result.storage_offset():
                return True
            return self.holds_elements(result)

        return like

    def holds_elements(self, x: Tensor) -> bool:
        """Whether x's storage is as large as its shape needs.

        torch lets a storage be shrunk under a tensor (`x.untyped_storage().resize_(0)`), and its
        operations then read memory that is not theirs.
        """
        if is_compiling():
            return True
        try:
            stored = x.untyped_storage().nbytes()
        except NotImplementedError:  # it only wraps a tensor, or is sparse
            return x.layout is torch.strided and _is_alive(x)
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
        if x.is_meta:
            return "is on the device meta, which holds no data"
        if x.layout is not torch.strided:
            return f"must be strided, got layout {x.layout}"
        if x.is_nested:
            return "is a nested tensor, whose samples have shapes of their own"
        if self.holds_elements(x):
            return None
        if _wraps(x):
            return "has left the function that torch.vmap called, which must return it"
        return (
            f"has shape {tuple(x.shape)}, and its storage holds only "
            f"{x.untyped_storage().nbytes()} bytes: it was resized, and nothing can be read"
        )

    def drawing(self, source: Any, x: Tensor) -> Callable[[Any], Any] | None:
        """Return a function that draws from a `torch.Generator`; while compiling, from torch's."""
        if source is None and is_compiling():
            return torch.randn_like
        if isinstance(source, Tensor) or not isinstance(source, torch.Generator):
            return None
        return lambda x: torch.randn(x.shape, generator=source, dtype=x.dtype, device=x.device)

    def pullback(
        self, function: Callable[..., Any], *inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
        """Return function(*inputs), and what takes a vector v to v ∂function/∂input, detached."""
        with torch.inference_mode(False), torch.enable_grad():
            followed = [each.detach().clone().requires_grad_() for each in inputs]
            value = function(*followed)

        def pull(vector: Tensor) -> tuple[Tensor, ...]:
            if not value.requires_grad:  # it depends on no input
                return tuple(torch.zeros_like(each) for each in inputs)
            with torch.inference_mode(False):
                return torch.autograd.grad(
                    value, followed, vector.clone(), retain_graph=True, materialize_grads=True
                )

        return value.detach(), pull

    def untraced(self, function: Function) -> Function:
        """Return a function that torch.compile does not trace, nor what it calls."""
        return torch.compiler.disable(function) if is_compiling() else function

    def constants(
        self, x: Tensor, function: Callable[..., list[np.ndarray]], *arguments: Any
    ) -> list[Tensor]:
        """Return arrays of NumPy that follow from values, as constants on x's device."""
        made: list[Tensor] = self.constant_of(_on_device, x.device, function, *arguments)
        return made


def _on_device(
    device: torch.device, function: Callable[..., list[np.ndarray]], *arguments: Any
) -> list[Tensor]:
    return [torch.from_numpy(array).to(device) for array in function(*arguments)]


def _wraps(x: Tensor) -> bool:
    """Whether a tensor only wraps another one, as those do that torch.func transforms."""
    try:
        x.untyped_storage()
    except NotImplementedError:
        return x.layout is torch.strided
    return False


def _is_alive(x: Tensor) -> bool:
    """Whether a tensor that wraps another one is still within the call that made it."""
    try:
        x.detach()
    except RuntimeError:
        return False
    return True


def _are_in_range(k: Tensor, n: int) -> bool:
    """Whether integers on the CPU are 0 to n - 1; of none, False."""
    count = k.numel()
    if count <= 32:  # a reduction of torch takes as long as a list of so many
        values = k.tolist() if k.ndim == 1 else k.flatten().tolist()
        return count > 0 and min(values) >= 0 and max(values) < n
    least, most = k.aminmax()
    return bool(least.item() >= 0 and most.item() < n)


@constant
def _constant(function: Callable[..., Any], *arguments: Any) -> tuple[Any]:
    # In a tuple, which is given a name of its own; mere tensors would share that of this function.
    return (function(*arguments),)
