"""How the samples of a pool go from row to row: each by itself, or all in one pass of NumPy."""

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from schedalg.arrays import Array, namespace, widened
from schedalg.network.bounds import Clamp
from schedalg.running.noise import keyed_normal
from schedalg.running.philox import STEP
from schedalg.running.reference import BLOCK
from schedalg.running.rows import COLUMNS, Rows
from schedalg.running.state import Run
from schedalg.schedule.timesteps import timestep_dtype


class Together(Protocol):
    """Holds samples by their tickets. A batch is a list of them."""

    @property
    def tickets(self) -> list[int]:
        """All samples, in the order in which a batch of them costs least."""
        ...

    def join(self, ticket: int, run: Run, /) -> None:
        """Take over a sample from its run, which is at the first of one row or more."""
        ...

    def leave(self, ticket: int, /) -> Array:
        """Return x of a sample, (...), which is none of these any more."""
        ...

    def input(self, tickets: list[int], /) -> Array:
        """Return what the network is to be given, (B, ...), in memory of its own."""
        ...

    def timesteps(self, tickets: list[int], /) -> Array:
        """Return the timesteps that it is to be given, (B,)."""
        ...

    def takes_variance(self, tickets: list[int], /) -> bool:
        """Return whether a row of one of them takes a learned variance."""
        ...

    def take(self, tickets: list[int], output: Array, variance: Array | None, /) -> list[int]:
        """Take samples through their next rows; where it raises, nothing has changed.

        Args:
            tickets: The samples.
            output: The network's output for them, (B, ...).
            variance: The learned variance, or None.

        Returns:
            Those that are behind their last rows.
        """
        ...


def together(
    shape: tuple[int, ...], like: Array, bound: Callable[[Array], Array] | None
) -> Together:
    """Return what holds samples of a shape.

    Args:
        shape: That of a sample.
        like: An array of the samples' library, device and dtype.
        bound: The bounds of x0 predictions as a function, or None.
    """
    clip = (bound.low, bound.high) if type(bound) is Clamp else None
    if type(like) is np.ndarray and math.prod(shape) <= SMALL and (bound is None or clip):
        return Stack(shape, like.dtype, clip)
    return Each()


