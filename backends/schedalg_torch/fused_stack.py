"""Samples of a pool on a GPU: one kernel launch a step, whatever rows they are in."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.running.rows import COLUMNS
from schedalg_torch.fused import current_device, launch, on_device, real_dtype
from schedalg_torch.layout import Layout
from schedalg_torch.stack import TorchStack
from schedalg_torch.update import allocated


class FusedStack(TorchStack):
    """Samples of a pool on a GPU, each at a row of a plan of its own.

    Their tables lie one after the other on the device. x and the memories are updated in place.

    Args:
        shape: That of a sample.
        like: A tensor of the samples' dtype and device.
        clip: The bounds of x0 predictions, or None.
        kernel: The module that holds the kernels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Tensor,
        clip: tuple[float, float] | None,
        kernel: Any,
    ) -> None:
        super().__init__(shape, like, clip)
        self.kernel = kernel
        self.compiled: dict[tuple[object, ...], Any] = {}
        self.real = real_dtype(like)
        self.x = self._zeros(0, self.size)
        self.ring = self._zeros(0, 0, self.size)  # of row k at k modulo its depth
        self.table = self._zeros(0, 0, len(COLUMNS), dtype=self.real)
        self.words = self._zeros(0, 0, 2, dtype=torch.int64)
        self.key_words = self._zeros(0, 2, dtype=torch.int64)
        self.noisy = self.unbounded = False

    def _zeros(self, *sizes: int, dtype: torch.dtype | None = None) -> Tensor:
        return allocated(self.like, sizes, dtype).zero_()

    def _grown(self, memory: Tensor, *sizes: int) -> Tensor:
        """Return memory that is padded with zeros to at least these sizes."""
        needed = tuple(map(max, memory.shape, sizes))
        if needed == tuple(memory.shape):
            return memory
        larger = self._zeros(*needed, dtype=memory.dtype)
        larger[tuple(map(slice, memory.shape))] = memory
        return larger

    def hold(self, place: int, x: Tensor) -> None:
        """Make room, and hold a sample at its place."""
        rows = self.held[place].rows
        table = rows.table(rows.depth)
        count, columns = table.shape
        self.x = self._grown(self.x, self.room, self.size)
        self.ring = self._grown(self.ring, rows.depth, self.room, self.size)
        self.table = self._grown(self.table, self.room, count, columns)
        self.words = self._grown(self.words, self.room, count, 2)
        self.key_words = self._grown(self.key_words, self.room, 2)
        padded = np.zeros((count, self.table.shape[2]))
        padded[:, :columns] = table
        self.table[place, :count] = on_device(padded, x, self.real)
        self.words[place, :count] = on_device(rows.draws, x)
        self.key_words[place] = on_device(self.keys[place].view(np.int64), x)
        self.x[place] = x.reshape(-1)
        self.noisy |= any(rows.noisy)
        self.unbounded |= rows.raw

    def x_of(self, place: int) -> Tensor:
        """Return a copy of x at a place."""
        return self.x[place].view(self.shape).clone()

    def memory_of(self, place: int, k: int) -> Tensor:
        """Return a copy of what row k of a place remembered."""
        slot = k % self.held[place].rows.depth
        return self.ring[slot, place].view(self.shape).clone()

    def given(self, places: np.ndarray, c_in: np.ndarray) -> Tensor:
        """Return c_in x, the network's input, for the samples at places, as new memory."""
        x = self.x.index_select(0, on_device(places, self.like))
        if (c_in != 1).any():
            column = on_device(c_in[:, None], self.like, self.real)
            x = (x.to(self.real) * column).to(x.dtype)
        return x.view(len(places), *self.shape)

    def taken(self, places: np.ndarray, output: Tensor, variance: Tensor | None) -> Tensor:
        """Take the x of places through the rows that they are in, and return the next input."""
        ahead = allocated(self.like, (len(places), *self.shape))
        if not self.size:
            return ahead
        layout = Layout(ahead.shape, False)
        row_at = np.stack([places * self.table.shape[1] + self.row[places], places], axis=1)
        with current_device(self.like):
            launch(
                self.kernel,
                self.compiled,
                (self.x, self.x, ahead, self.ring),
                len(places),
                layout.samples(output),
                None,
                None if variance is None else layout.samples(variance),
                None,
                (self.key_words, self.words, self.table, on_device(row_at, output)),
                depth=self.ring.shape[0],
                clipped=self.clip is not None,
                unbounded=self.unbounded,
                noisy=self.noisy,
                learned=bool(self.learned),
                scaled=True,
                each=True,
            )
        return ahead
