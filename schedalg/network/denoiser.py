"""Denoisers, which predict x0 for samplers: from a network, or from any function."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, TypeAlias

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    has_values,
    host_number,
    is_array,
    multiplier,
    to_host,
    weighted,
    widened,
)
from schedalg.checks import (
    check_callable,
    check_like,
    check_memory,
    check_sample,
    described,
    require_whole,
    shown,
)
from schedalg.libraries import constant
from schedalg.network.bounds import Clip, bounded, bounding
from schedalg.network.model import (
    Form,
    Model,
    called,
    check_input,
    check_keywords,
    read_output,
)
from schedalg.network.reading import default_prediction, raise_undetermined, reading_at
from schedalg.parameterization import (
    Parameterization,
    Prediction,
    parameterization,
)
from schedalg.schedule import Point, Schedule, check_schedule
from schedalg.schedule.timesteps import timestep_batch


class AnyDenoiser(ABC):
    """Predicts x0 at the points of a schedule: a `Denoiser`, or one made from a function.

    It is called as `denoise(x, t)`.
    """

    schedule: Schedule

    def __call__(self, x: Array, t: Point) -> Array:
        """Return the x0 prediction, with the shape, dtype and device of x.

        Raises:
            TypeError: The network's output is not an array of x's library.
            ValueError: The network's output differs from x in shape, dtype or device; or t has no
                timestep; or the output does not determine x0 at t (epsilon at zero signal).
        """
        return self.predict(x, t)[0]

    @abstractmethod
    def predict(self, x: Array, t: Point) -> tuple[Array, Array | None]:
        """Return the x0 prediction, and the learned variance or None; see `__call__`."""

    @abstractmethod
    def checked_by(self, check: "OutputCheck") -> "AnyDenoiser":
        """Return a copy that calls `check(output, timestep)` on each output; `check` may raise."""


class Denoiser(AnyDenoiser):
    """A network as a sampler calls it: `denoise(x, t)` returns the x0 prediction at point t.

    The network is called as `model(x, timesteps, **kwargs)`, with one timestep for each sample. Its
    input is x in the scale that it was trained in, whatever the scale of the schedule. If the
    output has twice the channels (axis 1) of x, the network has a learned variance: the first half
    is its prediction, and the second half is used by `DDPM("learned_range")` and `DDPM("learned")`
    alone. `sample` takes a denoiser in place of a network.

    Args:
        model: The network.
        schedule: The schedule that is sampled, or one of which it is a slice.
        prediction: What the network predicts: a name such as "epsilon", or a `Parameterization`.
            None: "flow" if the schedule's networks are those of flow matching, else "epsilon".
        clip: (low, high), to which the x0 prediction is clamped; or a function of the prediction,
            such as `DynamicThreshold()`.
        model_kwargs: Keyword arguments of the network, passed in every call.

    Raises:
        TypeError: `model` is not callable, or `clip` is neither a pair of numbers nor a function.
        ValueError: `prediction` is unknown, or `clip` is not (low, high) with low < high.

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
        prediction: Prediction | Parameterization | None = None,
        *,
        clip: Clip | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        check_callable("model", model)
        check_schedule(schedule)
        self.model = model
        self.schedule = schedule
        self.prediction: Prediction | Parameterization = (
            default_prediction(schedule) if prediction is None else prediction
        )
        self.parameterization = parameterization(self.prediction)
        self.clip = bounding(clip)
        self.model_kwargs = _keywords(model_kwargs)
        check_keywords(model, self.model_kwargs)
        self._check: OutputCheck | None = None

    def predict(self, x: Array, t: Point) -> tuple[Array, Array | None]:
        """Return the x0 prediction, and the learned variance or None; see `__call__`."""
        if not isinstance(t, Point):
            raise TypeError(f"t must be a Point, got {described(t)}")
        check_sample("x", x)
        if t.timestep is None:
            raise ValueError("t is clean data: it has no timestep to pass to the network")
        weights = _constant_weights if compiling(x) else _weights
        reading = weights(self.parameterization, self.schedule, t.alpha, t.sigma, t.timestep)
        c_in, c_x, c_out = (multiplier(column, widened(x[:0, ...])) for column in reading)
        model_input = x if isinstance(c_in, float) and c_in == 1 else weighted([(c_in, x)])
        output, variance = self.output(model_input, timestep_batch(x, t.timestep), t.timestep)
        check_memory("x", x)  # which may be the network's input
        if isinstance(c_x, float) and (c_x, c_out) == (0.0, 1.0):
            return self.bounded(output), variance
        return self.bounded(weighted([(c_x, x), (c_out, output)])), variance

    def output(
        self,
        x: Array,
        timesteps: Array,
        timestep: int | float | None = None,
        form: Form | None = None,
    ) -> tuple[Array, Array | None]:
        """Return the network's output: its prediction, and its learned variance or None.

        Args:
            x: The model input.
            timesteps: (B,).
            timestep: Their common value as a number, for error messages. None if there is none.
            form: The form of x, where it is the same in many calls.

        Raises:
            TypeError: The output is not an array of x's library.
            ValueError: The output has neither the shape of x nor twice its channels, or differs in
                dtype or device; or the network changed the shape or dtype of its input.
        """
        shape, dtype, like = form or (x.shape, x.dtype, None)
        output = called(self.model, x, timesteps, self.model_kwargs)
        check_input(x, shape, dtype)
        if self._check is not None and timestep is not None:
            self._check(output, timestep)
        if like is not None and like(output):
            return output, None
        return read_output(output, x, timestep)

    def bounded(self, x0: Array) -> Array:
        """Return the x0 prediction within the bounds of `clip`.

        Raises:
            TypeError: The function given as `clip` does not return an array of x0's library.
            ValueError: What it returns differs from x0 in shape, dtype or device.
        """
        return x0 if self.clip is None else bounded(self.clip, x0)

    def checked_by(self, check: "OutputCheck") -> "Denoiser":
        """Return a copy that calls `check(output, timestep)` on each output; `check` may raise."""
        checked = copy(self)
        checked._check = check
        return checked

    @staticmethod
    def from_function(
        function: Callable[..., Array], schedule: Schedule, *inner: AnyDenoiser
    ) -> "DerivedDenoiser":
        """Return a denoiser that calls `function(x, t, *inner)`.

        Args:
            function: Returns the x0 prediction, with the shape and dtype of x.
            schedule: The schedule that is sampled.
            *inner: Denoisers that the function uses. It receives them as arguments and calls them
                as `inner(x, t)`. The learned variance is that of the last one it calls.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: An inner denoiser is for another schedule.

        Example:
            >>> import numpy as np
            >>> from schedalg import DDIM, Denoiser, Schedule, sample
            >>> s = Schedule.karras(5)
            >>> shrink = Denoiser.from_function(lambda x, t: x / (1 + t.sigma**2), s)
            >>> sample(shrink, s, DDIM(), np.full((1, 1), 80.0)).round(2)
            array([[0.49]])
        """
        return DerivedDenoiser(function, schedule, inner)


