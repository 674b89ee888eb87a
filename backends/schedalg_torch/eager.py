"""The update as a few operations of torch, into buffers that a run owns."""

from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from schedalg.running.noise import keyed_normal
from schedalg.running.reference import deviation
from schedalg.running.rows import Row, Rows
from schedalg_torch.memory import Buffer
from schedalg_torch.update import TorchUpdate, allocated

#: Up to this many elements, several memories are added by one product with a matrix: calling an
#: operation takes longer than its arithmetic there, and beyond it the product is the slower one.
SMALL = 2**16
#: Elements of half precision that are taken to float32 and back at a time.
_BLOCK = 2**18


class Vector(NamedTuple):
    """A 1-D tensor, and the same as one column."""

    flat: Tensor
    column: Tensor


class Eager(TorchUpdate):
    """Updates tensors in place, and leaves those that gradients flow through to `Functional`.

    a x + b d is one pass over memory: the outer product `addr` with a vector of one.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new tensor.
    """

    def __init__(self, rows: Rows, x: Tensor, keys: np.ndarray | None, *, reuse: bool) -> None:
        # A clamped prediction is written to the new memory's place while the oldest is still read.
        depth = rows.depth + (rows.clip is not None) if rows.depth else 0
        super().__init__(rows, x, keys, reuse=reuse, depth=depth)
        self.half = x.dtype in (torch.float16, torch.bfloat16)
        self.one = _one(torch.float32 if self.half else x.dtype, x.device)
        self.slots: list[Vector] = []
        self.joint: dict[int, Tensor] = {}
        if depth:
            self.ring_t = self.ring.T
            self.slots = [Vector(slot, slot.unsqueeze(1)) for slot in self.ring.unbind()]
            small = depth > 1 and x.numel() <= SMALL and not self.half
            if small and _products_are_exact():
                self.joint = _joint_weights(rows, depth, x.dtype, x.device)
        if self.half:
            self.wide = allocated(x, (4, min(x.numel(), _BLOCK)), torch.float32)

    def scaled(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k, in a buffer that x does not lie in."""
        c_in = self.rows.rows[k].c_in
        if c_in == 1:
            return x
        now = self.buffers.of(x)
        spare = self.buffers.spare(now)
        torch.mul(now.flat, c_in, out=spare.flat)
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
        raw = self.layout.flat(output)
        d = raw if d is output else self.layout.flat(d)
        raw_at = raw.data_ptr()
        target = self.buffers.next(now, raw_at, raw_at if d is raw else d.data_ptr())
        drawn = None
        if row.noise:
            z, scale = drawn_for(self.rows, self.keys, k, x, variance, noise)
            drawn = self.layout.flat(z), scale
        write = self._in_single_precision if self.half else self._directly
        write(k, row, now, d, raw, drawn, target)
        return target.tensor

    def _directly(
        self,
        k: int,
        row: Row,
        x: Buffer | Vector,
        d: Tensor,
        raw: Tensor,
        drawn: tuple[Tensor, float] | None,
        target: Buffer,
    ) -> None:
        """Write x after row k to target, and its memory to the ring, in their own precision."""
        clip, memory, slots, depth = self.rows.clip, row.memory, self.slots, self.depth
        if row.read is not None and clip is not None:
            aside = memory == (0.0, 1.0, 0.0)  # what is remembered is the prediction itself
            x0: Buffer | Vector = slots[k % depth] if aside else target
            _pair(x0, x, row.read[0], d, row.read[1], self.one)
            d = x0.flat.clamp_(*clip)
            if memory is not None and not aside:
                self._remember(slots[k % depth], memory, x, d, raw)
            memory = None
        _pair(target, x, row.x, d, row.d, self.one)
        if row.raw:
            target.flat.add_(raw, alpha=row.raw)
        if k in self.joint:
            target.flat.addmv_(self.ring_t, self.joint[k])
        else:
            for weight, back in row.memories:
                target.flat.add_(slots[(k - back) % depth].flat, alpha=weight)
        if drawn is not None:
            target.flat.add_(drawn[0], alpha=drawn[1])
        if memory is not None:
            self._remember(slots[k % depth], memory, x, d, raw)

    def _remember(
        self,
        slot: Vector,
        memory: tuple[float, float, float],
        x: Buffer | Vector,
        d: Tensor,
        raw: Tensor,
    ) -> None:
        """Write what a row remembers."""
        _pair(slot, x, memory[0], d, memory[1], self.one)
        if memory[2]:
            slot.flat.add_(raw, alpha=memory[2])

    def _in_single_precision(
        self,
        k: int,
        row: Row,
        x: Buffer | Vector,
        d: Tensor,
        raw: Tensor,
        drawn: tuple[Tensor, float] | None,
        target: Buffer,
    ) -> None:
        """Do the same in float32 inside, each result rounded once, a block at a time."""
        clip, one = self.rows.clip, self.one
        old = [(self.slots[(k - back) % self.depth].flat, w) for w, back in row.memories]
        for start in range(0, len(d), _BLOCK):
            part = slice(start, start + _BLOCK)
            count = min(len(d) - start, _BLOCK)
            wide = self.wide[:, :count].unbind()
            now, read, said, new = (Vector(part, part.unsqueeze(1)) for part in wide)
            now.flat.copy_(x.flat[part])
            read.flat.copy_(d[part])
            said.flat.copy_(raw[part])
            if row.read is not None and clip is not None:
                _pair(read, now, row.read[0], said.flat, row.read[1], one)
                read.flat.clamp_(*clip)
            if row.memory is not None:
                self._remember(new, row.memory, now, read.flat, said.flat)
            _pair(now, now, row.x, read.flat, row.d, one)
            if row.raw:
                now.flat.add_(said.flat, alpha=row.raw)
            for memory, weight in old:
                now.flat.add_(read.flat.copy_(memory[part]), alpha=weight)
            if drawn is not None:
                now.flat.add_(read.flat.copy_(drawn[0][part]), alpha=drawn[1])
            target.flat[part].copy_(now.flat)
            if row.memory is not None:
                self.slots[k % self.depth].flat[part].copy_(new.flat)


@cache
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a vector of one 1."""
    with torch.inference_mode(False):
        return torch.ones(1, dtype=dtype, device=device)


#: The weights of rows that were run before, for as long as the rows live.
_WEIGHTS: WeakKeyDictionary[Rows, dict[Any, dict[int, Tensor]]] = WeakKeyDictionary()


def _joint_weights(
    rows: Rows, depth: int, dtype: torch.dtype, device: torch.device
) -> dict[int, Tensor]:
    """Return the weights of the ring's places, for rows that read every one."""
    known = _WEIGHTS.setdefault(rows, {})
    if (dtype, device) not in known:
        joint = [k for k, row in enumerate(rows.rows) if len(row.memories) == depth]
        table = np.zeros((len(joint), depth))
        for weights, k in zip(table, joint, strict=True):
            for weight, back in rows.rows[k].memories:
                weights[(k - back) % depth] = weight
        with torch.inference_mode(False):
            on_device = torch.tensor(table, dtype=dtype, device="cpu").to(device)
        known[dtype, device] = dict(zip(joint, on_device.unbind(), strict=True))
    return known[dtype, device]


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


def _products_are_exact() -> bool:
    """Whether products with a matrix keep float32's digits: users may let networks round them."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by settings that it cannot name
        return False


def _pair(
    to: Buffer | Vector, x: Buffer | Vector, a: float, d: Tensor, b: float, one: Tensor
) -> None:
    """Write a x + b d, without what is multiplied by 0."""
    if a == 0 and b == 0:
        to.flat.zero_()
    elif a == 0:
        torch.mul(d, b, out=to.flat)
    elif b == 0:
        torch.mul(x.flat, a, out=to.flat)
    else:
        torch.addr(x.column, d, one, beta=a, alpha=b, out=to.column)
