"""The update of small tensors on the CPU as one compiled loop, where numba is installed.

Calling an operation of torch takes longer than its arithmetic there, and a step has several.
"""

import ctypes
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.checks import check_memory
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg_torch.eager import drawn_for, followed, taking_over
from schedalg_torch.layout import Layout
from schedalg_torch.memory import Buffers, written

#: What is compiled for.
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
#: What each call of the loop changes: the row; the addresses of x, d, the output, the noise, x
#: after the row, and the network's next input; the noise's coefficient, and whether the noise is in
#: float32 where x is not. In memory, since ctypes takes longer to pass so many one by one than the
#: loop to run.
CALL = struct.Struct("q6Pdq")
#: What lies behind it, the same in all calls of a run: how many elements x has, how many places
#: there are for memories, whether d is to be read and clamped, and whether the network sees x
#: scaled; and the addresses of the table, the memories, and room for half precision to be computed.
RUN = struct.Struct("4q3P")
#: How many numbers of eight bytes both are.
ARGUMENTS = (CALL.size + RUN.size) // 8
#: Elements that are taken through a row at a time, so that they stay in the cache.
BLOCK = 1024
#: How many blocks of half precision are held in float32.
SCRATCH = 5


def step_for(x: Tensor) -> Callable[..., None] | None:
    """Return the loop for x's dtype; None where there is none, or numba is not installed."""
    return _compiled(_NAMES[x.dtype]) if x.dtype in _NAMES else None


@cache
def _compiled(name: str) -> Callable[..., None] | None:
    try:
        from schedalg_torch.loop import compiled
    except ImportError:
        return None
    loop = compiled(name)
    if loop is None:
        return None
    step: Any = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(loop.address)
    step.keeps = loop  # the code lives as long as this does
    return step  # type: ignore[no-any-return]


class Compiled:
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
        self.rows = rows
        self.keys = keys
        self.layout = Layout.of(x)
        # The newest memory is written before the oldest is read.
        self.depth = rows.depth + 1 if rows.depth else 0
        with torch.inference_mode(False):  # a run may outlive the mode that it begins in
            self.ring = torch.empty(self.depth, x.numel(), dtype=x.dtype, device="cpu")
            self.scratch = torch.empty(SCRATCH * BLOCK if x.dtype == torch.bfloat16 else 0)
        self.buffers = Buffers(self.layout, x, reuse=reuse)
        self.shown = self.buffers.new() if rows.scaled else None
        self.table = rows.table(self.depth)
        self.step = step
        self.arguments = ctypes.create_string_buffer(8 * ARGUMENTS)
        places = self.table.ctypes.data, self.ring.data_ptr(), self.scratch.data_ptr()
        self.size = x.numel()
        settings = self.size, self.depth, rows.clip is not None, rows.scaled
        RUN.pack_into(self.arguments, CALL.size, *settings, *places)
        self.written = -1
        self.functional: Functional | None = None

    def input(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k: written by the row before it, but for the first."""
        if self.shown is None:
            return x
        if self.functional is not None or followed(x):
            seen: Tensor = Functional(self.rows, None).input(k, x)
            return seen
        if self.written != k:
            torch.mul(x, self.rows.rows[k].c_in, out=self.shown.tensor)
        return self.shown.tensor

    def __call__(
        self,
        k: int,
        x: Tensor,
        output: Tensor,
        x0: Tensor | None,
        variance: Tensor | None,
        noise: Tensor | None,
    ) -> Tensor:
        """Return x after row k."""
        if self.functional is not None or followed(x, output, x0, variance, noise):
            return self._followed(k, x, output, x0, variance, noise)
        if any(type(t) is not Tensor for t in (output, x0, noise) if t is not None):
            return self._followed(k, x, output, x0, variance, noise)
        buffers, shown = self.buffers, self.shown
        if shown is not None and not shown.intact():
            shown = self.shown = buffers.new()
        now = self._stored("x", x) if buffers.holding(x) is None else x
        raw = self._stored("output", output)
        d = raw if x0 is None else self._stored("x0", x0)
        if shown is not None:  # where the next input is about to be written
            raw = raw.clone() if shown.start <= raw.data_ptr() < shown.end else raw
            d = d.clone() if shown.start <= d.data_ptr() < shown.end else d
        target = buffers.apart_from(x, raw, d)
        z, scale = d, 0.0
        row = self.rows.rows[k]
        if row.noise:
            drawn, scale = noise, row.noise
            if self.keys is not None or row.log_variance is not None:
                drawn, scale = drawn_for(self.rows, self.keys, k, x, variance, noise)
            z = self._stored("noise", drawn)
        places = (
            now.data_ptr(),
            d.data_ptr(),
            raw.data_ptr(),
            z.data_ptr(),
            target.start,
            target.start if shown is None else shown.start,
        )
        CALL.pack_into(self.arguments, 0, k, *places, scale, z.dtype != x.dtype)
        self.step(self.arguments, self.arguments)
        written(target.tensor)
        if shown is not None:
            written(shown.tensor)
        self.written = k + 1
        return target.tensor

    def _followed(self, k: int, x: Tensor, *arrays: Tensor | None) -> Tensor:
        """Return x after row k by operations that can be followed, from here to the last row."""
        if self.functional is None:
            self.functional = taking_over(self.rows, self.keys, self.ring, self.layout, k)
        after: Tensor = self.functional(k, x, *arrays)
        return after

    def _stored(self, name: str, x: Any) -> Tensor:
        """Return x as it lies in order in memory: itself, or a copy.

        Raises:
            ValueError: Its memory does not hold all of its elements.
        """
        if self.layout.channels_last or not x.is_contiguous() or x.is_neg():
            check_memory(name, x)
            x = self.layout.ordered(x)
        missing = x.storage_offset() * x.itemsize + x.nbytes > x.untyped_storage().nbytes()
        if missing or x.numel() != self.size:
            raise ValueError(
                f"the memory of {name} was changed: {tuple(x.shape)} and "
                f"{x.untyped_storage().nbytes()} bytes are left of it"
            )
        if x.data_ptr() == 0:  # zeros may be no more than a promise
            x = x.clone()
        stored: Tensor = x
        return stored
