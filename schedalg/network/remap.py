"""`TimestepRemap`: a network that takes positions in a respaced schedule."""

from typing import Any

import numpy as np

from schedalg import tables
from schedalg.arrays import Array, known, namespace
from schedalg.checks import (
    check_callable,
    check_sample,
    checked_positions,
    flag,
    positive_integer,
)
from schedalg.network.model import Model
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.timesteps import timestep_dtype


class TimestepRemap:
    """A network that is called with positions in a respaced schedule in place of timesteps.

    `remapped(x, k)` is `model(x, schedule.timesteps[k])`. It adapts a loop over 0 … N-1, written
    for a network trained on N steps, to a network trained on more. The samplers of this library do
    not need it.

    Args:
        model: Called as `model(x, timesteps, **kwargs)`.
        schedule: The respaced schedule.
        rescale_timesteps: Whether the network is given t · 1000 / original_num_steps as a float, as
            some checkpoints need.
        original_num_steps: Number of steps that the network was trained on. It is needed with
            `rescale_timesteps`, since a respaced schedule does not hold it.

    Raises:
        TypeError: `original_num_steps` is not an integer.
        ValueError: `original_num_steps` is below 1, or needed and not given; or the schedule has no
            points.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, TimestepRemap
        >>> fast = Schedule.linear(1000).subsample(every=10)
        >>> remapped = TimestepRemap(lambda x, timesteps: timesteps, fast)
        >>> remapped(np.zeros((2, 3)), np.array([99, 7]))
        array([990,  70])

    Source: the wrapped model of OpenAI's `SpacedDiffusion`.
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        rescale_timesteps: bool = False,
        original_num_steps: int | None = None,
    ) -> None:
        check_callable("model", model)
        check_schedule(schedule)
        if len(schedule) == 0:
            raise ValueError("schedule has no points, and so no timestep to map to")
        self.model = model
        self.timesteps = schedule.timesteps
        if original_num_steps is not None:
            steps = positive_integer("original_num_steps", original_num_steps)
        if flag("rescale_timesteps", rescale_timesteps):
            if original_num_steps is None:
                raise ValueError(
                    "rescale_timesteps needs original_num_steps, the number of training steps"
                )
            self.timesteps = self.timesteps * (1000.0 / steps)
        self.timesteps.flags.writeable = False
        self._values, self._dtype = self.timesteps.tobytes(), self.timesteps.dtype.str
        self._count, self._first = len(self.timesteps), self.timesteps[0].item()

    def __call__(self, x: Array, k: Array, **kwargs: Any) -> Array:
        """Return `model(x, timesteps[k], **kwargs)`.

        Args:
            x: (B, ...), the model input.
            k: (B,) integers, 0 ≤ k < N, one position for each sample; or one for all. For x
                (B, T, ...) also (B, T), one for each frame, and so for any leading part of x's
                shape: the network is given timesteps of the same shape.
            **kwargs: Passed to the network.

        Raises:
            TypeError: k does not hold integers.
            ValueError: The shape of k does not begin that of x, or a position is out of range.
                (With JAX, on GPUs and under `torch.compile` the range is not checked, since that
                would synchronize the device.)
        """
        check_sample("x", x)
        position = checked_positions("k", k, self._count, x)
        dtype = timestep_dtype(x, self._first)
        table = tables.copied(x, dtype, _row, self._values, self._dtype)
        (timesteps,) = known(x).rows_at(table, position)
        if timesteps.ndim == 1 and timesteps.shape != x.shape[:1]:
            timesteps = namespace(x).tile(timesteps, x.shape[:1])
        return self.model(x, timesteps, **kwargs)


def _row(values: bytes, dtype: str) -> np.ndarray:
    return np.frombuffer(values, dtype)[None]
