"""Samples on a device at rows of their own: their tables lie there too, one behind the other."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from schedalg.arrays import Array, device, namespace
from schedalg.running.rows import COLUMNS
from schedalg.running.stack import Stack


class DeviceStack(Stack):
    """Samples that a kernel takes on in place: what it reads is gathered on the device.

    Args:
        shape: That of a sample.
        like: An array of the samples' library, device and dtype.
        clip: The bounds of x0 predictions, or None.
        word: The type in which the kernel reads words of 64 bits, int64 or uint64.

    Attributes:
        x: (room, elements).
        ring: (depth, room, elements): the memory of row k at k modulo the depth of its own plan.
        table: (room, K, columns): `Rows.table`, padded with zeros.
        words: Level and visit of each row's noise, (room, K, 2).
        key_words: (room, 2).
        noisy: Whether a row has had noise.
        unbounded: Whether a row has taken the output itself with a bounded x0.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Array,
        clip: tuple[float, float] | None,
        word: type[np.generic],
    ) -> None:
        super().__init__(shape, like, clip)
        xp = namespace(like)
        self.word = word
        self.real = xp.float64 if like.dtype == xp.float64 else xp.float32
        self.x = self.empty((0, self.size), like.dtype)
        self.ring = self.empty((0, 0, self.size), like.dtype)
        self.table = self.empty((0, 0, len(COLUMNS)), self.real)
        self.words = self.sent(np.zeros((0, 0, 2), word))
        self.key_words = self.sent(np.zeros((0, 2), word))
        self.noisy = self.unbounded = False

    def hold(self, place: int, x: Array) -> None:
        """Make room, and hold a sample at its place."""
        with self.there():
            self._hold(place, x)

    def _hold(self, place: int, x: Array) -> None:
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
        self.table[place, :count] = self.sent(padded, self.real)
        self.words[place, :count] = self.sent(rows.draws.view(self.word))
        self.key_words[place] = self.sent(self.keys[place].view(self.word))
        self.x[place] = namespace(x).reshape(x, (-1,))
        self.noisy |= any(rows.noisy)
        self.unbounded |= rows.raw

    def x_of(self, place: int) -> Array:
        """Return x of a place, in memory of its own."""
        return self._copied(self.x[place])

    def memory_of(self, place: int, k: int) -> Array:
        """Return a copy of what row k of a place remembered."""
        return self._copied(self.ring[k % self.held[place].rows.depth, place])

    def given(self, places: np.ndarray, c_in: np.ndarray) -> Array:
        """Return c_in x for the x of some places, in memory of its own."""
        xp = namespace(self.x)
        with self.there():
            x = xp.take(self.x, self.sent(places), axis=0)
            if (c_in != 1).any():
                wide = xp.astype(x, self.real) * self.sent(c_in[:, None], self.real)
                x = xp.astype(wide, x.dtype)
            return xp.reshape(x, (len(places), *self.shape))

    def taken(self, places: np.ndarray, output: Array, variance: Array | None) -> Array:
        """Take the x of places through the rows that they are in, and return the next input."""
        row_at = np.stack([places * self.table.shape[1] + self.row[places], places], axis=1)
        with self.there():
            ahead = self.empty((len(places), *self.shape), self.like.dtype)
            if self.size:
                at = self.sent(row_at)
                self.torn = True
                self.launch(output, variance, ahead, at)
        return ahead

    def _copied(self, flat: Array) -> Array:
        xp = namespace(flat)
        with self.there():
            return xp.asarray(xp.reshape(flat, self.shape), copy=True)

    def _grown(self, memory: Array, *sizes: int) -> Array:
        """Return memory that is padded with zeros to at least these sizes."""
        needed = tuple(map(max, memory.shape, sizes))
        if needed == tuple(memory.shape):
            return memory
        larger = self.empty(needed, memory.dtype)
        larger[...] = 0
        larger[tuple(map(slice, memory.shape))] = memory
        return larger

    @abstractmethod
    def there(self) -> AbstractContextManager[Any]:
        """Return a context in which what is done is done on the samples' device."""

    def empty(self, sizes: tuple[int, ...], dtype: Any) -> Array:
        """Return new memory on the device."""
        return namespace(self.like).empty(sizes, dtype=dtype, device=device(self.like))

    @abstractmethod
    def launch(self, output: Array, variance: Array | None, ahead: Array, row_at: Array) -> None:
        """Take samples through rows, x and memories in place.

        Args:
            output: The network's output, (B, ...).
            variance: The learned variance, likewise; or None.
            ahead: Where the next input is written, (B, ...).
            row_at: The row of each sample in the tables of all places, and its place, (B, 2).
        """
