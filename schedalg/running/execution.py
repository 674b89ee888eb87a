"""Running a plan: what is left to do when its rows are made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from schedalg.arrays import (
    Array,
    given,
    is_array,
    multiplier,
    namespace,
    to_host,
    weighted,
    widened,
)
from schedalg.checks import check_memory, check_sample, raise_stopped
from schedalg.network.bounds import Clamp, Clip
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.model import Model
from schedalg.parameterization import (
    PARAMETERIZATIONS,
    Parameterization,
    Prediction,
    parameterization,
)
from schedalg.plan.plan import Plan
from schedalg.running import philox
from schedalg.running.backend import Backend, Replaying, Update, backend_for
from schedalg.running.noise import NoiseSource, noise_for
from schedalg.running.rows import Bounded, Rows, numbers_of, rows_of
from schedalg.samplers.protocols import Noise
from schedalg.schedule import Point, Schedule


class NetworkOptions(NamedTuple):
    """How the network is called and its output is read; see `sample`.

    Attributes:
        prediction: What the output means; None: what the schedule's networks predict.
        clip: Bounds of the x0 prediction, or a function of it.
        check_finite: Whether to look for NaN and infinity.
        model_kwargs: Passed to the network in every call.
    """

    prediction: Prediction | Parameterization | None
    clip: Clip | None
    check_finite: bool
    model_kwargs: Mapping[str, Any]


def walk(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    *,
    reuse: bool,
) -> Iterator[Array]:
    """Return an iterator over x after every step of a plan; arguments are checked at once.

    With `reuse`, what it yields is overwritten in later steps: for those who want the last x only.
    """
    denoise = prepared(plan, model, x, options)
    source, backend = noise_for(x, noise), backend_for(x)
    like = widened(x[:0, ...])
    rows = _rows(plan, denoise, like)
    return _run(plan, denoise, x, like, source, backend, rows, reuse)


def captured(
    plan: Plan, model: Model | AnyDenoiser, x: Array, options: NetworkOptions, noise: NoiseSource
) -> Array:
    """Return x after the last row, by a step that the backend captures and replays.

    Raises:
        TypeError: As `sample`.
        ValueError: As `sample`; or something would happen on the host between steps.
    """
    if options.check_finite:
        raise ValueError("capture=True and check_finite=True: nothing is looked at between steps")
    denoise = prepared(plan, model, x, options)
    if not isinstance(denoise, Denoiser) or not isinstance(denoise.clip, Clamp | None):
        raise ValueError(
            "capture=True takes a network, with clip=None or (low, high): what else is done to x0 "
            "may differ from step to step"
        )
    backend = backend_for(x)
    keys = noise_for(x, noise)
    if not isinstance(keys, np.ndarray):
        raise ValueError("capture=True takes noise from a seed, or a list of seeds")
    if not isinstance(backend, Replaying):
        raise ValueError(
            f"capture=True takes tensors on a CUDA device, and x is a {type(x).__name__}"
        )
    like = widened(x[:0, ...])
    rows = _rows(plan, denoise, like)
    if not rows.rows:
        return x
    x = _started(plan, rows, x, like, keys, None, backend)
    output_of = denoise.output

    def network(x: Array, timesteps: Array) -> tuple[Array, Array | None]:
        output, variance = output_of(x, timesteps)
        if variance is None and rows.rows[0].log_variance is not None:
            _raise_without_variance(x)
        return output, variance

    noisy = any(rows.noisy)
    return backend.replay(rows, plan.timesteps, x, keys if noisy else None, network)


def prepared(
    plan: Plan, model: Model | AnyDenoiser, x: Array, options: NetworkOptions
) -> AnyDenoiser:
    """Return the network as a denoiser for a plan, with x checked."""
    check_sample("x", x)
    if not isinstance(plan.schedule.log_alpha_bar.high, np.ndarray):
        namespace(x, plan.schedule.log_alpha_bar.high)  # raises if they are of two libraries
    return denoiser_for(model, plan.schedule, options)


def denoiser_for(
    model: Model | AnyDenoiser, schedule: Schedule, options: NetworkOptions
) -> AnyDenoiser:
    """Return the network as a denoiser, or the denoiser that was given in its place.

    Raises:
        TypeError: The network cannot be called.
        ValueError: A denoiser is for another schedule, or comes with what only a network takes.
    """
    prediction, clip, check_finite, model_kwargs = options
    if not isinstance(model, AnyDenoiser):
        denoise = Denoiser(model, schedule, prediction, clip=clip, model_kwargs=model_kwargs)
        return denoise.checked_by(FiniteOutput()) if check_finite else denoise
    own = model.prediction if isinstance(model, Denoiser) else "x0"
    if prediction is not None and parameterization(prediction) != parameterization(own):
        raise ValueError(
            f"prediction is {prediction!r}, and the Denoiser that is given in place of a network "
            f"predicts {own!r}: leave prediction out"
        )
    if clip is not None or model_kwargs:
        raise ValueError("clip and keywords of the network belong to the Denoiser that is given")
    if not _is_stretch(schedule, model.schedule):
        raise ValueError(
            f"the denoiser is for another schedule: {model.schedule!r}, not {schedule!r}"
        )
    return model.checked_by(FiniteOutput()) if check_finite else model


def _is_stretch(part: Schedule, whole: Schedule) -> bool:
    """Whether one schedule is the other, or a slice `s[a:b]` of it."""
    if part is whole or part == whole:
        return True
    if (part.kind, part.network_kind) != (whole.kind, whole.network_kind):
        return False
    if len(part) == 0:
        return True
    of_part, of_whole = to_host(part.log_alpha_bar.high), to_host(whole.log_alpha_bar.high)
    start = int(np.searchsorted(-of_whole, -of_part[0]))
    return np.array_equal(of_part, of_whole[start : start + len(of_part)]) and np.array_equal(
        part.timesteps, whole.timesteps[start : start + len(part)]
    )


def last(walk: Iterator[Array], x: Array) -> Array:
    """Return x after the last step; x itself if there is none."""
    for after in walk:
        x = after
    return x


class FiniteOutput:
    """Looks for NaN and infinity in every output of a network, and counts the calls of it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, output: Any, timestep: int | float) -> None:
        """Raise if the output holds NaN or infinity. What is no array is named by the caller.

        Raises:
            ValueError: It does.
        """
        if is_array(output) and not bool(namespace(output).all(namespace(output).isfinite(output))):
            raise ValueError(
                f"model returned NaN or infinity in call {self.calls} (the first is 0), at "
                f"timestep {timestep}"
            )
        self.calls += 1


