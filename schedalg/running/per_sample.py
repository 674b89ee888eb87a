"""Rows for samples that are not at the same one: each is taken through a row of its own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, device, is_half, namespace, widened
from schedalg.running.noise import keyed_normal
from schedalg.running.philox import STEP
from schedalg.running.rows import COLUMNS, Rows

_WEIGHTS = len(COLUMNS)


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
        self.ring: list[Array] = []

    def input(self, k: np.ndarray, x: Array) -> Array:
        """Return the network's input: c_in x, with c_in of the row of each sample."""
        return x if (self.c_in[k] == 1).all() else _rounded(_sum([(self.c_in[k], x)]), x)

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
        depth, clip = self.rows.depth, self.rows.clip
        table = self.rows.table(depth)[k]
        of = dict(zip(COLUMNS, table.T, strict=False))
        d = output if x0 is None else x0
        if clip is not None and x0 is None:
            d = namespace(x).clip(_sum([(of["c_x"], x), (of["c_out"], output)]), *clip)
        terms = [(of["x"], x), (of["d"], d), (of["raw"], output)]
        if not self.ring:
            self.ring = [0.0 * widened(x)] * depth
        terms += self._remembered(k, table)
        if of["noise"].any():
            if self.keys is not None:
                words = np.array([(*draw, STEP) for draw in self.rows.draws[k].tolist()])
                noise = keyed_normal(x, self.keys, words, rounded=False)
            scale: Any = of["noise"]
            if variance is not None and self.rows.rows[0].log_variance is not None:
                # Both at once: a row without a middle has no half width either.
                log_variance = _column(of["middle"], x) + _sum([(of["half"], variance)])
                deviation = _column(scale, x) * namespace(x).exp(log_variance / 2)
                noise, scale = deviation * widened(noise), (scale != 0) * 1.0
            terms.append((scale, noise))
        after = _rounded(_sum(terms), x)
        if depth:
            self._remember(k, of, x, d, output)
        return after

    def memory(self, k: np.ndarray) -> Array:
        """Return what each sample remembered in its row k[i]."""
        places = k % self.rows.depth
        kept = self.ring[int(places[0]) if len(places) else 0]
        for place in np.unique(places).tolist():
            if (places != place).any():
                old = self.ring[place]
                kept = namespace(old).where(_mask(places == place, old), old, kept)
        return kept

    def restore(self, k: np.ndarray, memories: Sequence[Array]) -> None:
        """Go on at rows k, where the rows just before them remembered these, the oldest first."""
        self.ring = [0.0 * memories[0]] * self.rows.depth
        for back, memory in zip(range(len(memories), 0, -1), memories, strict=True):
            self._write((k - back) % self.rows.depth, k >= back, memory)

    def _remembered(self, k: np.ndarray, table: np.ndarray) -> list[tuple[np.ndarray, Array]]:
        """Return the memories that the rows k read and their weights, the newest first.

        The order is that of runs in which all samples are in one row, for the same bits.
        """
        depth, samples = self.rows.depth, np.arange(len(k))
        terms = []
        for back in range(1, depth + 1):
            weights = table[samples, _WEIGHTS + (k - back) % depth]
            if weights.any():
                terms.append((weights, self.memory(k - back)))
        return terms

    def _remember(
        self, k: np.ndarray, of: dict[str, np.ndarray], x: Array, d: Array, output: Array
    ) -> None:
        terms = [(of["memory_x"], x), (of["memory_d"], d), (of["memory_raw"], output)]
        self._write(k % self.rows.depth, of["remembered"] != 0, _rounded(_sum(terms), x))

    def _write(self, places: np.ndarray, samples: np.ndarray, memory: Array) -> None:
        """Write the memories of some samples to their places."""
        xp = namespace(memory)
        for place, old in enumerate(self.ring):
            here = samples & (places == place)
            if here.any():
                self.ring[place] = xp.where(
                    _mask(here, memory), memory, xp.astype(old, memory.dtype)
                )


def _sum(terms: Sequence[tuple[np.ndarray, Array]]) -> Array:
    """Return Σ weight value, with a weight for each sample, without what is multiplied by 0.

    The bits are those of a sum for each sample: no 0 is added, which has a sign.
    """
    first = widened(terms[0][1])
    there = [(weights != 0, weights, value) for weights, value in terms if weights.any()]
    if not there:
        return 0.0 * first
    xp = namespace(first)
    total: Any = None
    for mask, weights, value in there:
        term = _column(weights, value) * widened(value)
        if total is not None:
            term = total + term
        elif not mask.all():  # -0 and a number is that number
            total = _column(np.where(np.any([m for m, *_ in there], axis=0), -0.0, 0.0), first)
            total = xp.broadcast_to(total, term.shape)
            term = total + term
        total = term if mask.all() else xp.where(_mask(mask, term), term, total)
    return total


def _column(values: np.ndarray, x: Array) -> Array:
    """Return one number a sample, ready to multiply x."""
    wide = widened(x[:0, ...])
    column = namespace(x).asarray(values, dtype=wide.dtype, device=device(x))
    return namespace(x).reshape(column, (-1,) + (1,) * (x.ndim - 1))


def _mask(values: np.ndarray, x: Array) -> Array:
    """Return one truth value a sample, ready to choose from x."""
    xp = namespace(x)
    return xp.reshape(xp.asarray(values, device=device(x)), (-1,) + (1,) * (x.ndim - 1))


def _rounded(values: Array, x: Array) -> Array:
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
