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
from schedalg_torch.layout import Layout, lasting


class Buffer:
    """A tensor of x's shape, and a view of its memory that nobody else holds.

    Args:
        tensor: What others are given.
        twin: The same memory, elements and shape; a copy, if it does not lie in the order.
        layout: In which order the elements are taken.

    Attributes:
        tensor: As given.
        twin: As given.
        size: How many bytes it takes.
        bytes_left: Returns how many bytes the storage has. It is held, so that nothing else comes
            to lie there.
        bytes_needed: How many it had.
    """

    __slots__ = (
        "_column",
        "_dtype",
        "_flat",
        "_layout",
        "bytes_left",
        "bytes_needed",
        "size",
        "tensor",
        "twin",
    )

    def __init__(self, tensor: Tensor, twin: Tensor, layout: Layout) -> None:
        self.tensor = tensor
        self.twin = twin
        self._layout = layout
        self._dtype = tensor.dtype
        self._flat: Tensor | None = None
        self._column: Tensor | None = None
        self.size = tensor.nbytes
        self.bytes_left = twin.untyped_storage().nbytes
        self.bytes_needed = self.bytes_left()

    @property
    def flat(self) -> Tensor:
        """A 1-D view of the memory, in the order of the layout."""
        if self._flat is None:
            self._flat = self._layout.flat(self.twin)
        return self._flat

    @property
    def column(self) -> Tensor:
        """`flat` as (elements, 1)."""
        if self._column is None:
            layout = self._layout
            contiguous = not layout.channels_last
            self._column = self.twin.view(-1, 1) if contiguous else self.flat.unsqueeze(1)
        return self._column

    def is_intact(self) -> bool:
        """Whether its storage has not shrunk, and the tensor of others still lies in its memory."""
        x = self.tensor
        return (
            self.bytes_left() >= self.bytes_needed
            and x.is_set_to(self.twin)
            and x.dtype is self._dtype
        )

    def holds(self, address: int) -> bool:
        """Whether an address lies in its memory."""
        start = self.twin.data_ptr()
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
        self.device = x.device
        self.reuse = reuse
        self.own: list[Buffer] = []
        self.latest: Buffer | None = None

    def of(self, x: Tensor) -> Buffer:
        """Return x as it lies in memory now.

        Raises:
            ValueError: As `written`; or the memory of another x was freed.
        """
        return self.written(x) or self._foreign(x)

    def written(self, x: Tensor) -> Buffer | None:
        """Return the buffer that x was written to; None if x is a tensor of others.

        Raises:
            ValueError: x is no longer what it was when the run began, because its shape or dtype
                was changed or its memory was freed.
        """
        latest = self.latest
        if latest is None or latest.tensor is not x:
            self._check_unchanged(x)
            return None
        if not self.reuse:  # the user has x in hand, and not the network alone
            self._check_unchanged(x)
        if latest.bytes_left() < latest.bytes_needed:
            raise ValueError(
                "the memory of x was freed during the run: a network must not change its input"
            )
        return latest

    def next(self, x: Buffer | None, output_at: int, x0_at: int) -> tuple[Buffer, int]:
        """Return a buffer to write x to, and its address.

        Neither x nor the tensors at two addresses lie in it.
        """
        own = self.own
        for mine in own:
            if mine is x:
                continue
            start = mine.twin.data_ptr()
            end = start + mine.size
            if start <= output_at < end or start <= x0_at < end:
                continue
            if mine.is_intact():
                self.latest = mine
                return mine, start
            own.remove(mine)
            break
        self.latest = new = self.new()
        if self.reuse and len(own) < 2:
            own.append(new)
        return new, new.twin.data_ptr()

    def spare(self, x: Buffer) -> Buffer:
        """Return a buffer in which x does not lie, for something that does not outlive a row."""
        for mine in self.own:
            if mine is not x and mine.is_intact():
                return mine
        return self.new()

    def new(self) -> Buffer:
        """Return a buffer that the run has not used."""
        with lasting():
            return self._news(1)[0]

    def make(self, count: int) -> None:
        """Make those that will be written to in so many rows: at once, which takes less time.

        It is called in a context of `lasting`.
        """
        if self.reuse:
            self.own = self._news(min(count, 2))

    def _news(self, count: int) -> list[Buffer]:
        layout = self.layout
        tensors = layout.empties(self.dtype, self.device, count)
        return [Buffer(tensor, tensor.detach(), layout) for tensor in tensors]

    def _foreign(self, x: Tensor) -> Buffer:
        """Return a tensor of others as it lies in memory now."""
        check_memory("x", x)
        if x.data_ptr() == 0:
            x = x.clone()  # zeros may be no more than a promise, without memory
        layout = self.layout
        twin = x.detach() if layout.holds(x) else layout.shaped(layout.flat(x))
        return Buffer(x, twin, layout)

    def _check_unchanged(self, x: Tensor) -> None:
        if x.shape == self.shape and x.dtype is self.dtype:
            return
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
