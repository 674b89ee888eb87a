"""The update of small tensors on the CPU as one compiled loop, where numba is installed.

Calling an operation of torch takes longer than its arithmetic there, and a step has several.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.checks import check_memory
from schedalg.running.rows import Rows
from schedalg_torch.arguments import ARGUMENTS, BLOCK, CALL, RUN, SCRATCH
from schedalg_torch.eager import drawn_for
from schedalg_torch.layout import allocated
from schedalg_torch.memory import Buffer, written
from schedalg_torch.modes import watched
from schedalg_torch.optional import made
from schedalg_torch.update import WritesInput

#: Room for what the loop is given; a type, which ctypes would make anew in every run.
_Arguments: Any = ctypes.c_char * (8 * ARGUMENTS)
#: What is compiled for.
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}


def step_for(x: Tensor) -> Callable[..., None] | None:
    """Return the loop for x's dtype; None where there is none, or no numba that works."""
    return _compiled(_NAMES[x.dtype]) if x.dtype in _NAMES else None


@cache
def _compiled(name: str) -> Callable[..., None] | None:
    return made("numba", lambda: _loop(name))


def _loop(name: str) -> Callable[..., None] | None:
    from schedalg_torch.loop import compiled

    loop = compiled(name)
    if loop is None:
        return None
    step: Any = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(loop.address)
    step.keeps = loop  # the code lives as long as this does
    return step  # type: ignore[no-any-return]


def table_of(rows: Rows, depth: int) -> tuple[np.ndarray, int]:
    """Return the table of rows, and the address of its memory."""
    key = ("addressed", depth)
    if key not in rows.cache:
        table = rows.table(depth)
        rows.cache[key] = table, table.ctypes.data
    found: tuple[np.ndarray, int] = rows.cache[key]
    return found


class Compiled(WritesInput):
    """Updates small tensors of the CPU by one call a row.

    The loop reads and writes at addresses. All of them are taken anew in each row, from tensors
    that are held while it runs and whose storage is as large as their shape needs: what a network
    did to the tensors of the row before does not matter.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new tensor.
        step: The loop for x's dtype.
    """

    def __init__(
        self,
        rows: Rows,
        x: Tensor,
        keys: np.ndarray | None,
        *,
        reuse: bool,
        step: Callable[..., None],
    ) -> None:
        # The newest memory is written before the oldest is read.
        depth = rows.depth + 1 if rows.depth else 0
        super().__init__(rows, x, keys, reuse=reuse, depth=depth, small=True)
        self.table, table_at = table_of(rows, self.depth)
        self.step = step
        self.noisy = rows.noisy
        self.size = x.numel()
        ring_at = scratch_at = 0
        if self.depth:
            ring_at = self.ring.data_ptr()
        if x.dtype is torch.bfloat16:
            self.scratch = allocated(x, (SCRATCH * BLOCK,), torch.float32)
            scratch_at = self.scratch.data_ptr()
        self.arguments = _Arguments()
        self.arguments_at = ctypes.addressof(self.arguments)
        settings = self.size, self.depth, rows.clip is not None, rows.scaled
        RUN.pack_into(self.arguments, CALL.size, *settings, table_at, ring_at, scratch_at, 1)

    def takes(self, d: Tensor, noise: Tensor | None) -> bool:
        """Whether the tensors are plain ones, and so is what torch makes anew."""
        if type(d) is not Tensor or (noise is not None and type(noise) is not Tensor):
            return False
        # A run that no user holds is watched throughout, or not at all; a pool's is not traced.
        return self.buffers.reuse or not watched()

    def take(
        self,
        k: int,
        x: Tensor,
        d: Tensor,
        output: Tensor,
        variance: Tensor | None,
        noise: Any,
    ) -> Tensor:
        """Return x after row k."""
        buffers, ahead = self.buffers, None if self.model_input is None else self.input_buffer(k)
        now = buffers.written(x)
        # What an address is of is held until the loop is done.
        _held, x_at = self._stored("x", x) if now is None else (x, now.twin.data_ptr())
        if d is output:  # whose memory was looked at when the network returned it
            d, d_at = raw, raw_at = self._placed(output)
        else:
            (raw, raw_at), (d, d_at) = self._stored("output", output), self._stored("x0", d)
        if ahead is not None:  # where the next input is about to be written
            raw, raw_at = _apart(ahead, raw, raw_at)
            d, d_at = _apart(ahead, d, d_at)
        target, to = buffers.next(now, raw_at, d_at)
        z, z_at, scale, wide = None, raw_at, 0.0, False
        if self.noisy[k]:
            row = self.rows.rows[k]
            z, scale = noise, row.noise
            if self.keys is not None or row.log_variance is not None:
                z, scale = drawn_for(self.rows, self.keys, k, x, variance, noise)
            z, z_at = self._stored("noise", z)
            wide = z.dtype is not x.dtype
        input_at = to if ahead is None else ahead.twin.data_ptr()
        CALL.pack_into(self.arguments, 0, k, x_at, d_at, raw_at, z_at, to, input_at, scale, wide)
        self.step(self.arguments_at, self.arguments_at)
        written(target.twin)
        if ahead is not None:
            written(ahead.twin)
        return target.tensor

    def _placed(self, x: Tensor) -> tuple[Tensor, int]:
        """Return x with its elements in order in memory, itself or a copy, and its address."""
        if self.layout.channels_last or not x.is_contiguous() or x.is_neg():
            x = self.layout.ordered(x)
        return placed(x)

    def _stored(self, name: str, x: Tensor) -> tuple[Tensor, int]:
        """Do the same with what others may have changed since it was looked at.

        Raises:
            ValueError: As `intact`.
        """
        return self._placed(intact(name, x, self.size))


def _apart(buffer: Buffer, x: Tensor, at: int) -> tuple[Tensor, int]:
    """Return x and its address: itself, or a copy if it lies in a buffer."""
    if buffer.holds(at):
        x = x.clone()
        at = x.data_ptr()
    return x, at


def intact(name: str, x: Tensor, size: int) -> Tensor:
    """Return x if its memory is there.

    Raises:
        ValueError: It is not; or x has another number of elements.
    """
    check_memory(name, x)
    if x.numel() != size:
        raise ValueError(f"{name} was changed: its shape is {tuple(x.shape)} now")
    return x


def placed(x: Tensor) -> tuple[Tensor, int]:
    """Return x, whose elements lie in order in memory, and its address; a copy if it has none."""
    at = x.data_ptr()
    if not at:  # torch has zeros without memory
        x = x.clone()
        at = x.data_ptr()
    return x, at
