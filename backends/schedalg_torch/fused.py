"""The update as one kernel a step, with all numbers in a table on the device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.running.per_sample import PerSample
from schedalg.running.rows import Rows
from schedalg_torch.layout import Layout
from schedalg_torch.memory import shares_memory, written
from schedalg_torch.optional import made
from schedalg_torch.update import WritesInput, requires_gradient

#: Elements that a program of the kernel takes.
BLOCK = 1024
#: Given, because the default differs between versions of Triton.
_OPTIONS = {"enable_fp_fusion": True}


@cache
def kernels() -> ModuleType | None:
    """Return the kernels, or None where there is no Triton that works."""
    return made("triton", _kernels)


def _kernels() -> ModuleType:
    from schedalg_torch import kernel

    return kernel


class Fused(WritesInput):
    """Updates tensors of one device by one launch a row, with no synchronization.

    Args:
        rows: The rows to run; all numbers.
        x: What they will start from, which is not written to.
        keys: The keys of noise that is made in the kernel, or None.
        reuse: Whether x after a row may be written to in later rows. Otherwise it is a new tensor.
        kernel: The module that holds the kernels.
    """

    def __init__(
        self, rows: Rows, x: Tensor, keys: np.ndarray | None, *, reuse: bool, kernel: Any
    ) -> None:
        super().__init__(rows, x, keys, reuse=reuse, depth=rows.depth)
        self.kernel = kernel
        self.noisy = any(rows.noisy)
        with torch.inference_mode(False):  # a run may outlive the mode that it begins in
            self.table, self.draws, self.positions = _numbers(rows, x)
            self.key_words = None if keys is None else on_device(keys.view(np.int64), x)
        self.compiled: dict[tuple[object, ...], Any] = {}

    @property
    def each(self) -> PerSample:
        """The update that takes each sample through a row of its own."""
        if self._each is None:
            self._each = FusedEach(self)
        return self._each

    def take(
        self,
        k: int,
        x: Tensor,
        d: Tensor,
        output: Tensor,
        variance: Tensor | None,
        noise: Any,
    ) -> Tensor:
        """Return x after row k."""
        ahead, now = self.input_buffer(k), self.buffers.of(x)
        if ahead is not None:  # where the next input is about to be written
            output = output.clone() if shares_memory(output, ahead.tensor) else output
            d = d.clone() if shares_memory(d, ahead.tensor) else d
        # Where its input is another tensor, the network has not seen x, and x is updated in place;
        # unless a denoiser that scales for itself has.
        in_place = ahead is not None and now is self.buffers.latest and self.buffers.reuse
        in_place = in_place and not shares_memory(output, x) and not shares_memory(d, x)
        target = now
        if not in_place:
            target, _ = self.buffers.next(now, output.data_ptr(), d.data_ptr())
        with current_device(x):
            self.launch(self.positions[k], now.flat, target.flat, d, output, variance, noise)
        written(target.flat)
        if ahead is not None:
            written(ahead.flat)
        return target.tensor

    def launch(
        self,
        position: Tensor,
        x: Tensor,
        after: Tensor,
        d: Tensor,
        output: Tensor,
        variance: Tensor | None,
        noise: Tensor | None,
        *,
        each: bool = False,
    ) -> None:
        """Take flat x through the row whose index `position` holds, on the device.

        With `each`, `position` is (B, 2): the row of each sample, and the sample's index.

        `after` may be x itself, and must share no memory with d, which is the output or the bounded
        x0 prediction, nor with the output.
        """
        rows, layout = self.rows, self.layout
        if x.numel() == 0:
            return
        launch(
            self.kernel,
            self.compiled,
            (x, after, after if self.model_input is None else self.model_input.flat, self.ring),
            layout.shape[0],
            layout.samples(d),
            layout.samples(output) if rows.raw else None,
            None if variance is None else layout.samples(variance),
            None if noise is None else layout.flat(noise),
            (self.key_words, self.draws, self.table, position),
            channels=layout.channels,
            depth=rows.depth,
            clipped=rows.clip is not None,
            unbounded=rows.raw,
            noisy=self.noisy,
            learned=rows.learned,
            scaled=self.model_input is not None and not each,
            each=each,
        )


def _numbers(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return the table, the counter words of each row's noise and row numbers, on x's device.

    They are copied once for each stream, since a stream does not wait for copies of another.
    """
    dtype = real_dtype(x)
    stream = torch.cuda.current_stream(x.device) if x.is_cuda else None
    key = ("numbers", x.device, stream, dtype)
    if key not in rows.cache:
        # Two words apart: aligned alike, so that Triton compiles one kernel for all rows.
        numbers = on_device(np.arange(rows.count).repeat(2), x)[::2].split(1)
        table = on_device(rows.table(rows.depth), x, dtype)
        rows.cache[key] = table, on_device(rows.draws, x), numbers
    kept: tuple[Tensor, Tensor, tuple[Tensor, ...]] = rows.cache[key]
    return kept


