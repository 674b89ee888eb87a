"""Samples of NumPy at rows of their own: small ones stacked, large ones in their own blocks."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from schedalg.arrays import weighted
from schedalg.running.per_sample import newest_first
from schedalg.running.reference import BLOCK, Blocks, deviation
from schedalg.running.rows import COLUMNS
from schedalg.running.stack import Stack, grown

#: Samples of more elements are advanced one after the other: for them, gathering memories and
#: coefficients costs more than the calls that it saves.
SMALL = 2**12
_X, _D, _RAW, _NOISE = map(COLUMNS.index, ("x", "d", "raw", "noise"))
_OF_X, _OF_D, _OF_RAW = map(COLUMNS.index, ("memory_x", "memory_d", "memory_raw"))
_REMEMBERED, _C_X, _C_OUT = map(COLUMNS.index, ("remembered", "c_x", "c_out"))
_WEIGHTS = len(COLUMNS)


class NumpyStack(Stack):
    """Samples of NumPy, each at a row of a table of its own.

    The operations on an element are those of `reference.InPlace` in their order, so that the bits
    are those of a run. Tables are padded with zeros to one length and one number of memories, and
    what is multiplied by 0 is left out.

    Args:
        shape: That of a sample.
        like: An array of the samples' dtype.
        clip: The bounds of x0 predictions, or None.
    """

    def __init__(
        self, shape: tuple[int, ...], like: np.ndarray, clip: tuple[float, float] | None
    ) -> None:
        super().__init__(shape, like, clip)
        self.wide = np.promote_types(like.dtype, np.float32)
        self.x = np.zeros((0, self.size), like.dtype)
        self.rings = np.zeros((0, 0, self.size), like.dtype)  # of row k at k modulo its depth
        self.depths = np.zeros(0, np.int64)
        self.tables = np.zeros((0, 0, _WEIGHTS))
        self.scratch = np.empty((4, 0))
        self.blocks = Blocks(like.dtype, self.size)

    def hold(self, place: int, x: np.ndarray) -> None:
        """Make room, and hold a sample at its place."""
        rows = self.held[place].rows
        self.x = grown(self.x, self.room)
        self.rings = grown(self.rings, self.room, rows.depth)
        self.depths = grown(self.depths, self.room)
        self.x[place], self.depths[place] = x.reshape(-1), max(rows.depth, 1)
        if self.size <= SMALL:
            table = newest_first(rows)
            self.tables = grown(self.tables, self.room, *table.shape)
            self.tables[place, : len(table)] = 0.0
            self.tables[place, : len(table), : table.shape[1]] = table

    def x_of(self, place: int) -> np.ndarray:
        """Return a copy of x at a place."""
        x: np.ndarray = self.x[place]
        return x.reshape(self.shape).copy()

    def memory_of(self, place: int, k: int) -> np.ndarray:
        """Return a copy of what row k of a place remembered."""
        kept: np.ndarray = self.rings[place, k % self.depths[place]]
        return kept.reshape(self.shape).copy()

    def given(self, places: np.ndarray, c_in: np.ndarray) -> np.ndarray:
        """Return c_in x, the network's input, for the samples at places, as new memory."""
        x: np.ndarray = self.x[places]
        if (c_in != 1).any():
            x = np.multiply(x, c_in.astype(self.wide)[:, None]).astype(x.dtype, copy=False)
        return x.reshape(len(places), *self.shape)

    def taken(
        self, places: np.ndarray, output: np.ndarray, variance: np.ndarray | None
    ) -> np.ndarray | None:
        """Take the x of places through the rows that they are in."""
        noise, scales = self._noise(places, variance)
        raw = output.reshape(len(places), -1)
        if self.size > SMALL:
            return self._one_by_one(places, raw, noise, scales)
        self._at_once(places, raw, noise, scales)
        return None

    def _noise(
        self, places: np.ndarray, variance: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Return the noise, (B, n), or None if no row adds any; and its factors, (B,)."""
        scales: np.ndarray = self.deviations[places, self.row[places]]
        these = np.flatnonzero(scales)
        if not len(these):
            return None, scales
        drawn = self.normal(places[these]).reshape(len(these), -1)
        noise = drawn
        if len(these) < len(places):
            noise = np.zeros((len(places), self.size), drawn.dtype)
            noise[these] = drawn
        for i in these.tolist() if self.learned else ():
            place = int(places[i])
            if variance is not None and place in self.learned:
                row = self.held[place].rows.rows[self.row[place]]
                scale = deviation(row, variance[i].reshape(-1))
                noise[i] = weighted([(scale, noise[i])], rounded=False)
                scales[i] = 1.0
        return noise, scales

    def _one_by_one(
        self, places: np.ndarray, raw: np.ndarray, noise: np.ndarray | None, scales: np.ndarray
    ) -> np.ndarray:
        """Advance samples one after the other, block by block; return the network's next input."""
        ahead = np.empty((len(places), self.size), self.x.dtype)
        c_in = self.next_c_in(places).tolist()
        for i, place in enumerate(places.tolist()):
            to = ahead[i]
            rows, k = self.held[place].rows, int(self.row[place])
            row, ring, depth = rows.rows[k], self.rings[place], max(rows.depth, 1)
            terms = [(weight, ring[(k - back) % depth]) for weight, back in row.memories]
            if noise is not None and scales[i] != 0:
                terms.append((float(scales[i]), noise[i]))
            slot = ring[k % depth] if row.memory is not None and rows.depth else None
            self.torn = True
            self.blocks.take(row, rows.clip, self.x[place], raw[i], raw[i], terms, to, slot)
            self.x[place] = to
            if c_in[i] != 1:
                np.multiply(to, c_in[i], out=to, dtype=self.wide, casting="same_kind")
        return ahead.reshape(len(places), *self.shape)

    def _at_once(
        self, places: np.ndarray, raw: np.ndarray, noise: np.ndarray | None, scales: np.ndarray
    ) -> None:
        """Advance samples in one pass, with coefficients that are gathered from their tables."""
        rows, depths = self.row[places], self.depths[places]
        table = self.tables[places, rows]
        table[:, _NOISE] = scales
        now = _Now(table, self.x.dtype)
        # A slice of them is not copied.
        here = slice(len(places)) if places[-1] == len(places) - 1 else places
        width = max(BLOCK // len(places), 1)
        for start in range(0, raw.shape[1], width):
            part = slice(start, start + width)
            x, said = self.x[here, part], raw[:, part]
            total, product, x0, kept = self._scratch(said.shape)
            d = said
            if self.clip is not None:
                d = now.sum([(_C_X, x), (_C_OUT, said)], x0, product)
                np.clip(d, *self.clip, out=d)
            terms = [(_X, x), (_D, d), (_RAW, said)]
            for back in range(1, self.rings.shape[1] + 1):
                if now.some[_WEIGHTS + back - 1]:
                    old = self.rings[places, (rows - back) % depths, part]
                    terms.append((_WEIGHTS + back - 1, old))
            if noise is not None:
                terms.append((_NOISE, noise[:, part]))
            now.sum(terms, total, product)
            self.torn = True
            if now.some[_REMEMBERED]:
                these = now.which(_REMEMBERED)
                memory = now.sum([(_OF_X, x), (_OF_D, d), (_OF_RAW, said)], kept, product)
                self.rings[places[these], (rows % depths)[these], part] = memory[these]
            self.x[here, part] = total

    def _scratch(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Yield four arrays of a shape, as memory for intermediate results."""
        size = math.prod(shape)
        if self.scratch.shape[1] < size:
            self.scratch = np.empty((4, size), self.wide)
        for each in self.scratch:
            yield each[:size].reshape(shape)


class _Now:
    """The rows that samples are in, stacked.

    Attributes:
        some: Whether each column has a number other than 0.
        every: Whether each column has no 0.
        weights: (B, columns, 1), in the type that is computed in.
    """

    def __init__(self, table: np.ndarray, dtype: Any) -> None:
        self.there = table != 0
        self.some: list[bool] = self.there.any(axis=0).tolist()
        self.every: list[bool] = self.there.all(axis=0).tolist()
        self.wide = np.promote_types(dtype, np.float32)
        self.weights = table.astype(self.wide)[:, :, None]

    def which(self, column: int) -> np.ndarray:
        """Return the samples whose number in a column is not 0."""
        return np.flatnonzero(self.there[:, column])

    def sum(
        self, terms: list[tuple[int, np.ndarray]], to: np.ndarray, product: np.ndarray
    ) -> np.ndarray:
        """Write Σ weight value to `to`. Terms whose weight is 0 are left out.

        Args:
            terms: Columns, and what their weights multiply, (B, n).
            to: Where the sum is written, (B, n).
            product: Memory for a product, (B, n).
        """
        terms = [term for term in terms if self.some[term[0]]]
        if terms and self.every[terms[0][0]]:
            column, values = terms.pop(0)
            np.multiply(values, self.weights[:, column], out=to, dtype=self.wide)
        else:
            bare = ~self.there[:, [column for column, _ in terms]].any(axis=1)
            to[:] = np.where(bare, 0.0, -0.0)[:, None]  # -0 + a is a, also where a is -0
        for column, values in terms:
            weights = self.weights[:, column]
            if self.every[column]:
                to += np.multiply(values, weights, out=product, dtype=self.wide)
            else:
                these = self.which(column)
                to[these] += np.multiply(values[these], weights[these], dtype=self.wide)
        return to
