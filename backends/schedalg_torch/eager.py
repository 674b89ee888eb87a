"""The update as a few operations of torch, into buffers that a run owns."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from schedalg.noise import keyed_normal
from schedalg.reference import Functional, deviation
from schedalg.rows import Row, Rows
from schedalg_torch.layout import Layout

#: Up to this many elements, several memories are added by one product with a matrix: calling an
#: operation takes longer than its arithmetic there, and beyond it the product is the slower one.
_SMALL = 2**16


class Buffer(NamedTuple):
    """Memory for one x, in the three shapes that operations want it in."""

    tensor: Tensor
    flat: Tensor
    column: Tensor


class Eager:
    """Updates tensors in place, and leaves those that gradients flow through to `Functional`.

    a x + b d is one pass over memory: the outer product `addr` with a vector of one.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to two rows later. Otherwise it is a new tensor.
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
        self.ring = torch.zeros(self.depth, size, dtype=x.dtype, device=x.device)
        self.slots = [Buffer(slot, slot, slot[:, None]) for slot in self.ring.unbind()]
        self.joint = self._joint_weights() if size <= _SMALL and not self.half else {}
        self.one = torch.ones(1, dtype=x.dtype, device=x.device)
        self.own: list[Buffer] = []
        self.seen: Buffer | None = None
        self.now: Buffer | None = None
        self.wide = self.layout.empty(x, torch.float32) if self.half else None
        self.functional: Functional | None = None

    def input(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k."""
        c_in = self.rows.rows[k].c_in
        if c_in == 1:
            return x
        if self.functional is not None or followed(x):
            return x * c_in
        if self.seen is None or not self.reuse:
            self.seen = self._new(x)
        torch.mul(self._buffer(x).flat, c_in, out=self.seen.flat)
        return self.seen.tensor

    def __call__(
        self, k: int, x: Tensor, output: Tensor, variance: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Return x after row k."""
        if self.functional is None and followed(x, output, variance, noise):
            self.functional = Functional(self.rows, self.keys)
            if self.depth:
                recent = (self.ring[j % self.depth] for j in range(k - self.rows.depth, k))
                self.functional.memories = [self.layout.shaped(memory) for memory in recent]
        if self.functional is not None:
            after: Tensor = self.functional(k, x, output, variance, noise)
            return after
        row = self.rows.rows[k]
        if row.noise:
            if self.keys is not None:
                noise = keyed_normal(x, self.keys, k)
            assert noise is not None
            noise = self.layout.flat(noise * deviation(row, variance))
        d = self.layout.flat(output)
        target = self._target(d, x)
        slot = self.slots[k % self.depth] if row.memory is not None else None
        if self.half:
            self._in_single_precision(k, row, self._buffer(x).flat, d, noise, target, slot)
        else:
            self._directly(k, row, self._buffer(x), d, noise, target, slot)
        self.now = target
        return target.tensor

    def _directly(
        self,
        k: int,
        row: Row,
        x: Buffer,
        d: Tensor,
        noise: Tensor | None,
        target: Buffer,
        slot: Buffer | None,
    ) -> None:
        """Write x after the row to target, and its memory to slot, in their own precision."""
        if row.read is not None and self.rows.clip is not None:
            remembered = slot is not None and row.memory == (0.0, 1.0)
            x0 = slot if slot is not None and remembered else target
            self._pair(x0, x, row.read[0], d, row.read[1])
            d = x0.flat.clamp_(*self.rows.clip)
            if slot is not None and row.memory is not None and not remembered:
                self._pair(slot, x, row.memory[0], d, row.memory[1])
                slot = None
            elif remembered:
                slot = None
        self._pair(target, x, row.x, d, row.d)
        weights = self.joint.get(k)
        if weights is not None:
            target.flat.addmv_(self.ring.T, weights)
        else:
            for weight, back in row.memories:
                target.flat.add_(self.slots[(k - back) % self.depth].flat, alpha=weight)
        if noise is not None:
            target.flat.add_(noise)
        if slot is not None and row.memory is not None:
            self._pair(slot, x, row.memory[0], d, row.memory[1])

    def _in_single_precision(
        self,
        k: int,
        row: Row,
        x: Tensor,
        d: Tensor,
        noise: Tensor | None,
        target: Buffer,
        slot: Buffer | None,
    ) -> None:
        """Do the same in float32 inside, each result rounded once."""
        assert self.wide is not None
        total = self.wide
        if row.read is not None and self.rows.clip is not None:
            total.copy_(x).mul_(row.read[0]).add_(d, alpha=row.read[1]).clamp_(*self.rows.clip)
            d = total.clone()
        total.copy_(x).mul_(row.x).add_(d, alpha=row.d)
        for weight, back in row.memories:
            total.add_(self.slots[(k - back) % self.depth].flat, alpha=weight)
        if noise is not None:
            total.add_(noise)
        target.flat.copy_(total)
        if slot is not None and row.memory is not None:
            slot.flat.copy_(total.copy_(x).mul_(row.memory[0]).add_(d, alpha=row.memory[1]))

    def _pair(self, to: Buffer, x: Buffer, a: float, d: Tensor, b: float) -> None:
        """Write a x + b d, without what is multiplied by 0."""
        if a == 0:
            torch.mul(d, b, out=to.flat)
        elif b == 0:
            torch.mul(x.flat, a, out=to.flat)
        else:
            torch.addr(x.column, d, self.one, beta=a, alpha=b, out=to.column)

    def _joint_weights(self) -> dict[int, Tensor]:
        """Return the weights of all places of the ring, for rows that read two or more."""
        joint = {}
        for k, row in enumerate(self.rows.rows):
            if len(row.memories) > 1:
                weights = torch.zeros(self.depth, dtype=self.ring.dtype)
                for weight, back in row.memories:
                    weights[(k - back) % self.depth] = weight
                joint[k] = weights.to(self.ring.device)
        return joint

    def _buffer(self, x: Tensor) -> Buffer:
        """Return x as a buffer."""
        if self.now is None or x is not self.now.tensor:
            flat = self.layout.flat(x)
            self.now = Buffer(x, flat, flat[:, None])
        return self.now

    def _new(self, like: Tensor) -> Buffer:
        flat = self.layout.empty(like)
        return Buffer(self.layout.shaped(flat), flat, flat[:, None])

    def _target(self, d: Tensor, x: Tensor) -> Buffer:
        """Return a buffer to write x to, which neither x nor the output lies in."""
        place = d.data_ptr()
        for mine in self.own:
            start = mine.flat.data_ptr()
            outside = not start <= place < start + mine.flat.nbytes
            if mine.tensor is not x and outside:
                return mine
        new = self._new(x)
        if self.reuse and len(self.own) < 2:
            self.own.append(new)
        return new


def followed(*tensors: Tensor | None) -> bool:
    """Whether autograd, or a transform of `torch.func`, follows one of the tensors."""
    given = [tensor for tensor in tensors if tensor is not None]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        return True
    return any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in given)