class FusedEach(PerSample):
    """Takes the samples of one batch through rows of their own by one launch.

    Once a tensor requires a gradient, the remaining rows are run by `PerSample`.

    Args:
        fused: The update of whole batches, whose tables and memories are used.
    """

    def __init__(self, fused: Fused) -> None:
        super().__init__(fused.rows, fused.keys)
        self.fused = fused
        self.needs_gradient = False
        self.samples = np.arange(fused.layout.shape[0])
        fused.ring.zero_()  # a sample may begin with a row that reads memories

    def __call__(
        self,
        k: np.ndarray,
        x: Tensor,
        output: Tensor,
        x0: Tensor | None,
        variance: Tensor | None,
        noise: Tensor | None,
    ) -> Tensor:
        """Return x after row k[i] for sample i."""
        if self.needs_gradient or requires_gradient(x, output, x0, variance, noise):
            self._leave_kernel(k)
            x_after: Tensor = super().__call__(k, x, output, x0, variance, noise)
            return x_after
        after = self.fused.buffers.new()
        row_at = on_device(np.stack([k, self.samples], axis=1), x)
        d = output if x0 is None else x0
        with current_device(x):
            now = self.fused.layout.flat(x)
            self.fused.launch(row_at, now, after.flat, d, output, variance, noise, each=True)
        return after.tensor

    def memory(self, k: np.ndarray) -> Tensor:
        """Return what each sample remembered in its row k[i]."""
        if self.needs_gradient:
            kept: Tensor = super().memory(k)
            return kept
        memories = self._memories()
        places = on_device(np.stack([k % self.rows.depth, self.samples]), memories)
        return self.fused.layout.shaped(memories[places[0], places[1]].view(-1))

    def restore(self, k: np.ndarray, memories: Sequence[Tensor]) -> None:
        """Continue at rows k, with the memories of the rows just before them, the oldest first."""
        if requires_gradient(*memories):
            self.needs_gradient = True
            super().restore(k, memories)
            return
        ring = self._memories()
        for back, memory in zip(range(len(memories), 0, -1), memories, strict=True):
            (there,) = np.nonzero(k >= back)
            places = on_device(np.stack([(k[there] - back) % self.rows.depth, there]), ring)
            kept = self.fused.layout.flat(memory).view(len(k), -1)
            ring[places[0], places[1]] = kept[places[1]].to(ring.dtype)

    def _memories(self) -> Tensor:
        """Return the memories by their place and sample, as a view, (depth, B, elements)."""
        return self.fused.ring.view(self.rows.depth, len(self.samples), -1)

    def _leave_kernel(self, k: np.ndarray) -> None:
        """Continue without the kernel, with the memories so far."""
        if not self.needs_gradient and self.rows.depth:
            backs = range(self.rows.depth, 0, -1)
            super().restore(k, [self.memory(np.maximum(k - back, 0)) for back in backs])
        self.needs_gradient = True


