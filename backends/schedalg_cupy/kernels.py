"""The source as kernels of CuPy, launched on the current stream of the arrays' device."""

from collections.abc import Hashable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import cupy

from schedalg.arrays import Array, Namespace
from schedalg_cupy.source import NORMAL, SOURCE, STEP, Signature


class Kernels(Protocol):
    """What `fused` computes with."""

    @property
    def xp(self) -> Namespace:
        """Where arrays are made: CuPy, or a library with the same names."""
        ...

    def on_device(self, x: Array, /) -> AbstractContextManager[Any]:
        """Return a context in which arrays are made, and kernels launched, on x's device."""
        ...

    def stream(self, x: Array, /) -> Hashable:
        """Return a key of the library, x's device and the current stream of that device."""
        ...

    def step(self, *arguments: Any, size: int) -> None:
        """Launch `STEP` for the items 0 to size - 1."""
        ...

    def normal(self, *arguments: Any, size: int) -> None:
        """Launch `NORMAL` for the items 0 to size - 1."""
        ...


def elementwise(signature: Signature) -> cupy.ElementwiseKernel:
    """Return the kernel around a function; it is compiled when it is first called."""
    return cupy.ElementwiseKernel(
        signature.reads,
        signature.writes,
        signature.operation,
        f"schedalg_{signature.name}",
        preamble=SOURCE,
        no_return=True,
    )


class CupyKernels:
    """Launches the kernels of CuPy."""

    def __init__(self) -> None:
        self.xp: Namespace = cupy
        self.step = elementwise(STEP)
        self.normal = elementwise(NORMAL)

    def on_device(self, x: cupy.ndarray) -> AbstractContextManager[Any]:
        """Return a context in which arrays are made, and kernels launched, on x's device."""
        device: AbstractContextManager[Any] = x.device
        return device

    def stream(self, x: cupy.ndarray) -> Hashable:
        """Return a key of CuPy, x's device and the current stream of that device."""
        return "cupy", x.device.id, cupy.cuda.get_current_stream().ptr