class Each:
    """Samples of any library that are taken on one by one, each in its run."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}

    @property
    def tickets(self) -> list[int]:
        """All samples, in the order in which they joined."""
        return list(self.runs)

    def join(self, ticket: int, run: Run) -> None:
        """Take over a sample from its run."""
        self.runs[ticket] = run

    def leave(self, ticket: int) -> Array:
        """Return x of a sample, which is none of these any more."""
        return self.runs.pop(ticket).x[0, ...]

    def input(self, tickets: list[int]) -> Array:
        """Return what the network is to be given, (B, ...), in memory of its own."""
        return _joined([self.runs[ticket].input for ticket in tickets])

    def timesteps(self, tickets: list[int]) -> Array:
        """Return the timesteps that it is to be given, (B,)."""
        return _joined([self.runs[ticket].timesteps for ticket in tickets])

    def takes_variance(self, tickets: list[int]) -> bool:
        """Return whether a row of one of them takes a learned variance."""
        return any(self.runs[ticket].takes_variance for ticket in tickets)

    def take(self, tickets: list[int], output: Array, variance: Array | None) -> list[int]:
        """Take samples through their next rows, and return those that are finished."""
        parts = []
        for i, ticket in enumerate(tickets):
            run, own = self.runs[ticket], (slice(i, i + 1), ...)
            x0 = run.bounded(output[own])  # by a function of the user's, which may raise
            parts.append((run, output[own], x0, None if variance is None else variance[own]))
        for run, said, x0, of in parts:
            run.take(said, x0, of)
        return [ticket for ticket in tickets if self.runs[ticket].done]


def _joined(parts: list[Array]) -> Array:
    return namespace(parts[0]).concat(parts, axis=0)


#: Samples of more elements are taken on one by one in NumPy too: there, stacking copies more than
#: the calls cost that it saves.
SMALL = 2**12
#: The columns of a table of `Stack`: what every row has, and then the weights of memories, the
#: newest first.
_NAMES = ("c_in", *COLUMNS[: COLUMNS.index("next_c_in")], "middle", "half")
_C_IN, _X, _D, _RAW, _NOISE = map(_NAMES.index, ("c_in", "x", "d", "raw", "noise"))
_OF_X, _OF_D, _OF_RAW = map(_NAMES.index, ("memory_x", "memory_d", "memory_raw"))
_REMEMBERED, _C_X, _C_OUT = map(_NAMES.index, ("remembered", "c_x", "c_out"))
_MIDDLE, _HALF = map(_NAMES.index, ("middle", "half"))
_WEIGHTS = len(_NAMES)


class Stack:
    """Samples of NumPy, stacked, each at a row of a table of its own: taken on in one pass.

    The operations on an element are those of `reference.InPlace` in their order, so that the bits
    are those of a run. Tables are padded with zeros to one length and one number of memories, and
    what is multiplied by 0 is left out.

    Args:
        shape: That of a sample.
        dtype: Of the samples.
        clip: The bounds of x0 predictions, or None.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, clip: tuple[float, float] | None
    ) -> None:
        size = math.prod(shape)
        self.shape = shape
        self.clip = clip
        self.places: dict[int, int] = {}  # of samples, by ticket, in all these arrays
        self.free: list[int] = []  # a heap
        self.x = np.zeros((0, size), dtype)
        self.rings = np.zeros((0, 0, size), dtype)  # of row k at k modulo the sample's depth
        self.tables = np.zeros((0, 0, _WEIGHTS))
        self.draws = np.zeros((0, 0, 3), np.int64)
        self.timesteps_of = np.zeros((0, 0))
        self.keys = np.zeros((0, 2), np.uint64)
        self.rows, self.ends, self.depths = (np.zeros(0, np.int64) for _ in range(3))
        self.learned = np.zeros(0, bool)
        self.scratch = np.empty((4, 0))

    @property
    def tickets(self) -> list[int]:
        """All samples, by their places."""
        return sorted(self.places, key=self.places.__getitem__)

    def join(self, ticket: int, run: Run) -> None:
        """Take over a sample from its run."""
        rows, table, timesteps = run.rows, _table_of(run.rows), run.plan.timesteps
        if not self.free:
            self.free = list(range(len(self.x), 2 * len(self.x) + 1))
        place, count = heapq.heappop(self.free), len(table)
        size = len(self.x) if place < len(self.x) else 2 * place + 1
        dtype = timestep_dtype(run.x, timesteps[0].item())
        self.x = _grown(self.x, size)
        self.rings = _grown(self.rings, size, rows.depth)
        self.tables = _grown(self.tables, size, *table.shape)
        self.draws = _grown(self.draws, size, count)
        known = self.timesteps_of if self.places else self.timesteps_of.astype(dtype)
        self.timesteps_of = _grown(known, size, count)
        self.keys, self.rows, self.ends, self.depths, self.learned = (
            _grown(each, size)
            for each in (self.keys, self.rows, self.ends, self.depths, self.learned)
        )
        self.x[place] = run.x.reshape(-1)
        self.tables[place, :count] = 0.0
        self.tables[place, :count, : table.shape[1]] = table
        self.draws[place, :count, :2], self.draws[place, :count, 2] = rows.draws, STEP
        self.timesteps_of[place, :count] = timesteps
        if isinstance(run.source, np.ndarray):
            self.keys[place] = run.source[0]
        self.rows[place], self.ends[place], self.depths[place] = 0, count, max(rows.depth, 1)
        self.learned[place] = rows.rows[0].log_variance is not None
        self.places[ticket] = place

    def leave(self, ticket: int) -> np.ndarray:
        """Return x of a sample, which is none of these any more."""
        place = self.places.pop(ticket)
        heapq.heappush(self.free, place)
        x: np.ndarray = self.x[place].reshape(self.shape).copy()
        return x

    def input(self, tickets: list[int]) -> np.ndarray:
        """Return what the network is to be given, (B, ...), in memory of its own."""
        places = self._of(tickets)
        x: np.ndarray = self.x[places]
        c_in = self.tables[places, self.rows[places], _C_IN]
        if (c_in != 1).any():
            wide = np.promote_types(x.dtype, np.float32)
            x = np.multiply(x, c_in.astype(wide)[:, None]).astype(x.dtype, copy=False)
        return x.reshape(len(tickets), *self.shape)

    def timesteps(self, tickets: list[int]) -> np.ndarray:
        """Return the timesteps that it is to be given, (B,)."""
        places = self._of(tickets)
        timesteps: np.ndarray = self.timesteps_of[places, self.rows[places]]
        return timesteps

    def takes_variance(self, tickets: list[int]) -> bool:
        """Return whether a row of one of them takes a learned variance."""
        places = self._of(tickets)
        noise = self.tables[places, self.rows[places], _NOISE]
        return bool((self.learned[places] & (noise != 0)).any())

    def take(
        self, tickets: list[int], output: np.ndarray, variance: np.ndarray | None
    ) -> list[int]:
        """Take samples through their next rows, and return those that are finished."""
        places = self._of(tickets)
        rows, depths = self.rows[places], self.depths[places]
        now = _Now(self.tables[places, rows], self.x.dtype)
        noise = self._noise(places, now, variance)
        raw = output.reshape(len(places), -1)
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
            if now.some[_REMEMBERED]:
                these = now.which(_REMEMBERED)
                memory = now.sum([(_OF_X, x), (_OF_D, d), (_OF_RAW, said)], kept, product)
                self.rings[places[these], (rows % depths)[these], part] = memory[these]
            self.x[here, part] = total
        self.rows[places] += 1
        ended = np.flatnonzero(self.rows[places] == self.ends[places])
        return [tickets[i] for i in ended]

    def _of(self, tickets: list[int]) -> np.ndarray:
        """Return where samples are. They are in this order in every batch."""
        return np.array([self.places[ticket] for ticket in tickets])

    def _scratch(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Yield memory for what is between operations, of that shape."""
        size = math.prod(shape)
        if self.scratch.shape[1] < size:
            self.scratch = np.empty((4, size), np.promote_types(self.x.dtype, np.float32))
        for each in self.scratch:
            yield each[:size].reshape(shape)

    def _noise(
        self, places: np.ndarray, now: "_Now", variance: np.ndarray | None
    ) -> np.ndarray | None:
        """Return the noise of rows that have some, (B, n), ready for what multiplies it."""
        if not now.some[_NOISE]:
            return None
        these = now.which(_NOISE)
        of = places[these]
        like = np.empty((len(of), *self.shape), self.x.dtype)
        drawn = keyed_normal(like, self.keys[of], self.draws[of, self.rows[of]], rounded=False)
        noise = np.zeros((len(places), self.x.shape[1]), drawn.dtype)
        noise[these] = drawn.reshape(len(of), -1)
        learned = these[self.learned[of]]
        if variance is not None and len(learned):
            middle, half, scale = (now.weights[learned, c] for c in (_MIDDLE, _HALF, _NOISE))
            said = widened(variance[learned]).reshape(len(learned), -1)
            noise[learned] *= scale * np.exp((middle + half * said) / 2)
            now.weights[learned, _NOISE] = 1
        return noise


class _Now:
    """The rows that samples are in, stacked.

    Attributes:
        some: Whether each column has a number other than 0.
        every: Whether it has no 0.
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
        """Write Σ weight value for weights by column, without what is multiplied by 0.

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
            to[:] = np.where(bare, 0.0, -0.0)[:, None]  # -0 and a number is that number, -0 too
        for column, values in terms:
            weights = self.weights[:, column]
            if self.every[column]:
                to += np.multiply(values, weights, out=product, dtype=self.wide)
            else:
                these = self.which(column)
                to[these] += np.multiply(values[these], weights[these], dtype=self.wide)
        return to


def _table_of(rows: Rows) -> np.ndarray:
    """Return the rows as a table with the columns `_NAMES` and the weights of memories."""
    table, depth, end = rows.table(rows.depth), rows.depth, COLUMNS.index("next_c_in")
    own = np.empty((len(table), _WEIGHTS + depth))
    own[0, _C_IN], own[1:, _C_IN] = rows.rows[0].c_in, table[:-1, end]
    own[:, 1 : end + 1] = table[:, :end]
    own[:, _MIDDLE : _HALF + 1] = table[:, end + 1 : end + 3]
    if depth:
        places = (np.arange(len(table))[:, None] - np.arange(1, depth + 1)) % depth
        own[:, _WEIGHTS:] = np.take_along_axis(table[:, len(COLUMNS) :], places, axis=1)
    return own


def _grown(array: np.ndarray, *sizes: int) -> np.ndarray:
    """Return an array, padded with zeros to at least these sizes."""
    needed = tuple(map(max, array.shape, (*sizes, *array.shape[len(sizes) :])))
    if needed == array.shape:
        return array
    grown = np.zeros(needed, array.dtype)
    grown[tuple(map(slice, array.shape))] = array
    return grown
