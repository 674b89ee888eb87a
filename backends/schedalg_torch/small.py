"""The update of small tensors on the CPU as a few operations of torch, where numba is missing.

Calling an operation takes longer than its arithmetic there.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from schedalg.running.rows import Row, Rows
from schedalg_torch.eager import Eager
from schedalg_torch.memory import Buffer
from schedalg_torch.modes import watched

#: Up to this many elements, tensors are small.
SMALL = 2**16
#: By this factor, the terms of a product may be larger than those of a sum from x and the output.
_LARGER = 4.0


class Product(NamedTuple):
    """What x after a row is made of, from its own memory on: scale x + ring weights.

    Attributes:
        scale: 0-d. (torch would make a tensor of a number in each step.)
        weights: Of each place of the ring.
    """

    scale: Tensor
    weights: Tensor


class Step(NamedTuple):
    """A row of nothing but x, the output and memories.

    Attributes:
        memory: The coefficients of x, 0-d, and of the output in what it remembers; or None.
        x: That of x in x after it, 0-d.
        d: That of the output.
        memories: What else is added: coefficients, and how many rows back.
        product: What takes the place of all three, or None.
    """

    memory: tuple[Tensor, float] | None
    x: Tensor
    d: float
    memories: tuple[tuple[float, int], ...]
    product: Product | None


class Numbers(NamedTuple):
    """Numbers of rows as tensors, which torch would make of them in each step.

    Attributes:
        scales: What x is multiplied with, 0-d, by its value.
        products: Of the rows that read every place of a ring with one more than they read.
        steps: Of each row; None of one that is more than that.
    """

    scales: dict[float, Tensor]
    products: dict[int, Product]
    steps: list[Step | None]


class Small(Eager):
    """Updates small tensors in their own shape, which takes no views.

    a x + b d is a product and a sum, and all memories are added by one product with a matrix.
    (Beyond `SMALL`, that is slower than to add one after the other.)
    """

    def __init__(self, rows: Rows, x: Tensor, keys: np.ndarray | None, *, reuse: bool) -> None:
        joint = rows.depth > 0 and _products_are_exact()
        super().__init__(rows, x, keys, reuse=reuse, ahead=joint, small=True)
        self.scales, self.products, self.steps = numbers_of(rows, x.dtype, joint)
        if joint:
            self.ring_t = self.ring.T

    def places(self) -> tuple[Tensor, ...]:
        """Return the ring, place by place."""
        if not self.depth:
            return ()
        if self.layout.channels_last:
            return tuple(map(self.layout.shaped, self.ring.unbind()))
        return self.ring.view(self.depth, *self.layout.shape).unbind()

    def owned(self, buffer: Buffer) -> Tensor:
        """Return the memory of a buffer."""
        return buffer.twin

    def given(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

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
        step = self.steps[k]
        if step is None:
            return super().take(k, x, d, output, variance, noise)
        now, d_at = self.buffers.of(x), d.data_ptr()
        target, _ = self.buffers.next(now, d_at, d_at)
        before, product = now.twin, step.product
        if step.memory is not None:
            scale, weight = step.memory
            torch.mul(before, scale, out=self.slots[k % self.depth]).add_(d, alpha=weight)
        if product is not None:
            torch.mul(now.flat, product.scale, out=target.flat).addmv_(self.ring_t, product.weights)
        else:
            after = torch.mul(before, step.x, out=target.twin).add_(d, alpha=step.d)
            for weight, back in step.memories:
                after.add_(self.slots[(k - back) % self.depth], alpha=weight)
        return target.tensor

    def add_up(self, k: int, row: Row, now: Buffer, d: Tensor, raw: Tensor, target: Buffer) -> None:
        """Write x after row k to target, but for the noise."""
        product = self.products.get(k)
        if product is None:
            super().add_up(k, row, now, d, raw, target)
        else:
            torch.mul(now.flat, product.scale, out=target.flat).addmv_(self.ring_t, product.weights)

    def add_pair(self, to: Tensor, x: Tensor, a: float, d: Tensor, b: float) -> None:
        """Write a x + b d, where d may be what is written to."""
        if d is to:
            to.mul_(b).add_(x, alpha=a)
        else:
            torch.mul(x, self.scales[a], out=to).add_(d, alpha=b)


def numbers_of(rows: Rows, dtype: torch.dtype, joint: bool) -> Numbers:
    """Return the numbers of rows as tensors.

    Args:
        rows: The rows.
        dtype: That of the tensors.
        joint: Whether memories are added by products.
    """
    key = ("numbers", dtype, joint)
    known: Numbers | None = rows.cache.get(key)
    if known is None or watched():
        with torch.inference_mode(False):
            scales, products = _scales(rows, dtype), _products(rows, dtype) if joint else {}
        steps = [_step(rows, k, scales, products, joint) for k in range(rows.count)]
        known = Numbers(scales, products, steps)
        if not watched():
            rows.cache[key] = known
    return known


def _step(
    rows: Rows, k: int, scales: dict[float, Tensor], products: dict[int, Product], joint: bool
) -> Step | None:
    row, product, memory = rows.rows[k], products.get(k), None
    if row.read is not None or row.raw or row.noise or row.x == 0 or row.d == 0:
        return None
    if row.memory is not None:
        of_x, of_d, of_raw = row.memory
        if not joint or of_x == 0 or of_d == 0 or of_raw:
            return None
        memory = scales[of_x], of_d
    return Step(memory, scales[row.x], row.d, row.memories, product)


def _scales(rows: Rows, dtype: torch.dtype) -> dict[float, Tensor]:
    values = [0.0]
    for row in rows.rows:
        values.append(row.x)
        if row.read is not None:
            values.append(row.read[0])
        if row.memory is not None:
            values.append(row.memory[0])
    return dict(zip(values, torch.tensor(values, dtype=dtype, device="cpu").unbind(), strict=True))


def _products(rows: Rows, dtype: torch.dtype) -> dict[int, Product]:
    """Return the products of rows that read every place of a ring with one more than they read."""
    own = {
        k: coefficients
        for k, row in enumerate(rows.rows)
        if len(row.memories) == rows.depth and (coefficients := _from_memory(rows, row)) is not None
    }
    weights = np.zeros((len(own), rows.depth + 1))
    for of_row, (k, (_, newest)) in zip(weights, own.items(), strict=True):
        for weight, back in ((newest, 0), *rows.rows[k].memories):
            of_row[(k - back) % len(of_row)] = weight
    scales = np.array([scale for scale, _ in own.values()])
    numbers = (torch.tensor(each, dtype=dtype, device="cpu").unbind() for each in (scales, weights))
    return dict(zip(own, map(Product, *numbers), strict=True))


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


def _products_are_exact() -> bool:
    """Whether products with a matrix keep float32's digits: users may let networks round them."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by settings that it cannot name
        return False
