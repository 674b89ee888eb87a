"""Samples of a pool on a GPU: one kernel launch a step, whatever rows they are in."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from torch import Tensor

from schedalg.running.device_stack import DeviceStack
from schedalg_torch.fused import current_device, launch
from schedalg_torch.layout import Layout
from schedalg_torch.stack import TorchStack


class FusedStack(TorchStack, DeviceStack):
    """Tensors of one device, each at a row of a plan of its own.

    Args:
        shape: That of a sample.
        like: A tensor of the samples' dtype and device.
        clip: The bounds of x0 predictions, or None.
        kernel: The module that holds the kernels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Tensor,
        clip: tuple[float, float] | None,
        kernel: Any,
    ) -> None:
        super().__init__(shape, like, clip, np.int64)
        self.kernel = kernel
        self.compiled: dict[tuple[object, ...], Any] = {}

    def there(self) -> AbstractContextManager[Any]:
        """Return a context in which kernels are launched on the samples' device."""
        return current_device(self.like)

    def launch(
        self, output: Tensor, variance: Tensor | None, ahead: Tensor, row_at: Tensor
    ) -> None:
        """Take samples through rows, x and memories in place."""
        layout = Layout(ahead.shape, False)
        launch(
            self.kernel,
            self.compiled,
            (self.x, self.x, ahead, self.ring),
            ahead.shape[0],
            layout.samples(output),
            None,
            None if variance is None else layout.samples(variance),
            None,
            (self.key_words, self.words, self.table, row_at),
            depth=self.ring.shape[0],
            clipped=self.clip is not None,
            unbounded=self.unbounded,
            noisy=self.noisy,
            learned=bool(self.learned),
            scaled=True,
            each=True,
        )
