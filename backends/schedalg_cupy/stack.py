"""Samples of a pool on a device: one launch of the kernel of a step, whatever rows they are in."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from schedalg.arrays import Array
from schedalg.running.device_stack import DeviceStack
from schedalg_cupy.fused import batched, launch
from schedalg_cupy.kernels import Kernels


class FusedStack(DeviceStack):
    """Arrays of one device, each at a row of a plan of its own.

    Args:
        shape: That of a sample.
        like: An array of the samples' dtype and device.
        clip: The bounds of x0 predictions, or None.
        kernels: What is launched.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Array,
        clip: tuple[float, float] | None,
        kernels: Kernels,
    ) -> None:
        self.kernels = kernels
        with kernels.on_device(like):
            super().__init__(shape, like, clip, np.uint64)

    def there(self) -> AbstractContextManager[Any]:
        """Return a context in which what is done is done on the samples' device."""
        return self.kernels.on_device(self.like)

    def launch(self, output: Array, variance: Array | None, ahead: Array, row_at: Array) -> None:
        """Take samples through rows, x and memories in place."""
        xp = self.kernels.xp
        raw, x = batched(output, xp), self.x.reshape(-1)
        launch(
            self.kernels,
            (x, x, ahead.reshape(-1), self.ring.reshape(-1)),
            raw,
            raw,
            None if variance is None else batched(variance, xp),
            None,
            (self.key_words.reshape(-1), self.words.reshape(-1), self.table.reshape(-1)),
            row_at,
            depth=self.ring.shape[0],
            clipped=self.clip is not None,
            unbounded=self.unbounded,
            keyed=True,
            learned=bool(self.learned),
            scaled=True,
        )
