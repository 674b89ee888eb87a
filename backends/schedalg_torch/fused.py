"""The update as one kernel a step, with all numbers in a table on the device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.running.rows import Rows
from schedalg_torch.layout import Layout
from schedalg_torch.memory import shares_memory, written
from schedalg_torch.optional import made
from schedalg_torch.update import WritesInput

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
        self.step = kernel.step
        self.real = kernel.tl.float64 if x.dtype == torch.float64 else kernel.tl.float32
        with torch.inference_mode(False):  # a run may outlive the mode that it begins in
            self.table = on_device(rows.table(rows.depth), x, real_dtype(x))
            self.key_words = None if keys is None else on_device(keys.view(np.int64), x)
            self.draws = on_device(rows.draws, x)
            self.positions = on_device(np.arange(len(rows.rows)), x).split(1)

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
        target = now if in_place else self.buffers.next(now, output.data_ptr(), d.data_ptr())
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
    ) -> None:
        """Take flat x through the row whose index `position` holds, on the device.

        `after` may be x itself, and must share no memory with d, which is the output or the bounded
        x0 prediction, nor with the output.
        """
        rows, layout = self.rows, self.layout
        batch = layout.shape[0]
        count = x.numel() // max(batch, 1)
        if x.numel() == 0:
            return
        d, raw = layout.batched(d), layout.batched(output) if rows.raw else d
        v = None if variance is None else layout.batched(variance)
        z = None if noise is None else layout.flat(noise)
        source = 0 if not any(rows.noisy) else 1 if self.keys is None else 2
        self.step[(batch * -(-count // BLOCK),)](
            x,
            d,
            raw,
            d if v is None else v,
            d if z is None else z,
            after,
            after if self.model_input is None else self.model_input.flat,
            self.ring,
            self.table if self.key_words is None else self.key_words,
            self.draws,
            self.table,
            position,
            count,
            layout.channels,
            d.stride(0),
            raw.stride(0),
            0 if v is None else v.stride(0),
            x.numel(),
            DEPTH=rows.depth,
            READ=rows.clip is not None,
            RAW=rows.raw,
            NOISE=source,
            LEARNED=v is not None and rows.rows[0].log_variance is not None,
            WRITES_INPUT=self.model_input is not None,
            TOGETHER=layout.channels_last,
            BLOCK=BLOCK,
            REAL=self.real,
            **_OPTIONS,
        )


def current_device(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which kernels are launched on x's device; Triton takes the current."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


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
    table = torch.from_numpy(values.repeat(x.shape[0])).view(len(values), x.shape[0])
    if x.device.type == "cpu" and table.dtype is dtype:
        return table
    return table.to(x.device, dtype, non_blocking=True)
