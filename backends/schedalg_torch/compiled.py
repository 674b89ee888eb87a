"""The update of small tensors on the CPU as one compiled loop, where numba is installed.

Calling an operation of torch takes longer than its arithmetic there, and a step has several.
"""

import ctypes
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from schedalg.reference import Functional
from schedalg.rows import Rows
from schedalg_torch.eager import drawn_for, followed, taking_over
from schedalg_torch.layout import Layout

#: What is compiled for.
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
#: What each call of the loop changes: the row; the addresses of x, d, the noise, x after the row,
#: and what the network sees of it; the noise's coefficient, and whether it is in float32 where x is
#: not. In memory, since ctypes takes longer to hand over so many one by one than the loop to run.
CALL = struct.Struct("q5Pdq")
#: What lies behind it, the same in all calls of a run: how many elements x has, how many places
#: there are for memories, whether d is to be read and clamped, and whether the network sees x
#: scaled; and the addresses of the table, the memories, and room for half precision to be computed.
RUN = struct.Struct("4q3P")
#: How many numbers of eight bytes both are.
ARGUMENTS = (CALL.size + RUN.size) // 8
#: Elements that are taken through a row at a time, so that they stay in the cache.
BLOCK = 1024
#: How many blocks of half precision are held in float32.
SCRATCH = 4


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


class Buffer(NamedTuple):
    """Memory for one x, and where it lies."""

    tensor: Tensor
    start: int
    end: int


class Compiled:
    """Updates small tensors of the CPU by one call a row.

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
            self.shown = _buffer(self.layout.empty(x)) if rows.scaled else None
            self.scratch = torch.empty(SCRATCH * BLOCK if x.dtype == torch.bfloat16 else 0)
            self.own = [_buffer(self.layout.empty(x)) for _ in range(2 if reuse else 0)]
        self.table = rows.table(self.depth)
        self.step = step
        self.arguments = ctypes.create_string_buffer(8 * ARGUMENTS)
        places = self.table.ctypes.data, self.ring.data_ptr(), self.scratch.data_ptr()
        settings = x.numel(), self.depth, rows.clip is not None, rows.scaled
        RUN.pack_into(self.arguments, CALL.size, *settings, *places)
        self.now: Buffer | None = None
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
        self, k: int, x: Tensor, output: Tensor, variance: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Return x after row k."""
        if self.functional is not None or followed(x, output, variance, noise):
            return self._followed(k, x, output, variance, noise)
        if type(output) is not Tensor or (noise is not None and type(noise) is not Tensor):
            return self._followed(k, x, output, variance, noise)
        now, shown = self.now, self.shown
        if now is None or x is not now.tensor:
            now = _buffer(self.layout.ordered(x))
        d, place = self._stored(output)
        if shown is not None and shown.start <= place < shown.end:
            d = d.clone()  # the next input is about to be written there
            place = d.data_ptr()
        for target in self.own:  # one that neither x nor the output lies in
            if target is not now and not target.start <= place < target.end:
                break
        else:
            target = _buffer(self.layout.empty(x))
        z, scale, wide = place, 0.0, False
        row = self.rows.rows[k]
        if row.noise:
            drawn, scale = noise, row.noise
            if self.keys is not None or row.log_variance is not None:
                drawn, scale = drawn_for(row, self.keys, k, x, variance, noise)
            drawn, z = self._stored(drawn)
            wide = drawn.dtype != x.dtype
        seen = target.start if shown is None else shown.start
        places = now.start, place, z, target.start, seen
        CALL.pack_into(self.arguments, 0, k, *places, scale, wide)
        self.step(self.arguments, self.arguments)
        if not torch.is_inference_mode_enabled():  # so that autograd sees what was written to
            torch.autograd.graph.increment_version(target.tensor)
            if shown is not None:
                torch.autograd.graph.increment_version(shown.tensor)
        self.now, self.written = target, k + 1
        return target.tensor

    def _followed(
        self, k: int, x: Tensor, output: Tensor, variance: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Return x after row k by operations that can be followed, from here to the last row."""
        if self.functional is None:
            self.functional = taking_over(self.rows, self.keys, self.ring, self.layout, k)
        after: Tensor = self.functional(k, x, output, variance, noise)
        return after

    def _stored(self, x: Any) -> tuple[Tensor, int]:
        """Return x where it lies in order in memory, and the address."""
        if self.layout.channels_last or not x.is_contiguous() or x.is_neg():
            x = self.layout.ordered(x)
        place = x.data_ptr()
        if place == 0 and x.numel():  # zeros may be no more than a promise
            x = x.clone()
            place = x.data_ptr()
        return x, place


def _buffer(x: Tensor) -> Buffer:
    start = x.data_ptr()
    return Buffer(x, start, start + x.nbytes)
