"""Sampling: `sample`, `sample_steps` to see every step, and `run` for a plan."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from schedalg.arrays import (
    Array,
    ArrayT,
    compiling,
    known,
)
from schedalg.checks import (
    check_memory,
    flag,
)
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan, as_plan
from schedalg.running import execution
from schedalg.running.calling import NetworkOptions, finite
from schedalg.running.noise import NoiseSource
from schedalg.running.plans import constant_plan, plan_for
from schedalg.running.progress import progress_bar
from schedalg.running.state import Run
from schedalg.running.walking import walked
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule


def sample(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    sampler: Sampler | Plan,
    x: ArrayT,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    capture: bool = False,
    **model_kwargs: Any,
) -> ArrayT:
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
        check_finite: Raise if the network returns NaN or infinity, in its prediction or its learned
            variance, or x is so at the end. x is not looked at before that: what it holds earlier
            is found in what the network makes of it. Costs a pass over each output and the last x,
            and a synchronization on a GPU for each.
        capture: For tensors on a CUDA device: record one step, the network included, as a CUDA
            graph, and replay it for all. The network is called three times whatever the number of
            steps, must do the same work in each, and no gradient flows through the result.
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
    plan = plan_for(schedule, sampler, x)
    options = NetworkOptions(prediction, clip, flag("check_finite", check_finite), model_kwargs)
    if plan is not None:
        return _run(plan, model, x, options, noise, progress=progress, capture=capture)
    if flag("capture", capture):
        raise ValueError("capture=True takes a sampler that has a plan, a method plan")
    walked_to_end = known(x).untraced(_walked_to_end)
    result: ArrayT = walked_to_end(model, schedule, sampler, x, options, noise, progress)
    return result


def run(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: ArrayT,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
    progress: bool = False,
    check_finite: bool = False,
    capture: bool = False,
    **model_kwargs: Any,
) -> ArrayT:
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
    as_plan("plan", plan)
    if compiling(x):
        plan = constant_plan(plan)
    options = NetworkOptions(prediction, clip, flag("check_finite", check_finite), model_kwargs)
    return _run(plan, model, x, options, noise, progress=progress, capture=capture)


def _run(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: ArrayT,
    options: NetworkOptions,
    noise: NoiseSource,
    *,
    progress: bool,
    capture: bool,
) -> ArrayT:
    progress = flag("progress", progress)
    if flag("capture", capture):
        if progress:
            raise ValueError(
                "capture=True and progress=True: there is nothing to see between steps"
            )
        captured: ArrayT = execution.captured(plan, model, x, options, noise)
        return captured
    last: ArrayT
    if not progress:
        last = execution.finished(plan, model, x, options, noise)
    else:
        run, call = execution.prepared(plan, model, x, options, noise, reuse=True)
        for _ in progress_bar(execution.steps(run, call), _steps_of(plan)):
            pass
        last = run.x
    return finite(last) if options.check_finite else last


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
    `check_finite` looks at x after every step.
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
    previews, progress = flag("previews", previews), flag("progress", progress)
    options = NetworkOptions(prediction, clip, flag("check_finite", check_finite), model_kwargs)
    plan = plan_for(schedule, sampler, x)
    if plan is None:
        walk = walked(model, schedule, sampler, x, options, noise, progress)
        if options.check_finite:
            walk = ((finite(x), x0) for x, x0 in walk)
        return walk if previews else (x for x, _ in walk)
    run, call = execution.prepared(plan, model, x, options, noise, reuse=False)
    runs = execution.steps(run, call)
    if progress:
        runs = progress_bar(runs, _steps_of(plan))
    return _shown(runs, previews, options.check_finite)


def _shown(runs: Iterator[Run], previews: bool, check_finite: bool) -> Iterator[Any]:
    """Yield x after every step, and x0 with it for `previews`."""
    for run in runs:
        if check_finite:
            finite(run.x)
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
    for pair in walked(model, schedule, sampler, x, options, noise, progress):
        x = pair[0]
    return finite(x) if options.check_finite else x
