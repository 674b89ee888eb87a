"""Sampling: `sample`, `sample_steps` to see every step, and `run` for a plan."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    has_values,
    holds,
    is_array,
    known,
    namespace,
    to_host,
)
from schedalg.cache import Cache
from schedalg.checks import (
    check_like,
    check_memory,
    check_sample,
    described,
    flag,
    raise_stopped,
    require_whole,
)
from schedalg.libraries import constant
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan, check_plan
from schedalg.plan.steps import check_arrivals
from schedalg.plugins import imported
from schedalg.running import execution
from schedalg.running.arrivals import level_word
from schedalg.running.backend import backend_for
from schedalg.running.cache import key_of
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.noise import NoiseSource, StepNoise
from schedalg.running.state import Run, constant_plan
from schedalg.samplers.protocols import Sampler, StepSampler
from schedalg.schedule import Point, Schedule, check_schedule

Walked = TypeVar("Walked")


def sample(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    sampler: Sampler | Plan,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    capture: bool = False,
    **model_kwargs: Any,
) -> Array:
    """Walk a schedule from its noisiest point to its origin, and return x there.

    Args:
        model: The network, called as `model(x, timesteps, **model_kwargs)` with x like the x given
            and timesteps (B,), the trained timestep of the point for each sample. It returns an
            array like x. It must not write to its x, which may be written over after the call:
            what it keeps, for a gradient too, it must copy. Or a `Denoiser` of the schedule, which
            holds the network and `prediction`, `clip` and keywords.
        schedule: The path. One of no points returns x as it is.
        sampler: Any object with a method `plan(schedule)`, whose plan is run, or such a `Plan` of
            this schedule; or else any object with the methods of the `StepSampler` protocol.
        x: (B, ...), noise at the schedule's last point: standard normal times
            `schedule.prior_std`. An array of any array-API library, in any real floating dtype.
        prediction: What the network's output means: "epsilon", "x0", "v", "flow", "score", "edm",
            or a `Parameterization` of your own. None: "flow" on schedules of flow networks, and
            "epsilon" on all others.
        clip: (low, high), between which each x0 prediction is clamped; or a function of it, such as
            `DynamicThreshold()`.
        noise: Where a stochastic sampler's noise comes from. A seed, or a list of seeds, one a
            sample: the noise is a function of the seed, the noise level where a step arrives and
            the place in the sample, so that a sample is the same in any batch, on any device, in
            any library, and when a path is walked in parts (with one seed, sample i is that of
            seed + i 2^64). Or a generator of NumPy or of x's library, or a function of x, which
            must copy what it keeps of x. None: a seed at random.
        progress: Show a bar (needs tqdm).
        check_finite: Raise if the network returns NaN or infinity. Costs a pass over its output in
            each call, and a synchronization on a GPU.
        capture: For tensors on a CUDA device: record one step, the network included, as a CUDA
            graph, and replay it for all. The network is called three times whatever the number of
            steps, must do the same work in each, and no gradient is followed.
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
    check_sample("x", x)
    plan = _plan_for(schedule, sampler, x)
    options = NetworkOptions(prediction, clip, flag("check_finite", check_finite), model_kwargs)
    if plan is not None:
        return _run(plan, model, x, options, noise, progress=progress, capture=capture)
    if flag("capture", capture):
        raise ValueError("capture=True takes a sampler that has a plan, a method plan")
    walked_to_end = known(x).untraced(_walked_to_end)
    return walked_to_end(model, schedule, sampler, x, options, noise, progress)


