"""`TorchBackend`: which way of running a plan fits a tensor."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from schedalg.running.backend import Network, Update
from schedalg.running.noise import keyed_normal
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg.running.stack import Stack
from schedalg_torch.capture import Step, replayed
from schedalg_torch.compiled import Compiled, step_for
from schedalg_torch.eager import Eager
from schedalg_torch.fused import Fused, kernels, normal, timestep_table
from schedalg_torch.fused_stack import FusedStack
from schedalg_torch.layout import Layout
from schedalg_torch.library import TorchLibrary
from schedalg_torch.memory import Buffers, written
from schedalg_torch.modes import watched
from schedalg_torch.optional import faults
from schedalg_torch.small import SMALL, Small
from schedalg_torch.stack import CompiledStack
from schedalg_torch.update import requires_gradient

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: Devices whose operations can write to a given `out=`.
_IN_PLACE = ("cpu", "cuda", "mps", "xpu")


class TorchBackend:
    """Runs plans on tensors of torch; see `schedalg.Backend`."""

    __slots__ = ()  # as `TorchLibrary`
    library = TorchLibrary()

    def unavailable(self) -> str | None:
        """Return None: torch was imported."""
        return None

    def faults(self) -> str:
        """Return which of numba and Triton are installed and cannot be used, and why."""
        step_for(torch.empty(0))
        kernels()
        return "; ".join(faults.values())

    def check(self, x: Tensor) -> None:
        """Raise unless x is a dense tensor with data, in one of four dtypes.

        Raises:
            TypeError: The dtype is none of float16, bfloat16, float32 and float64.
            ValueError: The tensor is on the meta device, or not strided.
        """
        if x.dtype not in _DTYPES:
            allowed = ", ".join(str(dtype) for dtype in _DTYPES)
            raise TypeError(f"x must be of one of the dtypes {allowed}; got {x.dtype}")
        if x.layout is not torch.strided:
            raise ValueError(f"x must be strided, got layout {x.layout}")
        if x.is_meta:
            raise ValueError("x is on the device meta, which holds no data")

    def timesteps(self, values: np.ndarray, x: Tensor) -> Sequence[Tensor]:
        """Return the timesteps of each row: views of one table, uploaded at once."""
        return timestep_table(values, x).unbind() if len(values) else ()

    def normal(self, x: Tensor, keys: np.ndarray, words: Sequence[int]) -> Tensor:
        """Return the noise of a draw, like x; see `schedalg.running.philox`."""
        if x.device.type == "cuda" and (cuda := kernels()) is not None:
            return normal(x, keys, words, cuda)
        noise: Tensor = keyed_normal(x, keys, words)
        return noise

    def update(self, rows: Rows, x: Tensor, keys: np.ndarray | None, *, reuse: bool) -> Update:
        """Return what takes x through the rows."""
        in_place = rows.numbers and type(x) is Tensor and (x.is_cpu or x.device.type in _IN_PLACE)
        if not in_place or requires_gradient(x) or torch.compiler.is_compiling():
            return Functional(rows, keys)
        if x.is_cuda and (cuda := kernels()) is not None:
            return Fused(rows, x, keys, reuse=reuse, kernel=cuda)
        if x.is_cpu and x.numel() <= SMALL:
            if not watched() and (step := step_for(x)) is not None:
                return Compiled(rows, x, keys, reuse=reuse, step=step)
            if x.dtype in (torch.float32, torch.float64):
                return Small(rows, x, keys, reuse=reuse)
        return Eager(rows, x, keys, reuse=reuse)

    def stack(
        self, shape: tuple[int, ...], like: Tensor, clip: tuple[float, float] | None
    ) -> Stack | None:
        """Return a stack of samples at rows of their own; None where it would be slower or fail."""
        if type(like) is not Tensor or requires_gradient() or torch.compiler.is_compiling():
            return None
        if like.device.type == "cuda" and (cuda := kernels()) is not None:
            return FusedStack(shape, like, clip, cuda)
        small = like.device.type == "cpu" and not watched() and math.prod(shape) <= SMALL
        if small and (step := step_for(like)) is not None:
            return CompiledStack(shape, like, clip, step)
        return None

    def replay(
        self,
        rows: Rows,
        values: np.ndarray,
        x: Tensor,
        keys: np.ndarray | None,
        network: Network,
    ) -> Tensor:
        """Return x after the last row, by a step captured once and replayed; see `Replaying`.

        Raises:
            ValueError: x is on no CUDA device, a gradient is to flow, or Triton is missing.
        """
        if x.device.type != "cuda":
            raise ValueError(f"capture=True needs x on a CUDA device, and it is on {x.device}")
        if not rows.numbers or requires_gradient(x):
            raise ValueError("capture=True cannot follow a gradient: use torch.no_grad()")
        cuda = kernels()
        if cuda is None:
            raise ValueError("capture=True needs Triton, which is not installed or cannot be used")
        return replayed(Step(rows, values, x, keys, network, cuda))


def _prepare() -> None:
    """Call every operation that a run begins with once, while a fork waits for this import.

    torch prepares an operation in its first call, behind a lock that no fork waits for: the child
    of a fork at that moment hangs in its own first call.
    """
    x = torch.zeros(1, 2, dtype=torch.float32, device="cpu")
    buffer = Buffers(Layout.of(x), x, reuse=True).new()
    timestep_table(np.zeros(1, dtype=np.int64), x).unbind()
    torch.addr(
        buffer.column, x.view(-1), torch.ones_like(x[0, :1]), beta=0.5, alpha=0.5, out=buffer.column
    )
    torch.mul(x, 0.5, out=buffer.tensor).add_(x, alpha=0.5)
    written(buffer.flat)


_prepare()
