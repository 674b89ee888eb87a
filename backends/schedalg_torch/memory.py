"""The memory that a run writes x to, whatever a network does with the tensors it is given.

A network holds the tensors of a run while it is called, and torch lets it do more to them than
read. `x.share_memory_()` and a `torch.multiprocessing` queue move the memory of x, `x.data = ...`
and `x.set_()` put other memory in its place, `x.untyped_storage().resize_(0)` frees it. So a run
reads and writes through views of its own, which no network is given, and which follow their storage
wherever it moves. All that can still go wrong is a storage that shrank, and that is looked at in
every row.
"""

import torch
from torch import Tensor

from schedalg.checks import check_memory
from schedalg_torch.layout import Layout


class Buffer:
    """A tensor of x's shape, and a view of its memory that nobody else holds.

    Args:
        tensor: The tensor.
        layout: In which order its elements are taken.

    Attributes:
        tensor: What others are given.
        flat: A 1-D view of its memory in the order of the layout; a copy, if it does not lie so.
        size: How many bytes it takes.
    """

    __slots__ = ("_column", "_nbytes", "_stored", "_strides", "flat", "shape", "size", "tensor")

    def __init__(self, tensor: Tensor, layout: Layout) -> None:
        self.tensor = tensor
        self.flat = layout.flat(tensor)
        self.shape = layout.shape
        self.size = tensor.nbytes
        self._strides = tensor.stride()
        self._column: Tensor | None = None
        # Of the storage that is held with it, so that nothing else comes to lie there.
        self._nbytes = self.flat.untyped_storage().nbytes
        self._stored = self._nbytes()

    @property
    def column(self) -> Tensor:
        """`flat` as (elements, 1)."""
        if self._column is None:
            self._column = self.flat.unsqueeze(1)
        return self._column

    def is_whole(self) -> bool:
        """Whether its storage has not shrunk."""
        return self._nbytes() >= self._stored

    def is_intact(self) -> bool:
        """Whether it is whole, and the tensor that others are given still lies in its memory."""
        x = self.tensor
        return (
            self._nbytes() >= self._stored
            and x.data_ptr() == self.flat.data_ptr()
            and x.stride() == self._strides
            and x.shape == self.shape
            and x.dtype is self.flat.dtype
        )

    def holds(self, address: int) -> bool:
        """Whether an address lies in its memory."""
        start = self.flat.data_ptr()
        return start <= address < start + self.size


class Buffers:
    """The tensors that a run writes x to: two in turn, or a new one for every row.

    Args:
        layout: How x lies in memory.
        x: What the run starts from, which is not written to.
        reuse: Whether x after a row may be written to in later rows.

    Attributes:
        own: The two, as far as they were needed.
        latest: What was written last, which x is from then on.
    """

    def __init__(self, layout: Layout, x: Tensor, *, reuse: bool) -> None:
        self.layout = layout
        self.shape = x.shape
        self.dtype = x.dtype
        self.like = x.new_empty(0)  # x itself may be freed
        self.reuse = reuse
        self.own: list[Buffer] = []
        self.latest: Buffer | None = None

    def of(self, x: Tensor) -> Buffer:
        """Return x as it lies in memory now.

        Raises:
            ValueError: x is no longer what it was when the run began, because its shape or dtype
                was changed or its memory was freed.
        """
        if x.shape != self.shape or x.dtype is not self.dtype:
            self._raise_changed(x)
        latest = self.latest
        if latest is None or latest.tensor is not x:
            check_memory("x", x)
            # Zeros may be no more than a promise, without memory.
            return Buffer(x.clone() if x.data_ptr() == 0 else x, self.layout)
        if not latest.is_whole():
            raise ValueError(
                "the memory of x was freed during the run: a network must not change its input"
            )
        return latest

    def next(self, x: Buffer, output: Tensor, x0: Tensor | None = None) -> Buffer:
        """Return a buffer to write x to, in which neither x nor the other tensors lie."""
        place = output.data_ptr()
        third = place if x0 is None or x0 is output else x0.data_ptr()
        for k, mine in enumerate(self.own):
            start = mine.flat.data_ptr()
            end = start + mine.size
            if mine is x or start <= place < end or start <= third < end:
                continue
            if not mine.is_intact():
                mine = self.own[k] = self.new()
            self.latest = mine
            return mine
        self.latest = self.new()
        if self.reuse and len(self.own) < 2:
            self.own.append(self.latest)
        return self.latest

    def spare(self, x: Buffer) -> Buffer:
        """Return a buffer in which x does not lie, for something that does not outlive a row."""
        for mine in self.own:
            if mine is not x and mine.is_intact():
                return mine
        return self.new()

    def new(self) -> Buffer:
        """Return a buffer that the run has not used."""
        return Buffer(self.layout.empty(self.like), self.layout)

    def _raise_changed(self, x: Tensor) -> None:
        for name, now, before in (
            ("shape", tuple(x.shape), tuple(self.shape)),
            ("dtype", x.dtype, self.dtype),
        ):
            if now != before:
                raise ValueError(
                    f"the {name} of x was changed during the run, from {before} to {now}: a "
                    "network must not change its input"
                )


def shares_memory(tensor: Tensor, other: Tensor) -> bool:
    """Whether both lie in the same storage."""
    return tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def written(*tensors: Tensor) -> None:
    """Tell autograd that a loop or a kernel, which it does not see, wrote to the tensors."""
    if not torch.is_inference_mode_enabled():
        for tensor in tensors:
            torch.autograd.graph.increment_version(tensor)