def launch(
    kernel: Any,
    compiled: dict[tuple[object, ...], Any],
    held: tuple[Tensor, Tensor, Tensor, Tensor],
    batch: int,
    d: tuple[Tensor, int],
    raw: tuple[Tensor, int] | None,
    variance: tuple[Tensor, int] | None,
    noise: Tensor | None,
    tables: tuple[Tensor | None, Tensor, Tensor, Tensor],
    *,
    depth: int,
    clipped: bool,
    unbounded: bool,
    noisy: bool,
    learned: bool,
    scaled: bool,
    channels: int = 1,
    each: bool = False,
) -> None:
    """Launch the kernel of a step.

    Args:
        kernel: The module that holds it.
        compiled: The kernels that earlier launches compiled, for x of one device and dtype.
        held: x, the memory for x after the row, that for the next model input, and the memories.
        batch: How many samples there are.
        d: The output or the bounded x0 prediction, and the distance from one sample to the next,
            in elements.
        raw: The output, likewise; None: it is d.
        variance: The learned variance, likewise; or None.
        noise: The noise, in the order of the elements; None: it is made from keys.
        tables: The keys or None, the counter words of each row's noise, the table, and the row: one
            for all samples; or, with `each`, (B, 2), each sample's row and its place in `held`.
        depth: How many memories a sample has.
        clipped: Whether x0 predictions are clamped.
        unbounded: Whether a row also takes the output itself, unclamped.
        noisy: Whether a row has noise.
        learned: Whether a plan takes a learned variance.
        scaled: Whether the next input is written.
        channels: How many channels lie next to one another in memory: 1 unless they are innermost.
        each: Whether samples are in rows of their own.
    """
    x, after, model_input, ring = held
    keys, draws, table, row_at = tables
    count = d[0].numel() // batch
    read = d, d if raw is None else raw, (d[0], 0) if variance is None else variance
    tensors = (
        x,
        *(tensor for tensor, _ in read),
        d[0] if noise is None else noise,
        after,
        model_input,
        ring,
        table if keys is None else keys,
        draws,
        table,
        row_at,
    )
    numbers = (
        count,
        channels,
        *(apart for _, apart in read),
        x.numel(),
        depth,
        clipped,
        unbounded,
        0 if not noisy else 1 if keys is None else 2,
        variance is not None and learned,
        scaled,
        channels > 1,
        each,
        BLOCK,
    )
    # All that Triton chooses a kernel by: numbers, dtypes and which addresses are multiples of 16.
    # Triton itself takes several times longer to find the kernel.
    key = (*numbers, *(tensor.dtype for tensor in tensors[1:5]))
    places = 0
    for tensor in tensors:
        places |= tensor.data_ptr()
    known = compiled.get(key) if places % 16 == 0 else None
    grid = (batch * -(-count // BLOCK), 1, 1)
    real = kernel.tl.float64 if table.dtype is torch.float64 else kernel.tl.float32
    if known is not None:
        known[grid](*tensors, *numbers, real)
        return
    launched = kernel.step[grid](*tensors, *numbers, real, **_OPTIONS)
    if places % 16 == 0:
        compiled[key] = launched


def current_device(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which kernels are launched on x's device; Triton takes the current."""
    if not x.is_cuda or x.device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(x.device)


def normal(x: Tensor, keys: np.ndarray, words: Sequence[int], kernel: Any) -> Tensor:
    """Return the noise of a draw, like x, made on its device."""
    layout = Layout.of(x)
    after = layout.empty(x)
    flat = layout.flat(after)
    batch = x.shape[0]
    count = flat.numel() // max(batch, 1)
    if flat.numel():
        with current_device(x):
            kernel.normal[(batch * -(-count // BLOCK),)](
                flat,
                on_device(keys.view(np.int64), x),
                on_device(np.array(words, dtype=np.int64), x),
                count,
                layout.channels,
                TOGETHER=layout.channels_last,
                BLOCK=BLOCK,
                REAL=kernel.tl.float64 if x.dtype == torch.float64 else kernel.tl.float32,
                **_OPTIONS,
            )
    return after


def real_dtype(x: Tensor) -> torch.dtype:
    """Return the type in which x is computed with."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def on_device(values: np.ndarray, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers on x's device, sent without waiting for it."""
    return torch.tensor(values, dtype=dtype, device="cpu").to(x.device, non_blocking=True)


def timestep_table(values: np.ndarray, x: Tensor) -> Tensor:
    """Return timesteps for the network, (K, B), on x's device: a row for each."""
    dtype = torch.int64
    if (
        values.dtype.kind == "f"
    ):  # x's own, but at least float32: see `schedule.timesteps.timestep_dtype`
        dtype = torch.promote_types(x.dtype, torch.float32)
    if dtype is torch.float32:
        values = values.astype(np.float32)
    # Memory of NumPy, which networks that are given a row of the table cannot free.
    table = torch.from_numpy(values.repeat(x.shape[0]).reshape(len(values), x.shape[0]))
    if x.is_cpu and table.dtype is dtype:
        return table
    return table.to(x.device, dtype, non_blocking=True)
