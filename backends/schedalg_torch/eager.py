"""The update as a few operations of torch, into buffers that a run owns."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from schedalg.running.noise import keyed_normal
from schedalg.running.reference import deviation
from schedalg.running.rows import Row, Rows
from schedalg_torch.layout import allocated
from schedalg_torch.memory import Buffer
from schedalg_torch.modes import kept, watched
from schedalg_torch.update import TorchUpdate

#: Up to this many elements, all memories are added by one product with a matrix: calling an
#: operation takes longer than its arithmetic there, and beyond it the product is the slower one.
SMALL = 2**16
#: By this factor, the terms of such a sum may be larger than those of a sum from x and the output.
_LARGER = 4.0
#: Elements of half precision that are taken to float32 and back at a time.
_BLOCK = 2**18


class Product(NamedTuple):
    """What x after a row is made of, from its own memory on: scale x + ring weights.

    Attributes:
        scale: 0-d. (torch would make a tensor of a number in each step.)
        weights: Of each place of the ring.
    """

    scale: Tensor
    weights: Tensor


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
        self.half = x.dtype in (torch.float16, torch.bfloat16)
        small = x.is_cpu and x.numel() <= SMALL
        joint = small and not self.half and rows.depth > 0 and _products_are_exact()
        # A clamped prediction, or all that a product adds, is written to the new memory's place
        # while the oldest is still read.
        depth = rows.depth + (joint or rows.clip is not None) if rows.depth else 0
        super().__init__(rows, x, keys, reuse=reuse, depth=depth, small=small)
        self.one = _one(torch.float32 if self.half else x.dtype, x.device)
        #: The memories as columns.
        self.slots = self.ring.unsqueeze(2).unbind() if depth else ()
        self.products: dict[int, Product] = {}
        if joint:
            self.ring_t = self.ring.T
            self.products = _products(rows, x.dtype)
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
        target, _ = self.buffers.next(now, raw_at, raw_at if d is raw else d.data_ptr())
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
        now: Buffer,
        d: Tensor,
        raw: Tensor,
        drawn: tuple[Tensor, float] | None,
        target: Buffer,
    ) -> None:
        """Write x after row k to target, and its memory to the ring, in their own precision."""
        clip, memory, depth, one = self.rows.clip, row.memory, self.depth, self.one
        product = self.products.get(k)
        x, to = now.column, target.column
        slot = self.slots[k % depth] if depth else to
        if row.read is not None and clip is not None:
            aside = memory == (0.0, 1.0, 0.0)  # what is remembered is the prediction itself
            x0 = slot if aside else to
            _pair(x0, x, row.read[0], d, row.read[1], one)
            d = x0.clamp_(*clip).view(-1)
            if memory is not None and not aside:
                _remember(slot, memory, x, d, raw, one)
            memory = None
        if product is not None:
            if memory is not None:
                _remember(slot, memory, x, d, raw, one)
                memory = None
            torch.mul(now.flat, product.scale, out=target.flat).addmv_(self.ring_t, product.weights)
        else:
            _pair(to, x, row.x, d, row.d, one)
            if row.raw:
                to.add_(raw.unsqueeze(1), alpha=row.raw)
            for weight, back in row.memories:
                to.add_(self.slots[(k - back) % depth], alpha=weight)
        if drawn is not None:
            to.add_(drawn[0].unsqueeze(1), alpha=drawn[1])
        if memory is not None:
            _remember(slot, memory, x, d, raw, one)

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
        clip, one = self.rows.clip, self.one
        old = [(self.slots[(k - back) % self.depth], weight) for weight, back in row.memories]
        for start in range(0, len(d), _BLOCK):
            part = slice(start, start + _BLOCK)
            count = min(len(d) - start, _BLOCK)
            now, read, said, new = self.wide[:, :count].unsqueeze(2).unbind()
            flat_read, flat_said = read.view(-1), said.view(-1)
            now.copy_(x.column[part])
            flat_read.copy_(d[part])
            flat_said.copy_(raw[part])
            if row.read is not None and clip is not None:
                _pair(read, now, row.read[0], flat_said, row.read[1], one)
                read.clamp_(*clip)
            if row.memory is not None:
                _remember(new, row.memory, now, flat_read, flat_said, one)
            _pair(now, now, row.x, flat_read, row.d, one)
            if row.raw:
                now.add_(said, alpha=row.raw)
            for memory, weight in old:
                now.add_(read.copy_(memory[part]), alpha=weight)
            if drawn is not None:
                flat_read.copy_(drawn[0][part])
                now.add_(read, alpha=drawn[1])
            target.column[part].copy_(now)
            if row.memory is not None:
                self.slots[k % self.depth][part].copy_(new)


@kept
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a vector of one 1."""
    with torch.inference_mode(False):
        return torch.ones(1, dtype=dtype, device=device)


