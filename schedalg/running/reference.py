"""The core's own backend: NumPy in place, block by block; other libraries by plain operations."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, device, given, namespace, weighted, widened
from schedalg.checks import check_memory
from schedalg.running.noise import keyed_normal
from schedalg.running.per_sample import EveryRow
from schedalg.running.rows import Row, Rows
from schedalg.schedule.timesteps import timestep_dtype

#: Elements that NumPy updates at a time, so that what is between two operations stays in the cache.
BLOCK = 2**15


class ReferenceBackend:
    """Serves arrays of every library that follows the array-API standard."""

    def unavailable(self) -> str | None:
        """Return None: NumPy is always there."""
        return None

    def check(self, x: Array) -> None:
        """Take x of any library, device and real floating dtype."""

    def timesteps(self, values: np.ndarray, x: Array) -> Sequence[Array]:
        """Return the timesteps of each row, (B,) each, on the same device as x."""
        if not len(values):
            return ()
        xp, dtype = namespace(x), timestep_dtype(x, values[0].item())
        column = xp.asarray(values[:, None], dtype=dtype, device=device(x))
        table = xp.broadcast_to(column, (len(values), x.shape[0]))
        return [table[k, ...] for k in range(len(values))]

    def normal(self, x: Array, keys: np.ndarray, words: Sequence[int]) -> Array:
        """Return the noise of a draw, like x; see `philox`."""
        return keyed_normal(x, keys, words)

    def update(
        self, rows: Rows, x: Array, keys: np.ndarray | None, *, reuse: bool
    ) -> "Functional | InPlace":
        """Return what takes x through the rows."""
        if type(x) in (np.ndarray, np.memmap) and rows.numbers:
            return InPlace(rows, x, keys, reuse=reuse)
        return Functional(rows, keys)


class Functional(EveryRow):
    """Updates x by operations that return new arrays, for gradients and tracers to follow.

    Args:
        rows: The rows to run.
        keys: The keys of noise that is made here, or None.
    """

    def __init__(self, rows: Rows, keys: np.ndarray | None) -> None:
        super().__init__(rows, keys)
        self.memories: dict[int, Array] = {}

    def input_of(self, k: int, x: Array) -> Array:
        """Return the network's input in row k."""
        check_memory("x", x)
        c_in = self.rows.rows[k].c_in
        return x if isinstance(c_in, float) and c_in == 1 else weighted([(c_in, x)])

    def after(
        self,
        k: int,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        """Return x after row k."""
        check_memory("x", x)  # which a network had in its hands
        row, clip = self.rows.rows[k], self.rows.clip
        d = output if x0 is None else x0
        if row.read is not None and clip is not None:
            d = weighted(zip(row.read, (x, output), strict=True), rounded=False)
            d = namespace(x).clip(d, *clip)
        terms = [(row.x, x), (row.d, d), (row.raw, output)]
        terms += [(weight, self.memories[k - back]) for weight, back in row.memories]
        if given(row.noise):
            if self.keys is not None:
                noise = keyed_normal(x, self.keys, self.rows.words[k], rounded=False)
            terms.append((deviation(row, variance), noise))
        after = weighted(terms)
        self.memories.pop(k - self.rows.depth, None)
        if row.memory is not None:
            self.memories[k] = weighted(zip(row.memory, (x, d, output), strict=True))
        return after

    def memory_of(self, k: int) -> Array:
        """Return what row k remembered."""
        return self.memories[k]

    def remember(self, k: int, memory: Array) -> None:
        """Keep an array as what row k remembered."""
        self.memories[k] = memory


class Blocks:
    """Takes flat arrays of NumPy through a row, a block at a time.

    Args:
        dtype: Of the arrays.
        size: How many elements they have.
    """

    def __init__(self, dtype: Any, size: int) -> None:
        self.wide = np.promote_types(dtype, np.float32)
        block = min(BLOCK, size)
        self.sum, self.product, self.x0 = (np.empty(block, self.wide) for _ in range(3))

    def take(
        self,
        row: Row,
        clip: tuple[float, float] | None,
        x: np.ndarray,
        d: np.ndarray,
        raw: np.ndarray,
        terms: Sequence[tuple[float, np.ndarray]],
        to: np.ndarray,
        slot: np.ndarray | None,
    ) -> None:
        """Write x after a row.

        Args:
            row: The row.
            clip: (low, high), between which the x0 prediction is clamped here; or None.
            x: x before it.
            d: The output, or the bounded x0 prediction.
            raw: The output.
            terms: Weights, and the memories and the noise that they multiply.
            to: Where x after the row is written; it shares no memory with the others.
            slot: Where what the row remembers is written; or None.
        """
        for start in range(0, x.size, BLOCK):
            part = slice(start, start + BLOCK)
            now = x[part], d[part], raw[part]
            if row.read is not None and clip is not None:
                x0 = self.x0[: now[0].size]
                self._combine(x0, zip(row.read, (now[0], now[2]), strict=True))
                now = now[0], np.clip(x0, *clip, out=x0), now[2]
            own = zip((row.x, row.d, row.raw), now, strict=True)
            self._combine(to[part], [*own, *((weight, old[part]) for weight, old in terms)])
            if slot is not None and row.memory is not None:
                self._combine(slot[part], zip(row.memory, now, strict=True))

    def _combine(self, to: np.ndarray, terms: Iterable[tuple[float, np.ndarray]]) -> None:
        """Write Σ weight values to a block: computed in the wide type, and rounded once."""
        total = to if to.dtype == self.wide else self.sum[: to.size]
        empty = True
        for weight, values in terms:
            if weight == 0:
                continue
            if empty:
                np.multiply(values, weight, out=total, dtype=self.wide)
                empty = False
            else:
                product = self.product[: to.size]
                total += np.multiply(values, weight, out=product, dtype=self.wide)
        if empty:
            total[:] = 0.0
        if total is not to:
            to[:] = total


class InPlace(EveryRow):
    """Updates NumPy arrays in two buffers that it owns, a block at a time.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made here, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new array.
    """

    def __init__(self, rows: Rows, x: np.ndarray, keys: np.ndarray | None, *, reuse: bool) -> None:
        super().__init__(rows, keys)
        self.reuse = reuse
        self.shape = x.shape
        self.wide = np.promote_types(x.dtype, np.float32)
        self.ring = [np.empty(x.size, x.dtype) for _ in range(rows.depth)]
        self.own: list[np.ndarray] = []
        self.blocks = Blocks(x.dtype, x.size)

    def input_of(self, k: int, x: np.ndarray) -> np.ndarray:
        """Return the network's input in row k."""
        c_in = self.rows.rows[k].c_in
        if c_in == 1:
            return x
        scaled = self._apart_from(x)
        np.multiply(x, c_in, out=scaled, dtype=self.wide, casting="same_kind")
        return scaled

    def after(
        self,
        k: int,
        x: np.ndarray,
        output: np.ndarray,
        x0: np.ndarray | None,
        variance: np.ndarray | None,
        noise: np.ndarray | None,
    ) -> np.ndarray:
        """Return x after row k."""
        row, clip = self.rows.rows[k], self.rows.clip
        bounded = output if x0 is None else x0
        after = self._apart_from(x, output, bounded)
        from_x, to, d, raw = (
            np.asarray(array).reshape(-1) for array in (x, after, bounded, output)
        )
        terms = [(weight, self.ring[(k - back) % self.rows.depth]) for weight, back in row.memories]
        if row.noise:
            if self.keys is not None:
                noise = keyed_normal(x, self.keys, self.rows.words[k], rounded=False)
            scale = deviation(row, variance)
            if isinstance(scale, np.ndarray):
                noise, scale = weighted([(scale, noise)], rounded=False), 1.0
            terms.append((scale, np.asarray(noise).reshape(-1)))
        slot = self.ring[k % self.rows.depth] if row.memory is not None else None
        self.blocks.take(row, clip, from_x, d, raw, terms, to, slot)
        return after

    def memory_of(self, k: int) -> np.ndarray:
        """Return a copy of what row k remembered."""
        return self.ring[k % self.rows.depth].reshape(self.shape).copy()

    def remember(self, k: int, memory: np.ndarray) -> None:
        """Keep the values of an array as what row k remembered."""
        self.ring[k % self.rows.depth][:] = memory.reshape(-1)

    def _apart_from(self, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
        """Return an array to write to, which neither x nor the others lie in."""
        after: np.ndarray = apart_from(np, (x, *others), x, self.own if self.reuse else None)
        return after


def apart_from(xp: Any, read: Sequence[Array], like: Array, own: list[Array] | None) -> Array:
    """Return an array to write to, which nothing that is read lies in: one of two, or a new one.

    Args:
        xp: NumPy, or CuPy.
        read: What is read while it is written to.
        like: What its shape and dtype are those of.
        own: The two, or as many as were made; None: it must be new.
    """
    for mine in own or ():
        if not any(xp.may_share_memory(mine, array) for array in read):
            return mine
    new = xp.empty(like.shape, dtype=like.dtype)
    if own is not None and len(own) < 2:
        own.append(new)
    return new


def deviation(row: Row, variance: Array | None) -> Any:
    """Return the coefficient of a row's noise: a number, or where it is learned an array."""
    if row.log_variance is None:
        return row.noise
    middle, half = row.log_variance
    xp = namespace(variance)
    return row.noise * xp.exp((middle + half * widened(variance)) / 2)
