"""The update as a few operations of torch, into buffers that a run owns."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.running.noise import keyed_normal
from schedalg.running.reference import deviation
from schedalg.running.rows import Row, Rows
from schedalg_torch.layout import allocated
from schedalg_torch.memory import Buffer
from schedalg_torch.modes import kept
from schedalg_torch.update import TorchUpdate

#: Elements of half precision that are taken to float32 and back at a time.
_BLOCK = 2**18


class Eager(TorchUpdate):
    """Updates tensors in place, and leaves those that gradients flow through to `Functional`.

    All are columns: a x + b d is one pass over memory, the outer product `addr` with a vector of
    one.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new tensor.
        ahead: Whether there is a place for one more memory than rows read.
        small: Whether the memory of all rows is made at once.
    """

    def __init__(
        self,
        rows: Rows,
        x: Tensor,
        keys: np.ndarray | None,
        *,
        reuse: bool,
        ahead: bool = False,
        small: bool = False,
    ) -> None:
        # A clamped prediction is written to the new memory's place while the oldest is still read.
        depth = rows.depth + (ahead or rows.clip is not None) if rows.depth else 0
        super().__init__(rows, x, keys, reuse=reuse, depth=depth, small=small)
        self.half = x.dtype in (torch.float16, torch.bfloat16)
        self.one = _one(torch.float32 if self.half else x.dtype, x.device)
        if self.half:
            self.wide = allocated(x, (4, min(x.numel(), _BLOCK)), torch.float32)
        #: The memories.
        self.slots = self.places()

    def places(self) -> tuple[Tensor, ...]:
        """Return the ring, place by place, as operations take it."""
        return self.ring.unsqueeze(2).unbind() if self.depth else ()

    def owned(self, buffer: Buffer) -> Tensor:
        """Return the memory of a buffer, as operations take it."""
        return buffer.column

    def given(self, x: Tensor) -> Tensor:
        """Return a tensor of others, as operations take it."""
        return self.layout.flat(x).unsqueeze(1)

    def scaled(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k, in a buffer that x does not lie in."""
        c_in = self.rows.rows[k].c_in
        if c_in == 1:
            return x
        now = self.buffers.of(x)
        spare = self.buffers.spare(now)
        torch.mul(self.owned(now), c_in, out=self.owned(spare))
        return spare.tensor

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
        row, now = self.rows.rows[k], self.buffers.of(x)
        raw = self.given(output)
        d = raw if d is output else self.given(d)
        raw_at = raw.data_ptr()
        target, _ = self.buffers.next(now, raw_at, raw_at if d is raw else d.data_ptr())
        drawn = None
        if row.noise:
            z, scale = drawn_for(self.rows, self.keys, k, x, variance, noise)
            drawn = self.given(z), scale
        write = self._in_single_precision if self.half else self._directly
        write(k, row, now, d, raw, drawn, target)
        return target.tensor

    def _directly(
        self,
        k: int,
        row: Row,
        now: Buffer,
        d: Tensor,
        raw: Tensor,
        drawn: tuple[Tensor, float] | None,
        target: Buffer,
    ) -> None:
        """Write x after row k to target, and its memory to the ring, in their own precision."""
        clip, memory = self.rows.clip, row.memory
        x, to = self.owned(now), self.owned(target)
        slot = self.slots[k % self.depth] if self.depth else to
        if row.read is not None and clip is not None:
            aside = memory == (0.0, 1.0, 0.0)  # what is remembered is the prediction itself
            x0 = slot if aside else to
            self.pair(x0, x, row.read[0], d, row.read[1])
            d = x0.clamp_(*clip)
            if memory is not None and not aside:
                self.remember_sum(slot, memory, x, d, raw)
            memory = None
        if memory is not None and self.depth > self.rows.depth:  # no row still reads what is there
            self.remember_sum(slot, memory, x, d, raw)
            memory = None
        self.add_up(k, row, now, d, raw, target)
        if drawn is not None:
            to.add_(drawn[0], alpha=drawn[1])
        if memory is not None:
            self.remember_sum(slot, memory, x, d, raw)

    def add_up(self, k: int, row: Row, now: Buffer, d: Tensor, raw: Tensor, target: Buffer) -> None:
        """Write x after row k to target, but for the noise."""
        to = self.owned(target)
        self.pair(to, self.owned(now), row.x, d, row.d)
        if row.raw:
            to.add_(raw, alpha=row.raw)
        for weight, back in row.memories:
            to.add_(self.slots[(k - back) % self.depth], alpha=weight)

    def remember_sum(
        self, slot: Tensor, memory: tuple[float, float, float], x: Tensor, d: Tensor, raw: Tensor
    ) -> None:
        """Write what a row remembers to its place; see `pair`."""
        self.pair(slot, x, memory[0], d, memory[1])
        if memory[2]:
            slot.add_(raw, alpha=memory[2])

    def pair(self, to: Tensor, x: Tensor, a: float, d: Tensor, b: float) -> None:
        """Write a x + b d, without what is multiplied by 0."""
        if a == 0 and b == 0:
            to.zero_()
        elif a == 0:
            torch.mul(d, b, out=to)
        elif b == 0:
            torch.mul(x, a, out=to)
        else:
            self.add_pair(to, x, a, d, b)

    def add_pair(self, to: Tensor, x: Tensor, a: float, d: Tensor, b: float) -> None:
        """Write a x + b d, where d may be what is written to."""
        torch.addr(x, d.view(-1), self.one, beta=a, alpha=b, out=to)

    def _in_single_precision(
        self,
        k: int,
        row: Row,
        x: Buffer,
        d: Tensor,
        raw: Tensor,
        drawn: tuple[Tensor, float] | None,
        target: Buffer,
    ) -> None:
        """Do the same in float32 inside, each result rounded once, a block at a time."""
        clip = self.rows.clip
        old = [(self.slots[(k - back) % self.depth], weight) for weight, back in row.memories]
        for start in range(0, len(d), _BLOCK):
            part = slice(start, start + _BLOCK)
            count = min(len(d) - start, _BLOCK)
            now, read, said, new = self.wide[:, :count].unsqueeze(2).unbind()
            now.copy_(x.column[part])
            read.copy_(d[part])
            said.copy_(raw[part])
            if row.read is not None and clip is not None:
                self.pair(read, now, row.read[0], said, row.read[1])
                read.clamp_(*clip)
            if row.memory is not None:
                self.remember_sum(new, row.memory, now, read, said)
            self.pair(now, now, row.x, read, row.d)
            if row.raw:
                now.add_(said, alpha=row.raw)
            for memory, weight in old:
                now.add_(read.copy_(memory[part]), alpha=weight)
            if drawn is not None:
                read.copy_(drawn[0][part])
                now.add_(read, alpha=drawn[1])
            target.column[part].copy_(now)
            if row.memory is not None:
                self.slots[k % self.depth][part].copy_(new)


@kept
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a vector of one 1."""
    with torch.inference_mode(False):
        return torch.ones(1, dtype=dtype, device=device)


def drawn_for(
    rows: Rows,
    keys: np.ndarray | None,
    k: int,
    x: Tensor,
    variance: Tensor | None,
    noise: Any,
) -> tuple[Tensor, float]:
    """Return the noise of row k, and what to multiply it with."""
    row = rows.rows[k]
    if keys is not None:
        noise = keyed_normal(x, keys, rows.words[k], rounded=False)
    if row.log_variance is None:
        return noise, row.noise
    return noise * deviation(row, variance), 1.0
