"""The memory that a run writes x to, whatever a network does with the tensors it is given.

A network holds the tensors of a run while it is called, and torch lets it do more to them than
read. `x.share_memory_()` and a `torch.multiprocessing` queue move the memory of x, `x.data = ...`
and `x.set_()` put other memory in its place, `x.untyped_storage().resize_(0)` frees it. So nothing
that was found out about a tensor before a call of the network is relied on after it.
"""

import torch
from torch import Tensor

from schedalg.checks import check_memory
from schedalg_torch.layout import Layout


class Buffer:
    """A tensor of x's shape, and how it lies in memory.

    Args:
        tensor: The tensor.
        layout: In which order its elements are taken.

    Attributes:
        start: The address of the first element.
        end: The address behind the last one.
    """

    __slots__ = (
        "_column",
        "_flat",
        "_layout",
        "_storage",
        "dtype",
        "end",
        "shape",
        "start",
        "stored",
        "strides",
        "tensor",
    )

    def __init__(self, tensor: Tensor, layout: Layout) -> None:
        self.tensor = tensor
        self.dtype = tensor.dtype
        self.shape = tensor.shape
        self.strides = tensor.stride()
        self.start = tensor.data_ptr()
        self.end = self.start + tensor.nbytes
        self._storage = tensor.untyped_storage()  # held, so that nothing else comes to lie there
        self.stored = self._storage.nbytes()
        self._layout = layout
        self._flat: Tensor | None = None
        self._column: Tensor | None = None

    @property
    def flat(self) -> Tensor:
        """A 1-D view of the tensor in the order of memory; of a copy, if it does not lie so."""
        if self._flat is None:
            self._flat = self._layout.flat(self.tensor.resolve_neg())
        return self._flat

    @property
    def column(self) -> Tensor:
        """`flat` as (elements, 1)."""
        if self._column is None:
            self._column = self.flat.unsqueeze(1)
        return self._column

    def intact(self) -> bool:
        """Whether the tensor still lies where it did, in as much memory and in the same order."""
        x = self.tensor
        return (
            x.data_ptr() == self.start
            and x.untyped_storage().nbytes() == self.stored
            and x.stride() == self.strides
            and x.shape == self.shape
            and x.dtype is self.dtype
        )


class Buffers:
    """The tensors that a run writes x to: two in turn, or a new one for every row.

    Args:
        layout: How x lies in memory.
        x: What the run starts from, which is not written to.
        reuse: Whether x after a row may be written to in later rows.
    """

    def __init__(self, layout: Layout, x: Tensor, *, reuse: bool) -> None:
        self.layout = layout
        self.dtype = x.dtype
        self.device = x.device
        self.reuse = reuse
        self.own: list[Buffer] = []

    def holding(self, x: Tensor) -> Buffer | None:
        """Return the run's own buffer that x is, still as it was; None if x is any other tensor.

        Raises:
            ValueError: x is no longer what it was when the run began, because its shape, dtype or
                device was changed or its memory was freed.
        """
        for mine in self.own:
            if mine.tensor is x and mine.intact():
                return mine
        self._check(x)
        return None

    def of(self, x: Tensor) -> Buffer:
        """Return x as it lies in memory now, in one of the run's own buffers or anywhere.

        Raises:
            ValueError: As `holding`.
        """
        return self.holding(x) or Buffer(x, self.layout)

    def apart_from(self, x: Tensor, output: Tensor, x0: Tensor | None = None) -> Buffer:
        """Return a buffer to write to, which none of the tensors lies in."""
        place, other = x.data_ptr(), output.data_ptr()
        third = other if x0 is None or x0 is output else x0.data_ptr()
        for k, mine in enumerate(self.own):
            start, end = mine.start, mine.end
            if mine.tensor is x or start <= place < end or start <= other < end:
                continue
            if start <= third < end:
                continue
            if not mine.intact():
                mine = self.own[k] = self.new()
            return mine
        new = self.new()
        if self.reuse and len(self.own) < 2:
            self.own.append(new)
        return new

    def new(self) -> Buffer:
        """Return a buffer that the run has not used."""
        return Buffer(self.layout.empty(self.dtype, self.device), self.layout)

    def _check(self, x: Tensor) -> None:
        for name, now, before in (
            ("shape", tuple(x.shape), tuple(self.layout.shape)),
            ("dtype", x.dtype, self.dtype),
            ("device", x.device, self.device),
        ):
            if now != before:
                raise ValueError(
                    f"the {name} of x was changed during the run, from {before} to {now}: a "
                    "network must not change its input"
                )
        check_memory("x", x)


def shares_memory(tensor: Tensor, other: Tensor) -> bool:
    """Whether both lie in the same storage."""
    return tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def written(*tensors: Tensor) -> None:
    """Tell autograd that a loop or a kernel, which it does not see, wrote to the tensors."""
    if not torch.is_inference_mode_enabled():
        for tensor in tensors:
            torch.autograd.graph.increment_version(tensor)
