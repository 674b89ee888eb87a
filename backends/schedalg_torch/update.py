"""What all ways of running rows on tensors share: free memory, the next input, and gradients."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, is_grad_enabled
from torch.autograd import forward_ad

from schedalg.running.per_sample import EveryRow
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg_torch.layout import Layout, allocated, lasting
from schedalg_torch.memory import Buffer, Buffers

# There is no public way to ask for a transform of torch.func. torch's own library asks this.
_transform = torch._C._functorch.peek_interpreter_stack


def requires_gradient(*tensors: Tensor | None) -> bool:
    """Whether autograd follows one of the tensors, or a transform of `torch.func` anything."""
    if forward_ad._current_level >= 0 or _transform() is not None:
        return True  # a tangent may be carried
    if is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    return False


class TorchUpdate(EveryRow):
    """Takes tensors through rows in memory of its own, until a tensor requires a gradient.

    From that row on, the rest is run by `Functional`, with the memories so far.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new tensor.
        depth: How many memories are held.
        small: Whether x is so small that the memory of all rows is made at once.
    """

    def __init__(
        self,
        rows: Rows,
        x: Tensor,
        keys: np.ndarray | None,
        *,
        reuse: bool,
        depth: int,
        small: bool = False,
    ) -> None:
        super().__init__(rows, keys)
        self.depth = depth
        self.layout = Layout.of(x)
        self.buffers = Buffers(self.layout, x, reuse=reuse)
        with lasting():
            if small:
                self.buffers.make(rows.count)
            if depth or not small:  # a kernel is given a ring, even if it has no places
                self.ring = allocated(x, (depth, x.numel()))
        self.functional: Functional | None = None

    def input_of(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k."""
        if not self.rows.scaled:
            return x
        if self.functional is not None or requires_gradient(x):
            scaled: Tensor = Functional(self.rows, None).input_of(k, x)
            return scaled
        return self.scaled(k, x)

    def after(
        self,
        k: int,
        x: Tensor,
        output: Tensor,
        x0: Tensor | None,
        variance: Tensor | None,
        noise: Tensor | None,
    ) -> Tensor:
        """Return x after row k."""
        if self.functional is None:
            d = output if x0 is None else x0
            if not requires_gradient(x, output, x0, variance, noise) and self.takes(d, noise):
                return self.take(k, x, d, output, variance, noise)
            functional = Functional(self.rows, self.keys)
            first = max(k - self.rows.depth, 0)
            functional.restore(k, [self.memory_of(j) for j in range(first, k)])
            self.functional = functional
        after: Tensor = self.functional.after(k, x, output, x0, variance, noise)
        return after

    def memory_of(self, k: int) -> Tensor:
        """Return a copy of what row k remembered."""
        if self.functional is not None:
            kept: Tensor = self.functional.memory_of(k)
            return kept
        return self.layout.shaped(self.ring[k % self.depth].clone())

    def remember(self, k: int, memory: Tensor) -> None:
        """Keep the values of a tensor as what row k remembered."""
        self.ring[k % self.depth].copy_(self.layout.flat(memory))

    def takes(self, d: Tensor, noise: Tensor | None) -> bool:
        """Whether rows of such tensors can be run here."""
        return True

    @abstractmethod
    def scaled(self, k: int, x: Tensor) -> Tensor:
        """Return c_in x, where rows have one that is not 1."""

    @abstractmethod
    def take(
        self,
        k: int,
        x: Tensor,
        d: Tensor,
        output: Tensor,
        variance: Tensor | None,
        noise: Any,
    ) -> Tensor:
        """Return x after row k, where d is the output or the bounded x0 prediction."""


class WritesInput(TorchUpdate):
    """An update that writes the network's next input together with x."""

    def __init__(
        self,
        rows: Rows,
        x: Tensor,
        keys: np.ndarray | None,
        *,
        reuse: bool,
        depth: int,
        small: bool = False,
    ) -> None:
        super().__init__(rows, x, keys, reuse=reuse, depth=depth, small=small)
        self.model_input = self.buffers.new() if rows.scaled else None
        self.written = -1

    def scaled(self, k: int, x: Tensor) -> Tensor:
        """Return the network's input in row k: written by the row before it, but for the first."""
        if self.model_input is None:
            return x
        if self.written != k:
            torch.mul(self.buffers.of(x).flat, self.rows.rows[k].c_in, out=self.model_input.flat)
        return self.model_input.tensor

    def input_buffer(self, k: int) -> Buffer | None:
        """Return where row k writes the next input; None if that is x itself."""
        model_input = self.model_input
        if model_input is not None and not (self.buffers.reuse and model_input.is_intact()):
            self.model_input = self.buffers.new()
        self.written = k + 1
        return self.model_input
