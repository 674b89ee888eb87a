"""A step with its network, captured once as a CUDA graph and replayed for every row."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from schedalg.running.backend import Network
from schedalg.running.rows import Rows
from schedalg_torch.fused import Fused, on_device, timestep_table
from schedalg_torch.memory import shares_memory


class Step:
    """One row of a plan, the call of the network included, that reads its number on the device.

    So every row is the same work on the same memory. x is updated in place.

    Args:
        rows: The rows; all numbers.
        values: The timestep of each.
        x: What they start from, which is not written to.
        keys: The keys of noise, or None if no row has any.
        network: Called with its input and the timesteps; returns its output, and its variance.
        kernel: The module that holds the kernels.

    Attributes:
        result: x, wherever it is.
    """

    def __init__(
        self,
        rows: Rows,
        values: np.ndarray,
        x: Tensor,
        keys: np.ndarray | None,
        network: Network,
        kernel: Any,
    ) -> None:
        self.network = network
        self.fused = Fused(rows, x, keys, reuse=True, kernel=kernel)
        self.table = timestep_table(values, x)
        self.timesteps = torch.empty_like(self.table[:1])
        self.position = on_device(np.zeros(1, dtype=np.int64), x)
        self.after = self.fused.buffers.new()
        self.result, self.x = self.after.tensor, self.after.flat
        self.start = x
        self.first_c_in = rows.rows[0].c_in
        self.reset()

    def reset(self) -> None:
        """Go back to the first row."""
        self.position.zero_()
        self.result.copy_(self.start)
        if self.fused.model_input is not None:
            torch.mul(self.start, self.first_c_in, out=self.fused.model_input.tensor)

    def __call__(self) -> None:
        """Take x through the row that `position` says, and go on to the next."""
        model_input = (
            self.result if self.fused.model_input is None else self.fused.model_input.tensor
        )
        torch.index_select(self.table, 0, self.position, out=self.timesteps)
        output, variance = self.network(model_input, self.timesteps[0])
        for mine in (self.after, self.fused.model_input):
            if mine is not None and not mine.is_intact():
                raise ValueError(
                    "the network changed the memory of its input, which a captured step uses again"
                )
        if shares_memory(output, model_input):
            output = output.clone()  # what it shares with x is about to be written to
        self.fused.launch(self.position, self.x, self.x, output, output, variance, None)
        self.position.add_(1)


@torch.no_grad()
def replayed(step: Step) -> Tensor:
    """Return x after the last row."""
    with torch.cuda.device(step.x.device):
        # Capture wants everything that is made once (kernels, workspaces) made before it.
        own = torch.cuda.Stream()
        own.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(own):
            for _ in range(2):
                step()
                step.reset()
        torch.cuda.current_stream().wait_stream(own)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=own):
            step()
        for _ in range(len(step.table)):
            graph.replay()
    return step.result