def _products(rows: Rows, dtype: torch.dtype) -> dict[int, Product]:
    """Return the products of rows that read every place of a ring with one more than they read."""
    key = ("products", dtype)
    known: dict[int, Product] | None = rows.cache.get(key)
    if known is None or watched():
        own = {
            k: coefficients
            for k, row in enumerate(rows.rows)
            if len(row.memories) == rows.depth
            and (coefficients := _from_memory(rows, row)) is not None
        }
        weights = np.zeros((len(own), rows.depth + 1))
        for of_row, (k, (_, newest)) in zip(weights, own.items(), strict=True):
            for weight, back in ((newest, 0), *rows.rows[k].memories):
                of_row[(k - back) % len(of_row)] = weight
        scales = np.array([scale for scale, _ in own.values()])
        with torch.inference_mode(False):
            numbers = (
                torch.tensor(each, dtype=dtype, device="cpu").unbind() for each in (scales, weights)
            )
            known = dict(zip(own, map(Product, *numbers), strict=True))
        if not watched():
            rows.cache[key] = known
    return known


def _from_memory(rows: Rows, row: Row) -> tuple[float, float] | None:
    """Return the coefficients of x and of the row's memory in x after it; None if it lacks digits.

    With a memory of_x x + of_d d, x_weight x + d_weight d is a x + b memory where b = d_weight /
    of_d and a = x_weight - b of_x.
    """
    # A term of x or d with the coefficient 0 is left out, even if it is infinite.
    if row.memory is None or row.raw or row.memory[2] or row.x == 0 or row.d == 0:
        return None
    of_x, of_d, _ = row.memory
    if rows.clip is not None:  # the memory is clamped, too, where it is the prediction itself
        return (row.x, row.d) if (of_x, of_d) == (0.0, 1.0) else None
    if of_d == 0:
        return None
    b = row.d / of_d
    a = row.x - b * of_x
    within = abs(a) + abs(b * of_x) <= _LARGER * max(abs(row.x), abs(row.d))
    return (a, b) if within else None


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


def _remember(
    slot: Tensor,
    memory: tuple[float, float, float],
    x: Tensor,
    d: Tensor,
    raw: Tensor,
    one: Tensor,
) -> None:
    """Write what a row remembers to a column; see `_pair`."""
    _pair(slot, x, memory[0], d, memory[1], one)
    if memory[2]:
        slot.add_(raw.unsqueeze(1), alpha=memory[2])


def _pair(to: Tensor, x: Tensor, a: float, d: Tensor, b: float, one: Tensor) -> None:
    """Write a x + b d to a column, without what is multiplied by 0; x is one, and d is flat."""
    if a == 0 and b == 0:
        to.zero_()
    elif a == 0:
        torch.mul(d.unsqueeze(1), b, out=to)
    elif b == 0:
        torch.mul(x, a, out=to)
    else:
        torch.addr(x, d, one, beta=a, alpha=b, out=to)
