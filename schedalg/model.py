"""Adapters of the network: `TimestepRemap` for loops over positions, `Denoiser` for samplers."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from array_api_compat import device

from schedalg.arrays import (
    Array,
    check_like,
    check_sample,
    checked_positions,
    described,
    integer_dtype,
    namespace,
    positive_integer,
    real_number,
)
from schedalg.parameterization import Prediction, parameterization
from schedalg.path import Kind
from schedalg.point import Point
from schedalg.schedule import Schedule

#: A network: `model(x, timesteps, **kwargs)` with x (B, ...) and timesteps (B,), like x in return.
#: It must not write to x.
Model: TypeAlias = Callable[..., Array]


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
        _check_model(model)
        _check_schedule(schedule)
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


class Denoiser:
    """A network as samplers see it: `denoise(x, t)` returns the prediction of x0 at point t.

    The network is called as `model(x, timesteps, **kwargs)`, with a timestep for each sample, and
    sees x in the scale it was trained in, whatever that of the schedule's path.

    Args:
        model: The network.
        schedule: Whose points will be visited.
        prediction: What the output means: "epsilon", "x0" or "v".
        clip: (low, high), between which the x0 prediction is clamped.
        model_kwargs: Handed to the network in every call.

    Raises:
        TypeError: `model` cannot be called, or `clip` is no pair of numbers.
        ValueError: `prediction` is unknown, or `clip` is no interval.

    Example:
        >>> import numpy as np
        >>> from schedalg import Denoiser, Schedule
        >>> s = Schedule.linear(1000)
        >>> denoise = Denoiser(lambda x, timesteps: x, s, "x0", clip=(-1, 1))
        >>> denoise(np.array([[0.5, 3.0]]), s[10])
        array([[0.5, 1. ]])
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        prediction: Prediction = "epsilon",
        *,
        clip: tuple[float, float] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        _check_model(model)
        _check_schedule(schedule)
        self.model = model
        self.prediction = prediction
        self.clip = None if clip is None else _interval(clip)
        self.model_kwargs = dict(model_kwargs or {})
        self._parameterization = parameterization(prediction)
        # The network's scale where the path has another one, which x is brought to before a call.
        same = schedule.network_kind == schedule.kind
        self._network_kind = None if same else schedule.network_kind

    def __call__(self, x: Array, t: Point) -> Array:
        """Return the prediction of x0, like x.

        Raises:
            TypeError: The network returns no array of x's library.
            ValueError: The network's output is not like x; or t has no timestep, or no signal to
                recover x0 from.
        """
        if t.timestep is None:
            raise ValueError("t is clean data: it has no timestep to tell the network")
        if self._parameterization.needs_signal and t.alpha == 0:
            raise ValueError(
                f"prediction={self.prediction!r} does not determine x0 at timestep {t.timestep}, "
                "where alpha is 0 (zero SNR): use a network that predicts 'v' or 'x0'"
            )
        alpha, sigma = t.alpha, t.sigma
        if self._network_kind is not None:
            scale = _scale_to(self._network_kind, alpha, sigma)
            alpha, sigma, x = alpha * scale, sigma * scale, scale * x
        xp = namespace(x)
        dtype = timestep_dtype(x, t.timestep)
        timesteps = xp.full((x.shape[0],), t.timestep, dtype=dtype, device=device(x))
        output = self.model(x, timesteps, **self.model_kwargs)
        check_like(f"model output at timestep {t.timestep}", output, x)
        c_x, c_out = self._parameterization.columns(alpha, sigma)
        x0 = output if self.prediction == "x0" else c_x * x + c_out * output
        return x0 if self.clip is None else xp.clip(x0, *self.clip)


def timestep_dtype(x: Array, timestep: int | float) -> Any:
    """Return the dtype in which a network with input x is told timesteps.

    The library's integer for whole numbers; else x's own type, but at least float32, since half
    precision has no room for 999.5.
    """
    xp = namespace(x)
    if isinstance(timestep, int):
        return integer_dtype(xp, device(x))
    return x.dtype if x.dtype in (xp.float32, xp.float64) else xp.float32


def _scale_to(kind: Kind, alpha: Any, sigma: Any) -> Any:
    """Return the factor that brings x at a point to the scale of `kind`."""
    if kind == "ve":
        return 1 / alpha
    if kind == "flow":
        return 1 / (alpha + sigma)
    return 1 / (alpha**2 + sigma**2) ** 0.5


def _interval(clip: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = clip
    except (TypeError, ValueError):
        raise TypeError(f"clip must be a pair (low, high), got {clip!r}") from None
    low, high = real_number("clip[0]", low), real_number("clip[1]", high)
    if not low < high:
        raise ValueError(f"clip must be (low, high) with low < high, got {clip!r}")
    return low, high


def _check_schedule(schedule: object) -> None:
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule must be a Schedule, got {described(schedule)}")


def _check_model(model: object) -> None:
    if not callable(model):
        raise TypeError(f"model must be callable, got {type(model).__name__}")
