"""Running a sampler along a schedule: `sample`, and `sample_steps` to see every step."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from schedalg.arrays import (
    Array,
    check_like,
    check_sample,
    described,
    is_array,
    namespace,
    to_host,
)
from schedalg.model import Denoiser, Model
from schedalg.noise import NoiseSource, noise_for
from schedalg.parameterization import Prediction
from schedalg.point import Point
from schedalg.samplers.base import Sampler
from schedalg.schedule import Schedule


def sample(
    model: Model,
    schedule: Schedule,
    sampler: Sampler[Any],
    x: Array,
    *,
    prediction: Prediction = "epsilon",
    clip: tuple[float, float] | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    **model_kwargs: Any,
) -> Array:
    """Walk a schedule from its noisiest point to its origin, and return x there.

    Args:
        model: The network, called as `model(x, timesteps, **model_kwargs)` with x like the x given
            and timesteps (B,), the trained timestep of the point for each sample. It returns an
            array like x.
        schedule: The path. One of no points returns x as it is.
        sampler: Any object with the methods of the `Sampler` protocol.
        x: (B, ...), noise at the schedule's last point: standard normal times
            `schedule.prior_std`. An array of any array-API library, in any real floating dtype.
        prediction: What the network's output means: "epsilon", "x0" or "v".
        clip: (low, high), between which each x0 prediction is clamped.
        noise: Where a stochastic sampler's noise comes from: a seed, a generator of NumPy or of x's
            library, or a function of x. The same seed gives the same sample.
        progress: Show a bar (needs tqdm).
        check_finite: Raise if the network returns NaN or infinity. Costs a pass over its output in
            each call, and a synchronization on a GPU.
        **model_kwargs: Handed to the network in every call.

    Returns:
        An array like x: of its library, device, dtype and shape.

    Raises:
        TypeError: An argument, or the network's output, is of the wrong type or library.
        ValueError: An argument has a wrong value, the network's output is not like x, x0 cannot be
            recovered (an epsilon prediction at zero SNR), or `check_finite` found something.
        ImportError: `progress` is asked for, and tqdm is not installed.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample
        >>> fast = Schedule.linear(1000).subsample(every=100)
        >>> model = lambda x, timesteps: 0 * x  # predicts the data's mean, 0
        >>> sample(model, fast, DDIM(), np.ones((1, 2)), prediction="x0")
        array([[0., 0.]])
    """
    steps = sample_steps(
        model,
        schedule,
        sampler,
        x,
        prediction=prediction,
        clip=clip,
        noise=noise,
        progress=progress,
        check_finite=check_finite,
        **model_kwargs,
    )
    for after in steps:
        x = after
    return x


def sample_steps(
    model: Model,
    schedule: Schedule,
    sampler: Sampler[Any],
    x: Array,
    *,
    prediction: Prediction = "epsilon",
    clip: tuple[float, float] | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    **model_kwargs: Any,
) -> Iterator[Array]:
    """Return an iterator over x after every step, N of them; the last is what `sample` returns.

    After step i (from 0), x is at `schedule[N - 2 - i]`, and at `schedule.origin` after the last.
    The arguments are those of `sample`, and are checked at once, before the first step. What is
    yielded is what the next step starts from: not to be written to.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample_steps
        >>> s = Schedule.linear(1000).subsample(steps=3)
        >>> for x in sample_steps(lambda x, t: 0 * x, s, DDIM(), np.ones((1, 1)), prediction="x0"):
        ...     print(x.round(3))
        [[0.83]]
        [[0.01]]
        [[0.]]
    """
    check_sample("x", x)
    _check_sampler(sampler)
    denoise = Denoiser(model, schedule, prediction, clip=clip, model_kwargs=model_kwargs)
    watched = _Watched(model, len(schedule)) if check_finite else None
    if watched:
        denoise.model = watched
    draw = noise_for(x, noise)
    steps = _progress_bar(len(schedule)) if progress else range(len(schedule))
    points = _points(schedule, x)
    state = sampler.init(x, schedule)

    def run(x: Array, state: Any) -> Iterator[Array]:
        for i in steps:
            if watched:
                watched.step = i
            t, s = points[len(schedule) - i], points[len(schedule) - i - 1]
            result = sampler.step(x, t, s, denoise, draw, state)
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(f"sampler.step must return (x, state), got {described(result)}")
            check_like("x returned by sampler.step", result[0], x)
            x, state = result
            yield x

    return run(x, state)


class _Watched:
    """A network whose output is checked for NaN and infinity."""

    def __init__(self, model: Model, steps: int) -> None:
        self.model = model
        self.steps = steps
        self.step = 0

    def __call__(self, x: Array, timesteps: Array, **kwargs: Any) -> Array:
        output = self.model(x, timesteps, **kwargs)
        if not is_array(output):
            return output  # an error that the caller names
        xp = namespace(output)
        if not bool(xp.all(xp.isfinite(output))):
            raise ValueError(
                f"model returned NaN or infinity in step {self.step} of 0 … {self.steps - 1}, at "
                f"timestep {to_host(timesteps)[0]}"
            )
        return output


def _points(schedule: Schedule, x: Array) -> list[Point]:
    """Return the origin and all points, ready to multiply x.

    Floats multiply any x without changing its dtype. So do 0-d tensors of torch; those of JAX (of a
    schedule through which gradients flow) take x's dtype first.

    Raises:
        TypeError: The schedule is made of another library's arrays than x, and not of NumPy's.
        ValueError: A point has left float64.
    """
    points = [schedule.origin, *schedule]
    for k, point in enumerate(points[:-1]):
        if point.alpha == 0:
            raise ValueError(
                f"point {k - 1} (timestep {point.timestep}) has an alpha below the smallest float: "
                f"no step can arrive there; start from schedule[:{k - 1}]"
            )
    if not isinstance(schedule.levels.high, np.ndarray):
        namespace(x, schedule.levels.high)
    if isinstance(points[0].alpha, float) or is_torch_array(x):
        return points
    xp = namespace(x)
    return [
        replace(point, alpha=xp.astype(point.alpha, x.dtype), sigma=xp.astype(point.sigma, x.dtype))
        for point in points
    ]


def _check_sampler(sampler: object) -> None:
    if isinstance(sampler, type):
        raise TypeError(f"sampler must be an object, such as {sampler.__name__}(), not a class")
    for method in ("init", "step"):
        if not callable(getattr(sampler, method, None)):
            raise TypeError(
                f"sampler must have the methods init and step, and {type(sampler).__name__} has no "
                f"{method}"
            )


def _progress_bar(steps: int) -> Iterable[int]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'schedalg[progress]'") from None
    bar: Iterable[int] = tqdm(range(steps), unit="step")
    return bar