def run(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    capture: bool = False,
    **model_kwargs: Any,
) -> Array:
    """Take x through a plan, and return it after the last row.

    `sample(model, schedule, sampler, x, ...)` is `run(sampler.plan(schedule), model, x, ...)`, and
    caches the plan for the next call.

    Args:
        plan: The plan.
        model: The network, called as `model(x, timesteps, **model_kwargs)`; or a `Denoiser` of the
            plan's schedule.
        x: (B, ...), at the noise level of the first row.
        prediction: As in `sample`.
        clip: As in `sample`.
        noise: As in `sample`.
        progress: As in `sample`.
        check_finite: As in `sample`.
        capture: As in `sample`.
        **model_kwargs: Passed to the network in every call.

    Returns:
        An array like x.

    Raises:
        TypeError: As `sample`.
        ValueError: As `sample`; or the denoiser is for another schedule.
        ImportError: As `sample`.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, run, sample
        >>> s, x = Schedule.linear(1000).subsample(steps=5), np.ones((1, 2))
        >>> model = lambda x, timesteps: np.tanh(x)
        >>> bool((run(DDIM().plan(s), model, x) == sample(model, s, DDIM(), x)).all())
        True
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a Plan, got {described(plan)}")
    if compiling(x):
        plan = constant_plan(plan)
    options = NetworkOptions(prediction, clip, flag("check_finite", check_finite), model_kwargs)
    return _run(plan, model, x, options, noise, progress=progress, capture=capture)


def _run(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    *,
    progress: bool,
    capture: bool,
) -> Array:
    progress = flag("progress", progress)
    if flag("capture", capture):
        if progress:
            raise ValueError(
                "capture=True and progress=True: there is nothing to see between steps"
            )
        return execution.captured(plan, model, x, options, noise)
    if not progress:
        return execution.finished(plan, model, x, options, noise)
    run, call = execution.prepared(plan, model, x, options, noise, reuse=True)
    for _ in _with_progress_bar(execution.steps(run, call), _steps_of(plan)):
        pass
    return run.x


def sample_steps(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    sampler: Sampler | Plan,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    previews: bool = False,
    **model_kwargs: Any,
) -> Iterator[Any]:
    """Return an iterator over x after every step, N of them; the last is what `sample` returns.

    After step i (from 0), x is at `schedule[N - 2 - i]`, and at `schedule.origin` after the last.
    (A sampler that goes back up the path, such as `Restart`, has more steps, and noise that a table
    adds before a step, such as `Euler`'s churn, is in the x before it.)
    With `previews`, it is an iterator over pairs: x, and the x0 prediction of the step's last call
    of the network, within its bounds, which shows where the sample is heading.
    The other arguments are those of `sample`, and are checked at once, before the first step. What
    is yielded is what the next step starts from: not to be written to.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample_steps
        >>> s = Schedule.linear(1000).subsample(steps=3)
        >>> for x in sample_steps(lambda x, t: 0 * x, s, DDIM(), np.ones((1, 1)), prediction="x0"):
        ...     print(x.round(3))
        [[0.995]]
        [[0.824]]
        [[0.]]
    """
    check_sample("x", x)
    previews, progress = flag("previews", previews), flag("progress", progress)
    options = NetworkOptions(prediction, clip, flag("check_finite", check_finite), model_kwargs)
    plan = _plan_for(schedule, sampler, x)
    if plan is None:
        walk = _walked(model, schedule, sampler, x, options, noise, progress)
        return walk if previews else (x for x, _ in walk)
    run, call = execution.prepared(plan, model, x, options, noise, reuse=False)
    runs = execution.steps(run, call)
    if progress:
        runs = _with_progress_bar(runs, _steps_of(plan))
    return _shown(runs, previews)


def _shown(runs: Iterator[Run], previews: bool) -> Iterator[Any]:
    """Yield x after every step, and x0 beside it with `previews`."""
    for run in runs:
        yield (run.x, run.x0) if previews else run.x
        check_memory("x", run.x)  # which was in the user's hands


def _steps_of(plan: Plan) -> int:
    """Return how many steps a plan has."""
    return len(np.unique(plan.step))


def _walked_to_end(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    sampler: Any,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    progress: bool,
) -> Array:
    """Return x after the last step of a sampler that has no plan."""
    for pair in _walked(model, schedule, sampler, x, options, noise, progress):
        x = pair[0]
    return x


def _walked(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    sampler: Any,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    progress: bool,
) -> Iterator[tuple[Array, Array | None]]:
    """Return an iterator over x and x0 after every step of a sampler that has no plan."""
    progress = flag("progress", progress)
    denoise = denoiser_for(model, schedule, options)
    source = StepNoise(x, noise, backend_for(x).normal)
    walk = _walk(schedule, sampler, denoise, x, source)
    return _with_progress_bar(walk, len(schedule)) if progress else walk


def _walk(
    schedule: Schedule, sampler: StepSampler[Any], denoise: AnyDenoiser, x: Array, noise: StepNoise
) -> Iterator[tuple[Array, Array | None]]:
    """Return an iterator over x after every step, and the last x0 prediction in it or None."""
    points = _points(schedule, x)
    arrivals = [_level(k, point.log_snr) for k, point in enumerate(points)]
    state = sampler.init(x, schedule)

    def steps(x: Array, state: Any) -> Iterator[tuple[Array, Array | None]]:
        for k in range(len(schedule), 0, -1):
            noise.arrive(arrivals[k - 1])
            predictions: list[Array] = []
            recorded = _recording(denoise, predictions)
            try:
                result = sampler.step(x, points[k], points[k - 1], recorded, noise, state)
            except StopIteration as error:
                raise_stopped(error)
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(f"sampler.step must return (x, state), got {described(result)}")
            check_like("x returned by sampler.step", result[0], x)
            x, state = result
            yield x, predictions[-1] if predictions else None
            check_memory("x", x)  # which was in the user's hands

    return steps(x, state)


def _recording(denoise: AnyDenoiser, predictions: list[Array]) -> AnyDenoiser:
    """Return a denoiser that keeps its last x0 prediction in a list."""

    def recorded(x: Array, t: Point, inner: Any) -> Array:
        predictions[:] = [inner(x, t)]
        return predictions[0]

    return Denoiser.from_function(recorded, denoise.schedule, denoise)


def _level(k: int, log_snr: Any) -> int:
    """Return the word of the level of point k (the origin is 0), or k if the level is traced."""
    if not is_array(log_snr):
        return level_word(log_snr)
    return level_word(float(to_host(log_snr))) if has_values(log_snr) else k


def _points(schedule: Schedule, x: Array) -> list[Point]:
    """Return the origin and all points, ready to multiply x.

    Floats multiply any x without changing its dtype. So do 0-d tensors of torch; those of JAX (of a
    schedule with a gradient) must be in x's own dtype.

    Raises:
        TypeError: The schedule's arrays are of another library than x, and not NumPy's.
        ValueError: A point has left float64.
    """
    points = [schedule.origin, *schedule]
    check_arrivals(schedule, [bool(holds(point.alpha > 0)) for point in points])
    if not isinstance(schedule.log_alpha_bar.high, np.ndarray):
        namespace(x, schedule.log_alpha_bar.high)
    if isinstance(points[0].alpha, float) or known(x).scalars_adapt:
        return points
    xp = namespace(x)
    return [
        replace(point, alpha=xp.astype(point.alpha, x.dtype), sigma=xp.astype(point.sigma, x.dtype))
        for point in points
    ]


def _plan(schedule: Schedule, sampler: Any) -> Plan | None:
    """Return the sampler's plan for a schedule; None if it has none.

    Plans of samplers that are values are cached: a second call with an equal schedule and sampler
    makes nothing anew.

    Raises:
        TypeError: The schedule or the sampler is none.
        ValueError: The plan is for another schedule.
    """
    check_schedule(schedule)
    if isinstance(sampler, Plan):
        return check_plan(sampler, schedule)
    if isinstance(sampler, type):
        raise TypeError(f"sampler must be an object, such as {sampler.__name__}(), not a class")
    if not callable(getattr(sampler, "plan", None)):
        _check_steps(sampler)
        return None
    key = key_of((sampler, schedule))
    return _PLANS.get(key, lambda: check_plan(sampler.plan(schedule), schedule))


def _plan_for(schedule: Schedule, sampler: Any, x: Array) -> Plan | None:
    """Return the sampler's plan, as a constant where a call is traced.

    A sampler may be made in the traced function if it is a value: its fields are passed one by one.
    """
    if not compiling(x):
        return _plan(schedule, sampler)
    kind = type(sampler)
    names = None if kind is Plan else _value_fields(kind)
    if names is not None:
        values = [getattr(sampler, name) for name in names]
        if not any(isinstance(value, tuple) and _holds_schedule(value) for value in values):
            return _constant_plan_of(schedule, kind, names, *values)
        return _constant_plan(schedule, sampler)  # torch passes no schedule within a tuple
    return _constant_plan(
        schedule, sampler, *[getattr(sampler, name) for name in _plain_attributes(sampler)]
    )


def _holds_schedule(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Schedule) for value in values)


@constant
def _value_fields(kind: type[Any]) -> tuple[str, ...] | None:
    """Return the fields that the constructor of a frozen dataclass takes; None if it is none."""
    if "__dataclass_params__" not in vars(kind) or not kind.__dataclass_params__.frozen:
        return None
    return tuple(field.name for field in fields(kind) if field.init)


@constant
def _plain_attributes(sampler: Any) -> tuple[str, ...]:
    """Return the attributes of a sampler that is no value which are values."""
    require_whole("sampler", sampler)
    attributes = getattr(sampler, "__dict__", {})
    return tuple(name for name, value in attributes.items() if key_of(value) is not None)


@constant
def _constant_plan(schedule: Schedule, sampler: Any, *attributes: Any) -> Plan | None:
    # The attributes are passed so that torch compares them: the sampler is the same object when
    # they have changed.
    require_whole("schedule", schedule)
    return _plan(schedule, sampler)


@constant
def _constant_plan_of(
    schedule: Schedule, kind: type[Any], names: tuple[str, ...], *values: Any
) -> Plan | None:
    require_whole("schedule", schedule)
    for name, value in zip(names, values, strict=True):
        require_whole(name, value)
    return _plan(schedule, kind(**dict(zip(names, values, strict=True))))


def _size(plan: Plan) -> int:
    """Return about how many bytes a plan takes, with its schedule."""
    # The columns are held once more in what the plan is equal by.
    return 2000 + sys.getsizeof(plan.schedule) + len(plan) * 2 * (100 + 8 * int(plan.b.shape[1]))


_PLANS: Cache[Plan] = Cache(2**26, _size)


def _check_steps(sampler: object) -> None:
    for method in ("init", "step"):
        if not callable(getattr(sampler, method, None)):
            raise TypeError(
                "sampler must have a method plan, or the methods init and step, and "
                f"{type(sampler).__name__} has no {method}"
            )


def _with_progress_bar(walk: Iterator[Walked], steps: int) -> Iterator[Walked]:
    tqdm = imported("tqdm.auto", "progress=True", "progress").tqdm
    bar: Iterable[Walked] = tqdm(walk, total=steps, unit="step")
    return iter(bar)
