"""Running a sampler along a schedule: `sample`, and `sample_steps` to see every step."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from schedalg.arrays import Array, namespace, to_host
from schedalg.model import Denoiser, Model, check_sample
from schedalg.noise import NoiseSource, noise_for
from schedalg.parameterization import Prediction
from schedalg.samplers.base import Sampler

if TYPE_CHECKING:
    from schedalg.schedule import Point, Schedule


def sample(
    model: Model,
    schedule: "Schedule",
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
    schedule: "Schedule",
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
    The arguments are those of `sample`, and are checked at once, before the first step.

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
    check_sample(x)
    if not callable(model):
        raise TypeError(f"model must be callable, got {type(model).__name__}")
    _check_sampler(sampler)
    watched = _Watched(model, len(schedule)) if check_finite else None
    denoise = Denoiser(watched or model, schedule, prediction, clip=clip, model_kwargs=model_kwargs)
    draw = noise_for(x, noise)
    steps = _progress_bar(len(schedule)) if progress else range(len(schedule))
    points = _points(schedule, x)
    state = sampler.init(x, schedule)

    def run(x: Array, state: Any) -> Iterator[Array]:
        for i in steps:
            if watched:
                watched.step = i
            t, s = points[len(schedule) - i], points[len(schedule) - i - 1]
            x, state = sampler.step(x, t, s, denoise, draw, state)
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
        xp = namespace(output)
        if not bool(xp.all(xp.isfinite(output))):
            raise ValueError(
                f"model returned NaN or infinity in step {self.step} of 0 … {self.steps - 1}, at "
                f"timestep {to_host(timesteps)[0]}"
            )
        return output


def _points(schedule: "Schedule", x: Array) -> list["Point"]:
    """Return the origin and all points, ready to multiply x.

    Floats multiply any x without changing its dtype. Arrays (of a schedule through which gradients
    flow, say) take x's dtype first.
    """
    points = [schedule.origin, *schedule]
    if isinstance(points[0].alpha, float):
        return points
    xp = namespace(x, schedule.levels.high)
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