class DerivedDenoiser(AnyDenoiser):
    """A denoiser that calls a function of x, a point and other denoisers.

    Args:
        function: Called as `function(x, t, *inner)`; returns the x0 prediction.
        schedule: The schedule that is sampled.
        inner: The denoisers that the function uses.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An inner denoiser is for another schedule.
    """

    def __init__(
        self, function: Callable[..., Array], schedule: Schedule, inner: tuple[AnyDenoiser, ...]
    ) -> None:
        check_callable("function", function)
        check_schedule(schedule)
        for denoiser in inner:
            check_denoiser("inner", denoiser)
            if denoiser.schedule != schedule:
                raise ValueError(
                    f"all denoisers must be for the same schedule: {denoiser.schedule!r} is not "
                    f"{schedule!r}"
                )
        self.function = function
        self.schedule = schedule
        self.inner = inner
        self._check: OutputCheck | None = None

    def predict(self, x: Array, t: Point) -> tuple[Array, Array | None]:
        """Return the function's result, and the variance of the last inner denoiser called."""
        variances: list[Array | None] = [None]

        def recorded(inner: AnyDenoiser) -> InnerDenoiser:
            def denoise(x: Array, t: Point) -> Array:
                x0, variance = inner.predict(x, t)
                variances.append(variance)
                return x0

            return denoise

        x0 = self.function(x, t, *map(recorded, self.inner))
        check_like("x0 returned by the denoiser", x0, x)
        if self._check is not None and not self.inner and t.timestep is not None:
            self._check(x0, t.timestep)
        return x0, variances[-1]

    def checked_by(self, check: "OutputCheck") -> "DerivedDenoiser":
        """Return a copy that calls `check(output, timestep)` on each output of its networks."""
        inner = tuple(denoiser.checked_by(check) for denoiser in self.inner)
        checked = DerivedDenoiser(self.function, self.schedule, inner)
        checked._check = check
        return checked


