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
from schedalg_torch.memory import written
from schedalg_torch.optional import made
from schedalg_torch.update import WritesInput

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
        super().__init__(rows, x, keys, reuse=reuse, depth=rows.depth + 1 if rows.depth else 0)
        self.scratch = torch.empty(SCRATCH * BLOCK if x.dtype == torch.bfloat16 else 0)
        self.table = rows.table(self.depth)
        self.step = step
        self.arguments = ctypes.create_string_buffer(8 * ARGUMENTS)
        places = self.table.ctypes.data, self.ring.data_ptr(), self.scratch.data_ptr()
        self.size = x.numel()
        settings = self.size, self.depth, rows.clip is not None, rows.scaled
        RUN.pack_into(self.arguments, CALL.size, *settings, *places)

    def takes(self, d: Tensor, noise: Tensor | None) -> bool:
        """Whether the tensors are plain ones."""
        return type(d) is Tensor and (noise is None or type(noise) is Tensor)

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
        buffers, ahead = self.buffers, self.input_buffer(k)
        now = self._stored("x", x) if buffers.holding(x) is None else x
        raw = self._stored("output", output)
        d = raw if d is output else self._stored("x0", d)
        if ahead is not None:  # where the next input is about to be written
            raw = raw.clone() if ahead.start <= raw.data_ptr() < ahead.end else raw
            d = d.clone() if ahead.start <= d.data_ptr() < ahead.end else d
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
            target.start if ahead is None else ahead.start,
        )
        CALL.pack_into(self.arguments, 0, k, *places, scale, z.dtype != x.dtype)
        self.step(self.arguments, self.arguments)
        written(target.tensor)
        if ahead is not None:
            written(ahead.tensor)
        return target.tensor

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
