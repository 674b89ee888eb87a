"""The update as one kernel a step, with all numbers in a table on the device."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, Namespace, weighted
from schedalg.running.per_sample import EveryRow, PerSample
from schedalg.running.reference import apart_from
from schedalg.running.rows import Rows
from schedalg_cupy.kernels import Kernels


class Fused(EveryRow):
    """Updates arrays of one device by one launch a row, with no synchronization.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made in the kernel, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new array.
        kernels: What is launched.
    """

    def __init__(
        self, rows: Rows, x: Array, keys: np.ndarray | None, *, reuse: bool, kernels: Kernels
    ) -> None:
        super().__init__(rows, keys)
        self.reuse = reuse
        self.kernels = kernels
        self.scaled = rows.scaled
        self.shape = x.shape
        self.own: list[Array] = []
        self.inputs: list[Array] = []
        self.next_input: tuple[int, Array] | None = None
        xp = kernels.xp
        with kernels.on_device(x):
            self.ring = xp.empty(rows.depth * x.size, dtype=x.dtype)
            self.table, self.draws = self._numbers(x)
            self.key_words = xp.asarray(
                np.zeros(2, np.uint64) if keys is None else keys.reshape(-1)
            )

    def _numbers(self, x: Array) -> tuple[Array, Array]:
        """Return the table and the counter words of each row's noise, on x's device.

        They are copied once for each stream, since a stream does not wait for copies of another.
        """
        rows, xp = self.rows, self.kernels.xp
        dtype = np.promote_types(x.dtype, np.float32)
        key = ("numbers", self.kernels.stream(x), dtype)
        if key not in rows.cache:
            draws = xp.asarray(rows.draws.view(np.uint64).reshape(-1))
            rows.cache[key] = xp.asarray(rows.table(rows.depth).astype(dtype)), draws
        kept: tuple[Array, Array] = rows.cache[key]
        return kept

    @property
    def each(self) -> PerSample:
        """What takes samples through rows of their own."""
        if self._each is None:
            self._each = FusedEach(self)
        return self._each

    def input_of(self, k: int, x: Array) -> Array:
        """Return the network's input in row k: written by the row before it, but for the first."""
        c_in = self.rows.rows[k].c_in
        if c_in == 1:
            return x
        if self.next_input is not None and self.next_input[0] == k:
            return self.next_input[1]
        with self.kernels.on_device(x):
            return weighted([(c_in, x)])

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
        with self.kernels.on_device(x):
            return self._after(k, x, output, x0, variance, noise)

    def memory_of(self, k: int) -> Array:
        """Return a copy of what row k remembered."""
        return self.memories()[k % self.rows.depth].copy()

    def remember(self, k: int, memory: Array) -> None:
        """Keep the values of an array as what row k remembered."""
        self.memories()[k % self.rows.depth] = memory

    def memories(self) -> Array:
        """Return the memories by their place, as a view."""
        return self.ring.reshape(self.rows.depth, *self.shape)

    def _after(
        self,
        k: int,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        xp = self.kernels.xp
        read = [array for array in (output, x0, variance, noise) if array is not None]
        # Where its input is another array, the network has not seen x, and x is updated in place.
        apart = read if self.scaled else [x, *read]
        after = apart_from(xp, apart, x, self.own if self.reuse else None)
        scaled = self.scaled and k + 1 < self.rows.count
        model_input = (
            apart_from(xp, read, x, self.inputs if self.reuse else None) if scaled else after
        )
        self.launch(k, x, after, model_input, output, x0, variance, noise)
        self.next_input = (k + 1, model_input) if scaled else None
        return after

    def launch(
        self,
        row: Any,
        x: Array,
        after: Array,
        model_input: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> None:
        """Take x through one row; or each sample through its own, whose place is its number."""
        if x.size == 0:
            return
        xp, rows = self.kernels.xp, self.rows
        raw = batched(output, xp)
        launch(
            self.kernels,
            (flat(x, xp), after.reshape(-1), model_input.reshape(-1), self.ring),
            raw if x0 is None else batched(x0, xp),
            raw,
            None if variance is None else batched(variance, xp),
            None if noise is None else flat(noise, xp),
            (self.key_words, self.draws, self.table),
            row,
            depth=rows.depth,
            clipped=rows.clip is not None,
            unbounded=rows.raw,
            keyed=self.keys is not None,
            learned=rows.learned,
            scaled=model_input is not after,
        )


class FusedEach(PerSample):
    """Takes the samples of one batch through rows of their own by one launch.

    Args:
        fused: What takes all of them through one row, of which the tables and memories are used.
    """

    def __init__(self, fused: Fused) -> None:
        super().__init__(fused.rows, fused.keys)
        self.fused = fused
        self.samples = np.arange(fused.shape[0])
        fused.ring[...] = 0  # a sample may begin with a row that reads memories

    def __call__(
        self,
        k: np.ndarray,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        """Return x after row k[i] for sample i."""
        kernels = self.fused.kernels
        with kernels.on_device(x):
            after = kernels.xp.empty(x.shape, dtype=x.dtype)
            row_at = kernels.xp.asarray(np.stack([k, self.samples], axis=1))
            self.fused.launch(row_at, x, after, after, output, x0, variance, noise)
        return after

    def memory(self, k: np.ndarray) -> Array:
        """Return what each sample remembered in its row k[i]."""
        xp, ring = self.fused.kernels.xp, self.fused.memories()
        with self.fused.kernels.on_device(ring):
            return ring[xp.asarray(k % self.rows.depth), xp.asarray(self.samples)]

    def restore(self, k: np.ndarray, memories: Sequence[Array]) -> None:
        """Go on at rows k, where the rows just before them remembered these, the oldest first."""
        xp, ring = self.fused.kernels.xp, self.fused.memories()
        with self.fused.kernels.on_device(ring):
            for back, memory in zip(range(len(memories), 0, -1), memories, strict=True):
                (there,) = np.nonzero(k >= back)
                samples = xp.asarray(there)
                ring[xp.asarray((k[there] - back) % self.rows.depth), samples] = memory[samples]


def launch(
    kernels: Kernels,
    held: tuple[Array, Array, Array, Array],
    d: Array,
    raw: Array,
    variance: Array | None,
    noise: Array | None,
    tables: tuple[Array, Array, Array],
    row: Any,
    *,
    depth: int,
    clipped: bool,
    unbounded: bool,
    keyed: bool,
    learned: bool,
    scaled: bool,
) -> None:
    """Launch the kernel of a step.

    Args:
        kernels: What is launched.
        held: x, where x after the row is written, where the next input is, and the memories; flat.
        d: The output or the bounded x0 prediction, (B, elements).
        raw: The output, likewise.
        variance: The learned variance, likewise; or None.
        noise: The noise, flat; or None.
        tables: The keys, the draws and the table.
        row: The row; or that of each sample and its place in what is held, (B, 2).
        depth: How many memories a sample has.
        clipped: Whether x0 predictions are clamped.
        unbounded: Whether a row takes the output itself with them.
        keyed: Whether noise is made from the keys.
        learned: Whether a plan takes a learned variance.
        scaled: Whether the next input is written.
    """
    x, after, model_input, ring = held
    keys, draws, table = tables
    batch, count = d.shape
    one_row = row if isinstance(row, int) else None
    v = d if variance is None else variance
    kernels.step(
        x,
        d,
        raw,
        v,
        x if noise is None else noise,
        keys,
        draws,
        table,
        row.reshape(-1) if one_row is None else draws.view(np.int64),  # which is not read
        one_row is None,
        one_row or 0,
        count,
        x.size,
        d.strides[0] // d.itemsize,
        raw.strides[0] // raw.itemsize,
        v.strides[0] // v.itemsize,
        depth,
        clipped,
        unbounded,
        keyed,
        variance is not None and learned,
        scaled,
        after,
        model_input,
        ring,
        size=items(batch, count),
    )


def normal(x: Array, keys: np.ndarray, words: Sequence[int], kernels: Kernels) -> Array:
    """Return the noise of a draw, like x, made on its device."""
    xp = kernels.xp
    with kernels.on_device(x):
        after = xp.empty(x.shape, dtype=x.dtype)
        if x.size:
            batch = x.shape[0]
            count = x.size // batch
            draw = xp.asarray(np.array(words, dtype=np.int64).view(np.uint64))
            to = after.reshape(-1)
            kernels.normal(xp.asarray(keys.reshape(-1)), draw, count, to, size=items(batch, count))
    return after


def flat(x: Array, xp: Namespace) -> Array:
    """Return x in 1-D, a view if it lies in order."""
    return xp.ascontiguousarray(x).reshape(-1)


def batched(x: Array, xp: Namespace) -> Array:
    """Return x as (B, elements), the elements of each sample lying in order; a view if it can.

    The samples may be apart: the first half of the channels of a wider array is not copied.
    """
    if not x[:1].flags.c_contiguous:
        x = xp.ascontiguousarray(x)
    return x.reshape(x.shape[0], -1)


def items(batch: int, count: int) -> int:
    """Return how many items a kernel has for samples of `count` elements."""
    return batch * -(-count // 4)
