"""Samples at rows of their own: one call of the compiled loop advances all of them."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from schedalg.running.reference import deviation
from schedalg.running.stack import Stack
from schedalg_torch.arguments import ARGUMENTS, BLOCK, CALL, SCRATCH
from schedalg_torch.compiled import intact, placed, table_of
from schedalg_torch.fused import on_device
from schedalg_torch.layout import allocated
from schedalg_torch.modes import watched
from schedalg_torch.update import requires_gradient

# The columns of the arguments, as `arguments` packs them.
_ROW, _X, _D, _RAW, _Z, _AFTER, _INPUT, _NOISE, _WIDE = range(9)
_RUN = CALL.size // 8
_RING_AT, _SCRATCH_AT, _COUNT = range(ARGUMENTS - 3, ARGUMENTS)


class TorchStack(Stack):
    """Tensors without a gradient, each at a row of a plan of its own."""

    def takes(self, *tensors: Tensor | None) -> bool:
        """Whether all are plain tensors, of which none requires a gradient."""
        plain = all(tensor is None or type(tensor) is Tensor for tensor in tensors)
        return plain and not requires_gradient(*tensors)

    def sent(self, values: np.ndarray, dtype: Any = None) -> Tensor:
        """Return numbers on the samples' device, sent without waiting for it."""
        return on_device(values, self.like, dtype)

    def empty(self, sizes: tuple[int, ...], dtype: Any) -> Tensor:
        """Return new memory on the device, good outside inference mode too."""
        return allocated(self.like, sizes, dtype)


class CompiledStack(TorchStack):
    """Small tensors of the CPU, each at a row of a plan of its own.

    The loop is called once for all of them, with the arguments of each. A place has two halves: x
    is read from one and written to the other. The loop also writes the network's next input.

    Args:
        shape: That of a sample.
        like: A tensor of the samples' dtype.
        clip: The bounds of x0 predictions, or None.
        step: The loop for the dtype.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Tensor,
        clip: tuple[float, float] | None,
        step: Callable[..., None],
    ) -> None:
        super().__init__(shape, like, clip)
        self.step = step
        self.wide = torch.promote_types(like.dtype, torch.float32)
        self.x = allocated(like, (0, self.size))  # rows 2 i and 2 i + 1 are the halves of place i
        self.half = np.zeros(0, np.int64)  # the half in which x of each place lies
        self.rings: dict[int, Tensor] = {}
        self.tables: dict[int, np.ndarray] = {}  # which lie where the arguments say
        self.arguments = np.zeros((0, ARGUMENTS), np.int64)
        self.scratch = allocated(like, (SCRATCH * BLOCK,), torch.float32)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledStack":
        other = CompiledStack.__new__(CompiledStack)
        for name, value in vars(self).items():
            # The loop and the tables are only read.
            own = value if name in ("step", "tables") else deepcopy(value, memo)
            setattr(other, name, own)
        other.tables = dict(self.tables)
        for place, ring in other.rings.items():
            other.arguments[place, _RING_AT] = ring.data_ptr()
        other.arguments[:, _SCRATCH_AT] = other.scratch.data_ptr()
        return other

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a pool of small tensors of torch cannot be pickled: keep the plans, seeds and "
            "conditions of its samples, which begin anew to the same bits"
        )

    def takes(self, *tensors: Tensor | None) -> bool:
        """Whether the tensors are plain, without a gradient, and so is what torch makes anew."""
        return super().takes(*tensors) and not watched()

    def hold(self, place: int, x: Tensor) -> None:
        """Make room, and hold a sample at its place."""
        rows = self.held[place].rows
        if len(self.half) < self.room:
            larger = allocated(self.like, (2 * self.room, self.size))
            larger[: len(self.x)] = self.x
            self.x = larger
            self.arguments = np.resize(self.arguments, (self.room, ARGUMENTS))
            self.half = np.resize(self.half, self.room)
        depth = rows.depth + 1 if rows.depth else 0  # as in `Compiled`
        ring = self.rings[place] = allocated(self.like, (depth, self.size))
        self.tables[place], table_at = table_of(rows, depth)
        run = self.size, depth, rows.clip is not None, True
        at = table_at, ring.data_ptr(), self.scratch.data_ptr()
        self.arguments[place, _RUN:_COUNT] = *run, *at
        self.half[place] = 0
        self.x[2 * place].copy_(x.reshape(-1))

    def x_of(self, place: int) -> Tensor:
        """Return a copy of x at a place."""
        return self.x[2 * place + int(self.half[place])].view(self.shape).clone()

    def memory_of(self, place: int, k: int) -> Tensor:
        """Return a copy of what row k of a place remembered."""
        ring = self.rings[place]
        return ring[k % len(ring)].view(self.shape).clone()

    def given(self, places: np.ndarray, c_in: np.ndarray) -> Tensor:
        """Return c_in x, the network's input, for the samples at places, as new memory."""
        x = self.x.index_select(0, torch.from_numpy(2 * places + self.half[places]))
        if (c_in != 1).any():
            x = (x.to(self.wide) * self.sent(c_in[:, None], self.wide)).to(x.dtype)
        return x.view(len(places), *self.shape)

    def taken(self, places: np.ndarray, output: Tensor, variance: Tensor | None) -> Tensor:
        """Take the x of places through the rows that they are in, and return the next input."""
        ahead = allocated(self.like, (len(places), *self.shape))
        raw, raw_at = placed(intact("output", output, ahead.numel()).resolve_neg().contiguous())
        step, item = self.size * raw.itemsize, np.arange(len(places))
        arguments, x_at = self.arguments[places], self.x.data_ptr()
        half = self.half[places]
        arguments[:, _ROW] = self.row[places]
        arguments[:, _X] = x_at + (2 * places + half) * step
        arguments[:, _AFTER] = x_at + (2 * places + 1 - half) * step
        arguments[:, _D] = arguments[:, _RAW] = arguments[:, _Z] = raw_at + item * step
        arguments[:, _INPUT] = ahead.data_ptr() + item * step
        arguments[0, _COUNT] = len(places)
        scales = self.deviations[places, self.row[places]]
        noisy = np.flatnonzero(scales)
        if len(noisy):
            z = self._noise(places, noisy, scales, variance)
            arguments[noisy, _Z] = z.data_ptr() + item[: len(noisy)] * self.size * z.itemsize
            arguments[:, _WIDE] = z.dtype is not raw.dtype
        arguments.view(np.float64)[:, _NOISE] = scales
        address = arguments.ctypes.data
        self.torn = True
        self.step(address, address)
        self.half[places] = 1 - half
        return ahead

    def _noise(
        self, places: np.ndarray, noisy: np.ndarray, scales: np.ndarray, variance: Any
    ) -> Tensor:
        """Return the noise of the `noisy` samples, scaled here where the variance is learned."""
        z: Tensor = self.normal(places[noisy])
        for j, i in enumerate(noisy.tolist()):
            if (place := int(places[i])) in self.learned:
                row = self.held[place].rows.rows[self.row[place]]
                z[j : j + 1] *= deviation(row, variance[i : i + 1])
                scales[i] = 1.0
        return z
