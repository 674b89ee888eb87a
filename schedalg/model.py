"""Adapters of the network: `TimestepRemap` for loops over positions, `Denoiser` for samplers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from array_api_compat import device

from schedalg.arrays import (
    Array,
    integer_dtype,
    is_array,
    is_real_floating,
    namespace,
    positive_integer,
    real_number,
)
from schedalg.parameterization import Prediction, parameterization
from schedalg.training import checked_positions

if TYPE_CHECKING:
    from schedalg.schedule import Point, Schedule

#: A network: `model(x, timesteps, **kwargs)` with x (B, ...) and timesteps (B,), like x in return.
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
        schedule: "Schedule",
        rescale_timesteps: bool = False,
        original_num_steps: int | None = None,
    ) -> None:
        self.model = model
        self.timesteps = schedule.timesteps
        if len(schedule) == 0:
            raise ValueError("schedule has no points, and so no timestep to map to")
        if rescale_timesteps:
            if original_num_steps is None:
                raise ValueError("rescale_timesteps needs original_num_steps, as trained on")
            steps = positive_integer("original_num_steps", original_num_steps)
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
            ValueError: There is not one position a sample, or one on the host is out of range.
        """
        position = checked_positions("k", k, len(self.timesteps), x)
        xp = namespace(x, position)
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
        schedule: "Schedule",
        prediction: Prediction = "epsilon",
        *,
        clip: tuple[float, float] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model must be callable, got {type(model).__name__}")
        self.model = model
        self.prediction = prediction
        self.clip = None if clip is None else _interval(clip)
        self.model_kwargs = dict(model_kwargs or {})
        self._parameterization = parameterization(prediction)
        # The network's scale where the path has another one, which x is brought to before a call.
        same = schedule.network_kind == schedule.kind
        self._network_kind = None if same else schedule.network_kind

    def __call__(self, x: Array, t: "Point") -> Array:
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
        _check_output(output, x, t)
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


def check_sample(x: object) -> None:
    """Raise unless x is a batch in real floating point.

    Raises:
        TypeError: It is no array, or of another dtype.
        ValueError: It has no batch dimension.
    """
    if not is_array(x):
        raise TypeError(f"x must be an array of an array-API library, got {type(x).__name__}")
    array: Array = x
    if not is_real_floating(array):
        raise TypeError(f"x must be of a real floating-point dtype, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError("x must have a batch dimension, shape (B, ...); got shape ()")


def _scale_to(kind: str, alpha: Any, sigma: Any) -> Any:
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


def _check_output(output: object, x: Array, t: "Point") -> None:
    if not is_array(output):
        raise TypeError(f"model must return an array like x, got {type(output).__name__}")
    result: Array = output
    if type(result) is not type(x) and namespace(result) is not namespace(x):
        raise TypeError(
            f"model must return an array of x's library: expected {type(x).__name__}, "
            f"got {type(result).__name__}"
        )
    for what in ("shape", "dtype"):
        expected, got = getattr(x, what), getattr(result, what)
        if got != expected:
            raise ValueError(
                f"model output has the wrong {what} at timestep {t.timestep}: expected "
                f"{_text(expected)}, got {_text(got)}"
            )


def _text(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, tuple) else str(value)
