"""`TimestepRemap`: a network for loops over the positions of a short schedule."""

from typing import Any

from schedalg.arrays import Array, device, namespace
from schedalg.checks import check_callable, check_sample, checked_positions, positive_integer
from schedalg.network.model import Model
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.timesteps import timestep_dtype


class TimestepRemap:
    """A network that is called with positions in a short schedule in place of timesteps.

    `remapped(x, k)` is `model(x, schedule.timesteps[k])`: the adapter for a loop over 0 … N-1 that
    was written for a network trained on N steps. Samplers of this library need none.

    Args:
        model: Called as `model(x, timesteps, **kwargs)`.
        schedule: Whose timesteps to look up.
        rescale_timesteps: Tell the network t · 1000 / original_num_steps as a float, which some
            checkpoints were trained with.
        original_num_steps: Number of steps that the network was trained on. Needed to rescale: a
            short schedule does not tell it.

    Raises:
        TypeError: `original_num_steps` is no integer.
        ValueError: It is missing or below 1, or the schedule has no points.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, TimestepRemap
        >>> fast = Schedule.linear(1000).subsample(every=10)
        >>> told = TimestepRemap(lambda x, timesteps: timesteps, fast)
        >>> told(np.zeros((2, 3)), np.array([99, 7]))
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
        if rescale_timesteps:
            if original_num_steps is None:
                raise ValueError("rescale_timesteps needs original_num_steps, as trained on")
            self.timesteps = self.timesteps * (1000.0 / steps)
        self._tables: dict[tuple[str, str, str], Array] = {}

    def __call__(self, x: Array, k: Array, **kwargs: Any) -> Array:
        """Return `model(x, timesteps[k], **kwargs)`.

        Args:
            x: (B, ...), the network's input.
            k: (B,) integers, 0 ≤ k < N: one position a sample.
            **kwargs: Handed on.

        Raises:
            TypeError: k holds no integers.
            ValueError: There is not one position a sample, or one is out of range (which on JAX and
                on GPUs is left to the library: looking would stop the device).
        """
        check_sample("x", x)
        position = checked_positions("k", k, len(self.timesteps), x)
        xp = namespace(x)
        if position.ndim == 0:
            position = xp.broadcast_to(position, (x.shape[0],))
        return self.model(x, xp.take(self._table(x), position), **kwargs)

    def _table(self, x: Array) -> Array:
        """Return the timesteps beside x; uploaded once for each library, device and precision."""
        xp = namespace(x)
        dtype = timestep_dtype(x, self.timesteps[0].item())
        key = xp.__name__, str(device(x)), str(dtype)
        if key not in self._tables:
            self._tables[key] = xp.asarray(self.timesteps, dtype=dtype, device=device(x), copy=True)
        return self._tables[key]
