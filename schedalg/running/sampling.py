"""Running a sampler along a schedule: `sample`, and `sample_steps` to see every step."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from schedalg.arrays import Array, namespace, to_host
from schedalg.checks import check_like, check_memory, check_sample, described, flag
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import Denoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.plan.plan import Plan, check_plan
from schedalg.plan.steps import check_arrivals
from schedalg.running import execution
from schedalg.running.execution import Meaning, denoiser_for
from schedalg.running.noise import NoiseSource, drawing
from schedalg.samplers.protocols import Noise, Planner, Sampler
from schedalg.schedule import Point, Schedule, check_schedule


def sample(
    model: Model | Denoiser,
    schedule: Schedule,
    sampler: Planner | Plan | Sampler[Any],
    x: Array,
    *,
    prediction: Prediction | Parameterization = "epsilon",
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
        sampler: Any object with a method `plan(schedule)`, whose table is run, or such a `Plan` of
            this schedule; or else any object with the methods of the `Sampler` protocol.
        x: (B, ...), noise at the schedule's last point: standard normal times
            `schedule.prior_std`. An array of any array-API library, in any real floating dtype.
        prediction: What the network's output means: "epsilon", "x0", "v", "flow", "score", "edm",
            or a `Parameterization` of your own.
        clip: (low, high), between which each x0 prediction is clamped; or a function of it, such as
            `DynamicThreshold()`.
        noise: Where a stochastic sampler's noise comes from. A seed, or a list of seeds, one a
            sample: the noise is a function of the seed, the row of the table and the place in the
            sample, so that a sample is the same in any batch, on any device and in any library
            (with one seed, sample i is that of seed + i 2^64). Or a generator of NumPy or of x's
            library, or a function of x, which must copy what it keeps of x. None: a seed that
            nobody knows.
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
    meaning = Meaning(prediction, clip, check_finite, model_kwargs)
    if not flag("capture", capture):
        walk = _steps(model, schedule, sampler, x, meaning, noise, progress, reuse=True)
        return execution.last(walk, x)
    if progress:
        raise ValueError("capture=True and progress=True: there is nothing to see between steps")
    plan = _table(schedule, sampler)
    if plan is None:
        raise ValueError("capture=True takes a sampler that has a table, a method plan")
    return execution.captured(plan, model, x, meaning, noise)


def sample_steps(
    model: Model | Denoiser,
    schedule: Schedule,
    sampler: Planner | Plan | Sampler[Any],
    x: Array,
    *,
    prediction: Prediction | Parameterization = "epsilon",
    clip: Clip | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    **model_kwargs: Any,
) -> Iterator[Array]:
    """Return an iterator over x after every step, N of them; the last is what `sample` returns.

    After step i (from 0), x is at `schedule[N - 2 - i]`, and at `schedule.origin` after the last.
    (A sampler that goes back up the path, such as `Restart`, has more steps, and noise that a table
    adds before a step, such as `Euler`'s churn, is in the x before it.)
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
    meaning = Meaning(prediction, clip, check_finite, model_kwargs)
    return _steps(model, schedule, sampler, x, meaning, noise, progress, reuse=False)


def _steps(
    model: Model | Denoiser,
    schedule: Schedule,
    sampler: Any,
    x: Array,
    meaning: Meaning,
    noise: NoiseSource,
    progress: bool,
    *,
    reuse: bool,
) -> Iterator[Array]:
    """Return an iterator over x after every step; see `execution.walk` for `reuse`."""
    check_sample("x", x)
    parameterization(meaning.prediction)
    plan = _table(schedule, sampler)
    if plan is not None:
        walk = execution.walk(plan, model, x, meaning, noise, reuse=reuse)
        total = len(np.unique(plan.step))
    else:
        denoise = denoiser_for(model, schedule, meaning)
        walk = _walk(schedule, sampler, denoise, x, drawing(x, noise))
        total = len(schedule)
    return _with_progress_bar(walk, total) if progress else walk


def _walk(
    schedule: Schedule, sampler: Sampler[Any], denoise: Denoiser, x: Array, draw: Noise
) -> Iterator[Array]:
    """Return an iterator over x after every step of a sampler that has no table."""
    points = _points(schedule, x)
    state = sampler.init(x, schedule)

    def run(x: Array, state: Any) -> Iterator[Array]:
        for k in range(len(schedule), 0, -1):
            result = sampler.step(x, points[k], points[k - 1], denoise, draw, state)
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(f"sampler.step must return (x, state), got {described(result)}")
            check_like("x returned by sampler.step", result[0], x)
            x, state = result
            yield x
            check_memory("x", x)  # which was in the user's hands

    return run(x, state)


def _points(schedule: Schedule, x: Array) -> list[Point]:
    """Return the origin and all points, ready to multiply x.

    Floats multiply any x without changing its dtype. So do 0-d tensors of torch; those of JAX (of a
    schedule with a gradient) must be in x's own dtype.

    Raises:
        TypeError: The schedule's arrays are of another library than x, and not NumPy's.
        ValueError: A point has left float64.
    """
    points = [schedule.origin, *schedule]
    check_arrivals(schedule, [float(to_host(point.alpha)) > 0 for point in points])
    if not isinstance(schedule.log_alpha_bar.high, np.ndarray):
        namespace(x, schedule.log_alpha_bar.high)
    if isinstance(points[0].alpha, float) or is_torch_array(x):
        return points
    xp = namespace(x)
    return [
        replace(point, alpha=xp.astype(point.alpha, x.dtype), sigma=xp.astype(point.sigma, x.dtype))
        for point in points
    ]


def _table(schedule: Schedule, sampler: Any) -> Plan | None:
    """Return the sampler's table for a schedule; None if it has none.

    Raises:
        TypeError: The schedule or the sampler is none.
        ValueError: The table is for another schedule.
    """
    check_schedule(schedule)
    _check_sampler(sampler)
    if not _has_table(sampler):
        return None
    return check_plan(sampler if isinstance(sampler, Plan) else sampler.plan(schedule), schedule)


def _has_table(sampler: object) -> bool:
    return isinstance(sampler, Plan) or callable(getattr(sampler, "plan", None))


def _check_sampler(sampler: object) -> None:
    if isinstance(sampler, type):
        raise TypeError(f"sampler must be an object, such as {sampler.__name__}(), not a class")
    if _has_table(sampler):
        return
    for method in ("init", "step"):
        if not callable(getattr(sampler, method, None)):
            raise TypeError(
                "sampler must have a method plan, or the methods init and step, and "
                f"{type(sampler).__name__} has no {method}"
            )


def _with_progress_bar(walk: Iterator[Array], steps: int) -> Iterator[Array]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'schedalg[progress]'") from None
    bar: Iterable[Array] = tqdm(walk, total=steps, unit="step")
    return iter(bar)
