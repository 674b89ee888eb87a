"""The update as one kernel a step, with all numbers in a table on the device."""

from collections.abc import Sequence

import numpy as np

from schedalg.arrays import Array, Namespace, weighted
from schedalg.running.per_sample import EveryRow
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
        return self._memories()[k % self.rows.depth].copy()

    def remember(self, k: int, memory: Array) -> None:
        """Keep the values of an array as what row k remembered."""
        self._memories()[k % self.rows.depth] = memory

    def _memories(self) -> Array:
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
        scaled = self.scaled and k + 1 < len(self.rows.rows)
        model_input = (
            apart_from(xp, read, x, self.inputs if self.reuse else None) if scaled else after
        )
        if x.size:
            batch = x.shape[0]
            count = x.size // batch
            raw = batched(output, xp)
            d = raw if x0 is None else batched(x0, xp)
            v = d if variance is None else batched(variance, xp)
            now = flat(x, xp)
            self.kernels.step(
                now,
                d,
                raw,
                v,
                now if noise is None else flat(noise, xp),
                self.key_words,
                self.draws,
                self.table,
                k,
                count,
                x.size,
                d.strides[0] // d.itemsize,
                raw.strides[0] // raw.itemsize,
                v.strides[0] // v.itemsize,
                self.rows.depth,
                self.rows.clip is not None,
                self.rows.raw,
                self.keys is not None,
                variance is not None and self.rows.rows[k].log_variance is not None,
                scaled,
                after.reshape(-1),
                model_input.reshape(-1),
                self.ring,
                size=items(batch, count),
            )
        self.next_input = (k + 1, model_input) if scaled else None
        return after


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
