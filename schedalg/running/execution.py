"""Running a plan: what is left to do when the table is made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

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
from schedalg.checks import check_memory, check_sample
from schedalg.network.bounds import Clamp, Clip
from schedalg.network.denoiser import Denoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.running import philox
from schedalg.running.backend import Backend, Replaying, Update, backend_for
from schedalg.running.noise import NoiseSource, noise_for
from schedalg.running.rows import numbers_of, rows_of
from schedalg.schedule import Point

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan
    from schedalg.samplers.protocols import Noise
    from schedalg.schedule import Schedule


class Meaning(NamedTuple):
    """What is done with the network's output before a sampler sees it; see `sample`.

    Attributes:
        prediction: What the output means. None: what the plan's columns say.
        clip: Bounds of the x0 prediction, or a function of it.
        check_finite: Whether to look for NaN and infinity.
        model_kwargs: Handed to the network in every call.
    """

    prediction: Prediction | Parameterization | None
    clip: Clip | None
    check_finite: bool
    model_kwargs: Mapping[str, Any]


def walk(
    plan: "Plan",
    model: Model | Denoiser,
    x: Array,
    meaning: Meaning,
    noise: NoiseSource,
    *,
    reuse: bool,
) -> Iterator[Array]:
    """Return an iterator over x after every step of a plan; arguments are checked at once.

    With `reuse`, what it yields is overwritten in later steps: for those who want the last x only.
    """
    plan, denoise = _prepared(plan, model, x, meaning)
    return _run(plan, denoise, x, noise_for(x, noise), backend_for(x), reuse)


def captured(
    plan: "Plan", model: Model | Denoiser, x: Array, meaning: Meaning, noise: NoiseSource
) -> Array:
    """Return x after the last row, by a step that the backend captures and replays.

    Raises:
        TypeError: As `sample`.
        ValueError: As `sample`; or something would happen on the host between steps.
    """
    if meaning.check_finite:
        raise ValueError("capture=True and check_finite=True: nothing is looked at between steps")
    plan, denoise = _prepared(plan, model, x, meaning)
    if type(denoise) is not Denoiser or not isinstance(denoise.clip, Clamp | None):
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
    undetermined = _undetermined(plan)
    if undetermined is not None:
        _raise_undetermined(plan, denoise, undetermined)
    like = widened(x[:0, ...])
    rows = rows_of(plan, like, raw=denoise.clip is None, clamp=denoise.clip)
    if not rows.rows:
        return x
    x = _started(plan, x, like, keys, None, backend)

    def network(x: Array, timesteps: Array) -> tuple[Array, Array | None]:
        output, variance = denoise.output(x, timesteps)
        if variance is None and rows.rows[0].log_variance is not None:
            _raise_without_variance(x)
        return output, variance

    noisy = any(rows.noisy)
    return backend.replay(rows, plan.timesteps, x, keys if noisy else None, network)


def _prepared(
    plan: "Plan", model: Model | Denoiser, x: Array, meaning: Meaning
) -> tuple["Plan", Denoiser]:
    """Return the plan with the columns of the network's prediction, and the denoiser."""
    check_sample("x", x)
    if not isinstance(plan.schedule.log_alpha_bar.high, np.ndarray):
        namespace(x, plan.schedule.log_alpha_bar.high)  # raises if they are of two libraries
    denoise = denoiser_for(model, plan.schedule, meaning)
    if meaning.prediction is not None or isinstance(model, Denoiser):
        plan = plan.for_prediction(denoise.prediction)
    return plan, denoise


def denoiser_for(
    model: Model | Denoiser,
    schedule: "Schedule",
    meaning: Meaning,
) -> Denoiser:
    """Return the network as a denoiser, or the denoiser that was given in its place.

    Raises:
        TypeError: The network cannot be called.
        ValueError: A denoiser is for another schedule, or comes with what only a network takes.
    """
    prediction, clip, check_finite, model_kwargs = meaning
    if not isinstance(model, Denoiser):
        said = "epsilon" if prediction is None else prediction
        denoise = Denoiser(model, schedule, said, clip=clip, model_kwargs=model_kwargs)
        return denoise.checked_by(FiniteOutput()) if check_finite else denoise
    if prediction not in (None, "epsilon") or clip is not None or model_kwargs:
        raise ValueError(
            "prediction, clip and keywords of the network belong to the Denoiser that is given"
        )
    if not _is_stretch(schedule, model.schedule):
        raise ValueError(
            f"the denoiser is for another schedule: {model.schedule!r}, not {schedule!r}"
        )
    return model.checked_by(FiniteOutput()) if check_finite else model