@constant
def _constant_weights(meaning: Parameterization, *arguments: Any) -> tuple[Any, Any, Any]:
    require_whole("prediction", meaning)
    return _weights(meaning, *arguments)


def _weights(
    meaning: Parameterization, schedule: Schedule, alpha: Any, sigma: Any, timestep: int | float
) -> tuple[Any, Any, Any]:
    """Return c_in, c_x and c_out at a point.

    Raises:
        TypeError: A function of the parameterization did not return a number.
        ValueError: The output does not determine x0, such as epsilon at zero signal.
    """
    reading = reading_at(meaning, schedule, alpha, sigma)
    for name, column in zip(("c_in", "c_x", "c_out"), reading, strict=False):
        if not has_values(column):
            continue
        value = to_host(column) if is_array(column) else column
        if not isinstance(value, int | float | np.number | np.ndarray) or np.ndim(value) > 0:
            raise TypeError(
                f"{name} of the parameterization must return a number, got {described(value)}"
            )
        if not np.isfinite(value):
            raise_undetermined(meaning, timestep, host_number(alpha))
    return reading[:3]


def output_of(denoise: Denoiser) -> Callable[..., tuple[Array, Array | None]]:
    """Return the method `output` of a denoiser; a class of one's own may override it.

    What that returns is looked at, and it need not know `form`.
    """
    if type(denoise).output is Denoiser.output:
        return denoise.output

    def looked_at(
        x: Array,
        timesteps: Array,
        timestep: int | float | None = None,
        form: Form | None = None,
    ) -> tuple[Array, Array | None]:
        output, variance = denoise.output(x, timesteps, timestep)
        check_like("output of the denoiser", output, x)
        if variance is not None:
            check_like("variance of the denoiser", variance, x)
        return output, variance

    return looked_at


#: A denoiser as the function of a derived one calls it: (x, point) -> x0 prediction.
InnerDenoiser: TypeAlias = Callable[[Array, Point], Array]

#: Takes a network's output and its timestep, and raises if the output is wrong.
OutputCheck: TypeAlias = Callable[[Array, int | float], None]


def _keywords(values: object) -> dict[str, Any]:
    if values is None or (type(values) is dict and not values):
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise TypeError(f"model_kwargs must be a mapping from names to values, got {shown(values)}")
    return dict(values)


def check_denoiser(name: str, denoiser: object) -> None:
    """Raise unless the value is a denoiser.

    Raises:
        TypeError: `denoiser` is not a denoiser.
    """
    if not isinstance(denoiser, AnyDenoiser):
        hint = ": make one of it, Denoiser(model, schedule)" if callable(denoiser) else ""
        raise TypeError(f"{name} must be a Denoiser, got {described(denoiser)}{hint}")
