"""The update as a few operations of torch, into buffers that a run owns."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from schedalg.noise import keyed_normal
from schedalg.reference import Functional, deviation
from schedalg.rows import Rows
from schedalg_torch.layout import Layout

#: Up to this many elements, several memories are added by one product with a matrix: calling an
#: operation takes longer than its arithmetic there, and beyond it the product is the slower one.
_SMALL = 2**16
#: Elements of half precision that are taken to float32 and back at a time.
_BLOCK = 2**18

# torch.func has no public way to ask. It is what torch's own library asks.
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


class Buffer(NamedTuple):
    """Memory for one x, in the three shapes that operations want it in."""

    tensor: Tensor
    flat: Tensor
    column: Tensor
    start: int
    end: int


class Drawn(NamedTuple):
    """Noise, and what to multiply it with."""

    noise: Tensor
    scale: float


class Eager:
    """Updates tensors in place, and leaves those that gradients flow through to `Functional`.

    a x + b d is one pass over memory: the outer product `addr` with a vector of one.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new tensor.
    """

    def __init__(self, rows: Rows, x: Tensor, keys: np.ndarray | None, *, reuse: bool) -> None:
        self.rows = rows
        self.keys = keys
        self.reuse = reuse
        self.layout = Layout.of(x)
        self.half = x.dtype in (torch.float16, torch.bfloat16)
        # A clamped prediction is written to the new memory's place while the oldest is still read.
        self.depth = rows.depth + (rows.clip is not None) if rows.depth else 0
        size = self.layout.shape.numel()
        with torch.inference_mode(False):  # a run may outlive the mode that it begins in
            self.ring = torch.empty(self.depth, size, dtype=x.dtype, device=x.device)
            self.ring_t = self.ring.T
            self.slots = [_buffer(slot, slot) for slot in self.ring.unbind()]
            self.joint = self._joint_weights() if size <= _SMALL and not self.half else {}
            real = torch.float32 if self.half else x.dtype
            self.one = torch.ones(1, dtype=real, device=x.device)
            block = min(size, _BLOCK) if self.half else 0
            self.wide = torch.empty(3, block, dtype=torch.float32, device=x.device)
            self.block = [_buffer(flat, flat) for flat in self.wide.unbind()]
        self.own: list[Buffer] = []
        self.now: Buffer | None = None
        self.functional: Functional | None = None

    def input(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k."""
        c_in = self.rows.rows[k].c_in
        if c_in == 1:
            return x
        if self.functional is not None:
            seen: Tensor = self.functional.input(k, x)
            return seen
        spare = self._apart_from(x)
        torch.mul(self.layout.flat(x), c_in, out=spare.flat)
        return spare.tensor

    def __call__(
        self, k: int, x: Tensor, output: Tensor, variance: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Return x after row k."""
        if self.functional is not None or followed(output, variance, noise):
            return self._followed(k, x, output, variance, noise)
        row = self.rows.rows[k]
        drawn = None
        if row.noise:
            if self.keys is not None:
                noise = keyed_normal(x, self.keys, k, rounded=False)
            assert noise is not None
            scale = deviation(row, variance)
            if isinstance(scale, Tensor):
                noise, scale = noise * scale, 1.0
            drawn = Drawn(self.layout.flat(noise), scale)
        now = self.now
        if now is None or x is not now.tensor:
            now = _buffer(x, self.layout.flat(x))
        d = self.layout.flat(output)
        target = self._apart_from(now.tensor, d)
        slot = None if row.memory is None else self.slots[k % self.depth]
        if self.half:
            self._in_single_precision(k, now, d, drawn, target, slot)
        else:
            self._directly(k, now, d, drawn, target, slot)
        self.now = target
        return target.tensor

    def _directly(
        self, k: int, x: Buffer, d: Tensor, drawn: Drawn | None, target: Buffer, slot: Buffer | None
    ) -> None:
        """Write x after row k to target, and its memory to slot, in their own precision."""
        row, clip, memory = self.rows.rows[k], self.rows.clip, self.rows.rows[k].memory
        if row.read is not None and clip is not None:
            x0 = slot if slot is not None and memory == (0.0, 1.0) else target
            _pair(x0, x, row.read[0], d, row.read[1], self.one)
            d = x0.flat.clamp_(*clip)
            if slot is not None and memory is not None and x0 is target:
                _pair(slot, x, memory[0], d, memory[1], self.one)
            slot = None
        _pair(target, x, row.x, d, row.d, self.one)
        if k in self.joint:
            target.flat.addmv_(self.ring_t, self.joint[k])
        else:
            for weight, back in row.memories:
                target.flat.add_(self.slots[(k - back) % self.depth].flat, alpha=weight)
        if drawn is not None:
            target.flat.add_(drawn.noise, alpha=drawn.scale)
        if slot is not None and memory is not None:
            _pair(slot, x, memory[0], d, memory[1], self.one)

    def _in_single_precision(
        self, k: int, x: Buffer, d: Tensor, drawn: Drawn | None, target: Buffer, slot: Buffer | None
    ) -> None:
        """Do the same in float32 inside, each result rounded once, a block at a time."""
        row, clip, one = self.rows.rows[k], self.rows.clip, self.one
        old = [(self.slots[(k - back) % self.depth].flat, w) for w, back in row.memories]
        for start in range(0, len(d), _BLOCK):
            part = slice(start, start + _BLOCK)
            now, read, kept = self._single(min(len(d) - start, _BLOCK))
            now.flat.copy_(x.flat[part])
            read.flat.copy_(d[part])
            if row.read is not None and clip is not None:
                _pair(read, now, row.read[0], read.flat, row.read[1], one)
                read.flat.clamp_(*clip)
            if row.memory is not None:
                _pair(kept, now, row.memory[0], read.flat, row.memory[1], one)
            _pair(now, now, row.x, read.flat, row.d, one)
            for memory, weight in old:
                now.flat.add_(read.flat.copy_(memory[part]), alpha=weight)
            if drawn is not None:
                now.flat.add_(read.flat.copy_(drawn.noise[part]), alpha=drawn.scale)
            target.flat[part].copy_(now.flat)
            if slot is not None:
                slot.flat[part].copy_(kept.flat)

    def _single(self, count: int) -> list[Buffer]:
        """Return three blocks of float32."""
        if count == self.wide.shape[1]:
            return self.block
        return [_buffer(flat, flat) for flat in self.wide[:, :count].unbind()]

    def _followed(
        self, k: int, x: Tensor, output: Tensor, variance: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Return x after row k by operations that can be followed, from here to the last row."""
        if self.functional is None:
            recent = [self.ring[j % self.depth] for j in range(k - self.rows.depth, k)]
            self.functional = Functional(self.rows, self.keys, map(self.layout.shaped, recent))
        after: Tensor = self.functional(k, x, output, variance, noise)
        return after

    def _joint_weights(self) -> dict[int, Tensor]:
        """Return the weights of the ring's places, for rows that read every one, two or more."""
        joint = [k for k, row in enumerate(self.rows.rows) if len(row.memories) == self.depth > 1]
        if not joint:
            return {}
        table = np.zeros((len(joint), self.depth))
        for weights, k in zip(table, joint, strict=True):
            for weight, back in self.rows.rows[k].memories:
                weights[(k - back) % self.depth] = weight
        on_device = torch.tensor(table, dtype=self.ring.dtype, device="cpu").to(self.ring.device)
        return dict(zip(joint, on_device.unbind(), strict=True))

    def _new(self, like: Tensor) -> Buffer:
        x = self.layout.empty(like)
        return _buffer(x, self.layout.flat(x))

    def _apart_from(self, x: Tensor, d: Tensor | None = None) -> Buffer:
        """Return a buffer to write to, which neither x nor the output lies in."""
        place = 0 if d is None else d.data_ptr()
        for mine in self.own:
            if mine.tensor is not x and not mine.start <= place < mine.end:
                return mine
        new = self._new(x)
        if self.reuse and len(self.own) < 2:
            self.own.append(new)
        return new


def _pair(to: Buffer, x: Buffer, a: float, d: Tensor, b: float, one: Tensor) -> None:
    """Write a x + b d, without what is multiplied by 0."""
    if a == 0 and b == 0:
        to.flat.zero_()
    elif a == 0:
        torch.mul(d, b, out=to.flat)
    elif b == 0:
        torch.mul(x.flat, a, out=to.flat)
    else:
        torch.addr(x.column, d, one, beta=a, alpha=b, out=to.column)


def _buffer(x: Tensor, flat: Tensor) -> Buffer:
    start = flat.data_ptr()
    return Buffer(x, flat, flat[:, None], start, start + flat.nbytes)


def followed(*tensors: Tensor | None) -> bool:
    """Whether autograd, or a transform of `torch.func`, follows one of the tensors."""
    if torch.autograd.forward_ad._current_level >= 0:
        return True  # a tangent may be carried
    grad = torch.is_grad_enabled()
    for tensor in tensors:
        if tensor is not None and ((grad and tensor.requires_grad) or _is_wrapped(tensor)):
            return True
    return False