def _is_stretch(part: "Schedule", whole: "Schedule") -> bool:
    """Whether one schedule is the other, or a slice `s[a:b]` of it."""
    if part is whole or part == whole:
        return True
    if (part.kind, part.network_kind) != (whole.kind, whole.network_kind) or len(part) == 0:
        return False
    levels, of_whole = to_host(part.log_alpha_bar.high), to_host(whole.log_alpha_bar.high)
    start = int(np.searchsorted(-of_whole, -levels[0]))
    return np.array_equal(levels, of_whole[start : start + len(levels)]) and np.array_equal(
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


def _run(
    plan: "Plan",
    denoise: Denoiser,
    x: Array,
    source: "np.ndarray | Noise",
    backend: Backend,
    reuse: bool,
) -> Iterator[Array]:
    """Yield x after the last row of every step."""
    # A network's own output enters the update with one coefficient; what was bounded or changed on
    # the way is an x0 prediction, and enters with that of x0. Backends clamp it themselves.
    plain = type(denoise) is Denoiser
    clamp = denoise.clip if plain and isinstance(denoise.clip, Clamp) else None
    raw = plain and denoise.clip is None
    like = widened(x[:0, ...])
    rows = rows_of(plan, like, raw=raw, clamp=clamp)
    keys, draw = (source, None) if isinstance(source, np.ndarray) else (None, source)
    x = _started(plan, x, like, keys, draw, backend)
    update = backend.update(rows, x, keys if any(rows.noisy) else None, reuse=reuse)
    if plain:
        timesteps = backend.timesteps(plan.timesteps, x)
        predict = _network(plan, denoise, like, update, timesteps, read=not raw and clamp is None)
    else:
        predict = _derived(plan, denoise, x)
    learned = plan.log_variance is not None
    step = [*plan.step.tolist(), None]
    for k, is_noisy in enumerate(rows.noisy):
        output, variance = predict(k, x)
        noise = None
        if is_noisy:
            noise = None if draw is None else draw(x)
            if learned and variance is None:
                _raise_without_variance(x)
        x = update(k, x, output, variance, noise)
        del output, variance, noise  # before the network makes the next
        if step[k + 1] != step[k]:
            yield x
            if not reuse:
                check_memory("x", x)  # which was in the user's hands


#: Calls the network of a row: returns its output, or its x0 prediction, and its variance.
_Predict: TypeAlias = Callable[[int, Array], tuple[Array, Array | None]]


def _network(
    plan: "Plan",
    denoise: Denoiser,
    like: Array,
    update: Update,
    timesteps: Sequence[Array],
    *,
    read: bool,
) -> _Predict:
    """Return a function that calls the network, and bounds its x0 prediction if `read` is set."""
    undetermined = _undetermined(plan)
    labels = plan.timesteps.tolist()
    seen, outputs = update.input, denoise.output
    c_x, c_out = (numbers_of(column, like) if read else [] for column in (plan.c_x, plan.c_out))

    def predict(k: int, x: Array) -> tuple[Array, Array | None]:
        if k == undetermined:
            _raise_undetermined(plan, denoise, k)
        output, variance = outputs(seen(k, x), timesteps[k], labels[k])
        if read:
            output = denoise.bounded(weighted([(c_x[k], x), (c_out[k], output)]))
        return output, variance

    return predict


def _derived(plan: "Plan", denoise: Denoiser, x: Array) -> _Predict:
    """Return a function that asks a denoiser that was made from others."""
    columns = (numbers_of(column, x) for column in (plan.alpha, plan.sigma))
    points = [Point(*level) for level in zip(*columns, plan.timesteps.tolist(), strict=True)]
    return lambda k, x: denoise.predict(x, points[k])


def _undetermined(plan: "Plan") -> int | None:
    """Return the first row whose output does not determine x0; None if there is none."""

    def found() -> int | None:
        columns = [np.isfinite(to_host(column)) for column in (plan.c_in, plan.c_x, plan.c_out)]
        determined = np.logical_and.reduce(columns)
        return None if determined.all() else int(np.argmin(determined))

    row: int | None = plan.kept(("undetermined",), found)
    return row


def _raise_undetermined(plan: "Plan", denoise: Denoiser, k: int) -> None:
    reading = [float(to_host(column)[k]) for column in (plan.c_in, plan.c_x, plan.c_out)]
    denoise.require_determined(reading, plan.timesteps[k].item(), plan.alpha[k])


def _raise_without_variance(x: Array) -> None:
    raise ValueError(
        "a learned variance needs a network whose output has twice the channels of x on axis 1, "
        f"and this one's has the shape of x, {tuple(x.shape)}"
    )


def _started(
    plan: "Plan", x: Array, like: Array, keys: np.ndarray | None, draw: "Noise | None", backend: Any
) -> Array:
    """Return x as the first row takes it."""
    scale, noise = (multiplier(value, like) for value in plan.start)
    if given(noise):
        z = draw(x) if draw is not None else backend.normal(x, keys, philox.BEFORE)
        return weighted([(scale, x), (noise, z)])
    return x if isinstance(scale, float) and scale == 1 else weighted([(scale, x)])