def _rows(plan: Plan, denoise: AnyDenoiser, like: Array) -> Rows:
    """Return the rows for a denoiser.

    A network's own output enters the update with one coefficient. What was bounded or changed on
    the way is an x0 prediction, and enters with that of x0; backends clamp it themselves.
    """
    if not isinstance(denoise, Denoiser):
        if to_host(plan.u).any():
            raise ValueError(
                "the plan takes the x0 prediction from before it is bounded, which a denoiser made "
                "from a function does not tell: give the network, or a Denoiser of it"
            )
        return rows_of(plan, like, PARAMETERIZATIONS["x0"], "given")
    clip = denoise.clip
    bounded: Bounded = clip if clip is None or type(clip) is Clamp else "given"
    return rows_of(plan, like, denoise.parameterization, bounded)


def _run(
    plan: Plan,
    denoise: AnyDenoiser,
    x: Array,
    like: Array,
    source: np.ndarray | Noise,
    backend: Backend,
    rows: Rows,
    reuse: bool,
) -> Iterator[Array]:
    """Yield x after the last row of every step."""
    keys, draw = (source, None) if isinstance(source, np.ndarray) else (None, source)
    x = _started(plan, rows, x, like, keys, draw, backend)
    update = backend.update(rows, x, keys if any(rows.noisy) else None, reuse=reuse)
    if isinstance(denoise, Denoiser):
        predict = _network(plan, denoise, rows, update, backend.timesteps(plan.timesteps, x))
    else:
        predict = _derived(plan, denoise, x)
    learned = plan.log_variance is not None
    step = [*plan.step.tolist(), None]
    for k, is_noisy in enumerate(rows.noisy):
        try:
            output, x0, variance = predict(k, x)
            noise = draw(x) if is_noisy and draw is not None else None
        except StopIteration as error:
            raise_stopped(error)
        if is_noisy and learned and variance is None:
            _raise_without_variance(x)
        x = update(k, x, output, x0, variance, noise)
        del output, x0, variance, noise  # before the network makes the next
        if step[k + 1] != step[k]:
            yield x
            if not reuse:
                check_memory("x", x)  # which was in the user's hands


#: Calls the network of a row: returns its output, x0 if it is bounded here, and the variance.
_Predict: TypeAlias = Callable[[int, Array], tuple[Array, Array | None, Array | None]]


def _network(
    plan: Plan, denoise: Denoiser, rows: Rows, update: Update, timesteps: Sequence[Array]
) -> _Predict:
    """Return a function that calls the network, and bounds x0 where that takes a function."""
    numbers = plan.timesteps.tolist()
    input_of, output_of = update.input, denoise.output
    outside = denoise.clip is not None and rows.clip is None

    def predict(k: int, x: Array) -> tuple[Array, Array | None, Array | None]:
        output, variance = output_of(input_of(k, x), timesteps[k], numbers[k])
        x0 = None
        if outside:
            read = rows.rows[k].read or (0.0, 1.0)
            x0 = denoise.bounded(weighted(zip(read, (x, output), strict=True)))
        return output, x0, variance

    return predict


def _derived(plan: Plan, denoise: AnyDenoiser, x: Array) -> _Predict:
    """Return a function that asks a denoiser that was made from others."""
    columns = (numbers_of(column, x) for column in (plan.alpha, plan.sigma))
    points = [Point(*scales) for scales in zip(*columns, plan.timesteps.tolist(), strict=True)]

    def predict(k: int, x: Array) -> tuple[Array, Array | None, Array | None]:
        x0, variance = denoise.predict(x, points[k])
        return x0, x0, variance

    return predict


def _raise_without_variance(x: Array) -> None:
    raise ValueError(
        "a learned variance needs a network whose output has twice the channels of x on axis 1, "
        f"and this one's has the shape of x, {tuple(x.shape)}"
    )


def _started(
    plan: Plan,
    rows: Rows,
    x: Array,
    like: Array,
    keys: np.ndarray | None,
    draw: Noise | None,
    backend: Backend,
) -> Array:
    """Return x as the first row takes it."""
    scale, noise = (multiplier(value, like) for value in plan.start)
    if given(noise):
        if keys is not None:
            z = backend.normal(x, keys, (*rows.start, philox.STEP))
        elif draw is not None:
            z = draw(x)
        return weighted([(scale, x), (noise, z)])
    return x if isinstance(scale, float) and scale == 1 else weighted([(scale, x)])
