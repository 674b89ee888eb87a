"""Samples of any library at rows of their own: one pass by operations that return new arrays."""

import numpy as np

from schedalg.arrays import Array, device, known, namespace, widened
from schedalg.running.noise import keyed_normal
from schedalg.running.per_sample import OneForEach, chosen, newest_first, rounded, summed
from schedalg.running.rows import COLUMNS
from schedalg.running.stack import Stack, grown


class ArrayStack(Stack):
    """Arrays that are not written to, each at a row of a table of its own.

    All places are taken on, those of which nothing is known by rows of zeros, and what comes of
    these is left out. So the operations have the same shapes for every batch: a library that
    compiles them for shapes does it again only where there are more places.

    Args:
        shape: That of a sample.
        like: An array of the samples' library, device and dtype.
        clip: The bounds of x0 predictions, or None.
    """

    def __init__(
        self, shape: tuple[int, ...], like: Array, clip: tuple[float, float] | None
    ) -> None:
        super().__init__(shape, like, clip)
        self.x = self._zeros(0)
        self.one = OneForEach()
        self.depths = np.zeros(0, np.int64)
        self.tables = np.zeros((0, 0, len(COLUMNS)))

    def hold(self, place: int, x: Array) -> None:
        """Make room, and hold a sample at its place."""
        rows, table = self.held[place].rows, newest_first(self.held[place].rows)
        xp = namespace(self.x)
        if lacking := self.room - len(self.depths):
            new = self._zeros(lacking)
            self.x = xp.concat([self.x, new])
            self.one.ring = [xp.concat([old, new]) for old in self.one.ring]
            self.depths = np.append(self.depths, np.ones(lacking, np.int64))
        while len(self.one.ring) < rows.depth:
            self.one.ring.append(xp.zeros_like(self.x))
        self.depths[place] = max(rows.depth, 1)
        self.tables = grown(self.tables, self.room, *table.shape)
        self.tables[place] = 0.0
        self.tables[place, : len(table), : table.shape[1]] = table
        self.x = chosen(np.arange(self.room) == place, x, self.x)

    def x_of(self, place: int) -> Array:
        """Return x of a place."""
        return self.x[place, ...]

    def memory_of(self, place: int, k: int) -> Array:
        """Return what row k of a place remembered."""
        return self.one.ring[k % self.depths[place]][place, ...]

    def given(self, places: np.ndarray, c_in: np.ndarray) -> Array:
        """Return c_in x for the x of some places, in memory of its own."""
        index = known(self.x).operand(places, None, self.x)
        x = namespace(self.x).take(self.x, index, axis=0)
        return x if (c_in == 1).all() else rounded(summed([(c_in, x)]), x)

    def taken(self, places: np.ndarray, output: Array, variance: Array | None) -> None:
        """Take the x of places through the rows that they are in."""
        going = np.zeros(self.room, bool)
        going[places] = True
        batch = np.zeros(self.room, np.int64)  # where the output for each place is
        batch[places] = np.arange(len(places))
        table = self.tables[np.arange(self.room), np.minimum(self.row, self.tables.shape[1] - 1)]
        table[~going] = 0.0
        index, xp = known(output).operand(batch, None, output), namespace(output)
        noise = self._noise(places)
        self.torn = True
        after = self.one.take(
            table,
            self.row,
            self.depths,
            self.x,
            xp.take(output, index, axis=0),
            None,
            None if variance is None else xp.take(variance, index, axis=0),
            noise,
            self.clip,
        )
        self.x = chosen(going, after, self.x)

    def _noise(self, places: np.ndarray) -> Array | None:
        """Return the noise of the rows that have some, 0 elsewhere, (room, ...); None if none."""
        noisy = places[self.deviations[places, self.row[places]] != 0]
        if not len(noisy):
            return None
        wide = widened(self.x[:0, ...]).dtype
        double = str(wide).endswith("float64")
        noise = np.zeros((self.room, *self.shape), np.float64 if double else np.float32)
        words = self.draws[noisy, self.row[noisy]]
        noise[noisy] = keyed_normal(noise[noisy], self.keys[noisy], words)
        return known(self.x).operand(noise, wide, self.x)

    def _zeros(self, count: int) -> Array:
        xp, like = namespace(self.like), self.like
        return xp.zeros((count, *self.shape), dtype=like.dtype, device=device(like))
