"""Rows for samples that are not at the same one: each is taken through a row of its own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, is_half, known, namespace, widened
from schedalg.running.noise import keyed_normal
from schedalg.running.philox import STEP
from schedalg.running.rows import COLUMNS, Rows

_WEIGHTS = len(COLUMNS)


class OneForEach:
    """One pass by operations on whole arrays, with coefficients and memories of each sample.

    Attributes:
        ring: The memories by their place. That of a sample's row k lies at k modulo its own depth.
    """

    def __init__(self) -> None:
        self.ring: list[Array] = []

    def take(
        self,
        table: np.ndarray,
        k: np.ndarray,
        depths: np.ndarray,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
        clip: tuple[float, float] | None,
    ) -> Array:
        """Return x after a row of each sample.

        Args:
            table: Of each sample the row, as in `newest_first`, (B, columns).
            k: Its number, (B,).
            depths: How many memories it has, (B,), at least 1.
            x: x before it.
            output: The network's output.
            x0: The bounded x0 prediction, where it was bounded outside of the rows.
            variance: The learned variance.
            noise: The noise, where a row has some.
            clip: The bounds of the x0 prediction otherwise.
        """
        of = dict(zip(COLUMNS, table.T, strict=False))
        d = output if x0 is None else x0
        if clip is not None and x0 is None:
            d = namespace(x).clip(summed([(of["c_x"], x), (of["c_out"], output)]), *clip)
        terms = [(of["x"], x), (of["d"], d), (of["raw"], output)]
        for back, weights in enumerate(table.T[_WEIGHTS:], start=1):
            if weights.any():
                terms.append((weights, self.at((k - back) % depths)))
        if (scale := of["noise"]).any():
            if variance is not None and (of["middle"].any() or of["half"].any()):
                # Both at once: a row without a middle has no half width either.
                log_variance = _column(of["middle"], x) + summed([(of["half"], variance)])
                deviation = _column(scale, x) * namespace(x).exp(log_variance / 2)
                noise, scale = deviation * widened(noise), (scale != 0) * 1.0
            terms.append((scale, noise))
        after = rounded(summed(terms), x)
        if self.ring:
            kept = [(of["memory_x"], x), (of["memory_d"], d), (of["memory_raw"], output)]
            self.write(k % depths, of["remembered"] != 0, rounded(summed(kept), x))
        return after

    def at(self, places: np.ndarray) -> Array:
        """Return the memory of each sample at a place of its own."""
        kept = self.ring[int(places[0]) if len(places) else 0]
        for place in np.unique(places).tolist():
            if (places != place).any():
                kept = chosen(places == place, self.ring[place], kept)
        return kept

    def write(self, places: np.ndarray, samples: np.ndarray, memory: Array) -> None:
        """Write the memories of some samples to their places."""
        xp = namespace(memory)
        for place, old in enumerate(self.ring):
            here = samples & (places == place)
            if here.any():
                self.ring[place] = chosen(here, memory, xp.astype(old, memory.dtype))


class PerSample:
    """Updates a batch whose samples are at rows of their own, by operations on whole arrays.

    Coefficients are gathered from the table of the rows, one a sample. The memory of a sample's
    row k lies at k modulo `depth`, whatever the others do.

    Args:
        rows: The rows; all numbers.
        keys: The keys of noise that is made here, or None.

    Raises:
        ValueError: A gradient flows through the rows.
    """

    def __init__(self, rows: Rows, keys: np.ndarray | None) -> None:
        if not rows.numbers:
            raise ValueError(
                "samples at rows of their own need a schedule that no gradient flows through"
            )
        self.rows = rows
        self.keys = keys
        self.c_in = np.array([row.c_in for row in rows.rows])
        self.table = newest_first(rows)
        self.one = OneForEach()

    def input(self, k: np.ndarray, x: Array) -> Array:
        """Return the network's input: c_in x, with c_in of the row of each sample."""
        return x if (self.c_in[k] == 1).all() else rounded(summed([(self.c_in[k], x)]), x)

    def __call__(
        self,
        k: np.ndarray,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        """Return x after row k[i] for sample i; see `backend.Update`."""
        rows, table = self.rows, self.table[k]
        if not self.one.ring:
            self.one.ring = [0.0 * widened(x)] * rows.depth
        if self.keys is not None and table[:, COLUMNS.index("noise")].any():
            words = np.array([(*draw, STEP) for draw in rows.draws[k].tolist()])
            noise = keyed_normal(x, self.keys, words, rounded=False)
        depths = np.full(len(k), max(rows.depth, 1))
        return self.one.take(table, k, depths, x, output, x0, variance, noise, rows.clip)

    def memory(self, k: np.ndarray) -> Array:
        """Return what each sample remembered in its row k[i]."""
        return self.one.at(k % self.rows.depth)

    def restore(self, k: np.ndarray, memories: Sequence[Array]) -> None:
        """Go on at rows k, where the rows just before them remembered these, the oldest first."""
        self.one.ring = [0.0 * memories[0]] * self.rows.depth
        for back, memory in zip(range(len(memories), 0, -1), memories, strict=True):
            self.one.write((k - back) % self.rows.depth, k >= back, memory)


def newest_first(rows: Rows) -> np.ndarray:
    """Return the rows as a table with `COLUMNS` and the weights of memories, the newest first.

    That is the order in which a run adds them, which its bits depend on.
    """
    table, depth = rows.table(rows.depth), rows.depth
    if not depth:
        return table
    places = (np.arange(len(table))[:, None] - np.arange(1, depth + 1)) % depth
    weights = np.take_along_axis(table[:, _WEIGHTS:], places, axis=1)
    return np.concatenate([table[:, :_WEIGHTS], weights], axis=1)


def summed(terms: Sequence[tuple[np.ndarray, Array]]) -> Array:
    """Return Σ weight value, with a weight for each sample, without what is multiplied by 0.

    The bits are those of a sum for each sample: no 0 is added, which has a sign.
    """
    first = widened(terms[0][1])
    there = [(weights != 0, weights, value) for weights, value in terms if weights.any()]
    if not there:
        return 0.0 * first
    total: Any = None
    for mask, weights, value in there:
        term = _column(weights, value) * widened(value)
        if total is not None:
            term = total + term
        elif not mask.all():  # -0 and a number is that number
            total = _column(np.where(np.any([m for m, *_ in there], axis=0), -0.0, 0.0), first)
            term = total + term
        total = term if mask.all() else chosen(mask, term, total)
    return total


def _column(values: np.ndarray, x: Array) -> Array:
    """Return one number a sample, ready to multiply x."""
    shaped = values.reshape((-1,) + (1,) * (x.ndim - 1))
    return known(x).operand(shaped, namespace(x).float32 if is_half(x) else x.dtype, x)


def chosen(samples: np.ndarray, x: Array, other: Array) -> Array:
    """Return x for some samples, and another array for all others."""
    shaped = samples.reshape((-1,) + (1,) * (x.ndim - 1))
    return namespace(x).where(known(x).operand(shaped, None, x), x, other)


def rounded(values: Array, x: Array) -> Array:
    """Return values in half precision where x is."""
    return namespace(x).astype(values, x.dtype) if is_half(x) else values


class EveryRow(ABC):
    """An `Update` that does rows in which all samples are, and leaves all others to `PerSample`.

    Args:
        rows: The rows to run.
        keys: The keys of noise that is made here, or None.
    """

    def __init__(self, rows: Rows, keys: np.ndarray | None) -> None:
        self.rows = rows
        self.keys = keys
        self._each: PerSample | None = None

    @property
    def each(self) -> PerSample:
        """What takes samples through rows of their own."""
        if self._each is None:
            self._each = PerSample(self.rows, self.keys)
        return self._each

    def input(self, k: int | np.ndarray, x: Array) -> Array:
        """Return the network's input in row k."""
        return self.each.input(k, x) if isinstance(k, np.ndarray) else self.input_of(k, x)

    def __call__(
        self,
        k: int | np.ndarray,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        """Return x after row k."""
        if isinstance(k, np.ndarray):
            return self.each(k, x, output, x0, variance, noise)
        return self.after(k, x, output, x0, variance, noise)

    def memory(self, k: int | np.ndarray) -> Array:
        """Return a copy of what row k remembered."""
        return self.each.memory(k) if isinstance(k, np.ndarray) else self.memory_of(k)

    def restore(self, k: int | np.ndarray, memories: Sequence[Array]) -> None:
        """Go on at row k, after rows that remembered these."""
        if isinstance(k, np.ndarray):
            self.each.restore(k, memories)
        else:
            for row, memory in enumerate(memories, start=k - len(memories)):
                self.remember(row, memory)

    @abstractmethod
    def input_of(self, k: int, x: Array) -> Array:
        """Return the network's input in a row of all samples."""

    @abstractmethod
    def after(
        self,
        k: int,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        """Return x after a row of all samples."""

    @abstractmethod
    def memory_of(self, k: int) -> Array:
        """Return a copy of what a row of all samples remembered."""

    @abstractmethod
    def remember(self, k: int, memory: Array) -> None:
        """Keep an array as what row k remembered."""
