"""Running a plan: a network, called row after row."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from schedalg.arrays import Array, compiling, holds, requires_gradient, type_name
from schedalg.checks import check_like, raise_stopped
from schedalg.network.bounds import bounded
from schedalg.network.denoiser import AnyDenoiser, Denoiser, output_of
from schedalg.network.model import Model, check_input, form_of
from schedalg.parameterization import PARAMETERIZATIONS, Parameterization
from schedalg.plan.plan import Plan
from schedalg.running.backend import Backend, Network, Replaying, whole_of
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.noise import NoiseSource
from schedalg.running.preparation import (
    Source,
    checked_backend,
    raise_without_variance,
    rows_for,
    source_for,
    started,
)
from schedalg.running.rows import Rows, numbers_of, rows_of
from schedalg.running.state import Run
from schedalg.schedule import Point

#: Calls the network for the next row of a run, and takes the run through it.
Call: TypeAlias = Callable[[Run], None]


def prepared(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    *,
    reuse: bool,
) -> tuple[Run, Call]:
    """Return a run at the first row, and what takes it through one; arguments are checked at once.

    With `reuse`, the run's x is overwritten in later rows: for those who want the last x only.
    """
    return _run(_ready(plan, model, x, options, noise), x, reuse)


def finished(
    plan: Plan, model: Model | AnyDenoiser, x: Array, options: NetworkOptions, noise: NoiseSource
) -> Array:
    """Return x after the last row: taken there at once, where the backend can, or row by row."""
    ready = _ready(plan, model, x, options, noise)
    denoise, backend, rows, source = ready.denoise, ready.backend, ready.rows, ready.source
    unwatched = rows.count > 0 and not options.check_finite
    if unwatched and isinstance(denoise, Denoiser) and (whole := whole_of(backend)) is not None:
        network = _with_variance(denoise, rows)
        take = whole.whole(rows, plan.timesteps, source, network, _within(ready.bound))
        if take is not None:
            return take(started(plan, rows, x, source, backend))
    run, call = _run(ready, x, reuse=True)
    while not run.done:
        call(run)
    return run.x


class _Ready(NamedTuple):
    """What a run is of, all checked."""

    plan: Plan
    denoise: AnyDenoiser
    meaning: Parameterization
    bound: Callable[[Array], Array] | None
    rows: Rows
    backend: Backend
    source: Source


def _ready(
    plan: Plan, model: Model | AnyDenoiser, x: Array, options: NetworkOptions, noise: NoiseSource
) -> _Ready:
    backend = checked_backend(plan, x)
    denoise = denoiser_for(model, plan.schedule, options)
    if isinstance(denoise, Denoiser):
        meaning = denoise.parameterization
        rows, bound = rows_for(plan, meaning, denoise.clip, x)
    else:
        if plan._constant(_takes_unbounded):
            raise ValueError(
                "the plan takes the x0 prediction from before it is bounded, which a denoiser made "
                "from a function does not return: pass the network, or a Denoiser of it"
            )
        meaning, bound = PARAMETERIZATIONS["x0"], None
        rows = rows_of(plan, x, meaning, "given")
    source = source_for(plan, rows, x, noise)
    return _Ready(plan, denoise, meaning, bound, rows, backend, source)


def _run(ready: _Ready, x: Array, reuse: bool) -> tuple[Run, Call]:
    plan, denoise, meaning, bound, rows, backend, source = ready
    if isinstance(denoise, Denoiser):
        call = _network(rows, denoise, x)
    else:
        call = _derived(plan, denoise, x)
    return Run(plan, meaning, bound, rows, backend, x, source, reuse=reuse), call


def _takes_unbounded(plan: Plan) -> bool:
    """Whether a row takes the x0 prediction from before it is bounded."""
    return bool(holds(plan.u != 0).any())


def _levels(plan: Plan, x: Any) -> list[tuple[Any, Any, int | float]]:
    """Return alpha, sigma and the timestep where each row calls the network.

    Args:
        plan: The plan.
        x: What the numbers will multiply; None where no gradient flows through them.
    """
    columns = (numbers_of(column, x) for column in (plan.alpha, plan.sigma))
    timesteps = plan.timesteps
    listed = list(timesteps) if requires_gradient(timesteps) else timesteps.tolist()
    return list(zip(*columns, listed, strict=True))


def _step_of_rows(plan: Plan) -> list[int]:
    return plan.step.tolist()  # type: ignore[no-any-return]


def steps(run: Run, call: Call) -> Iterator[Run]:
    """Yield the run after the last row of every step."""
    step = [*run.plan._constant(_step_of_rows), None]
    while not run.done:
        k = run.row
        call(run)
        if step[k + 1] != step[k]:
            yield run


def _network(rows: Rows, denoise: Denoiser, x: Array) -> Call:
    """Return what calls a network."""
    numbers, given, form = rows.timesteps, output_of(denoise), form_of(x)
    bounds = callable(denoise.clip)  # by the rows themselves, unless `Run.bounded` says otherwise

    def call(run: Run) -> None:
        try:
            output, variance = given(run.given(), run.timesteps, numbers[run.row], form)
            run.take(output, run.bounded(output) if bounds else None, variance)
        except StopIteration as error:
            raise_stopped(error)

    return call


def _derived(plan: Plan, denoise: AnyDenoiser, x: Array) -> Call:
    """Return what asks a denoiser that was made from others."""
    levels = plan._constant(_levels, None) if compiling(x) else _levels(plan, x)
    points = [Point(*level) for level in levels]
    shape, dtype, like = form_of(x)

    def call(run: Run) -> None:
        try:
            x0, variance = denoise.predict(run.x, points[run.row])
            check_input(run.x, shape, dtype)
            if not like(x0):
                check_like("x0 returned by the denoiser", x0, run.x)
            run.take(x0, x0, variance)
        except StopIteration as error:
            raise_stopped(error)

    return call


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
    plan, denoise, _, bound, rows, backend, keys = _ready(plan, model, x, options, noise)
    if not isinstance(denoise, Denoiser) or bound is not None:
        raise ValueError(
            "capture=True takes a network, with clip=None or (low, high): what else is done to x0 "
            "may differ from step to step"
        )
    if not isinstance(keys, np.ndarray | None):
        raise ValueError("capture=True takes noise from a seed, or a list of seeds")
    if not isinstance(backend, Replaying):
        raise ValueError(f"capture=True takes tensors on a CUDA device, and x is a {type_name(x)}")
    if not len(plan):
        return x
    x = started(plan, rows, x, keys, backend)
    network = _with_variance(denoise, rows)
    return backend.replay(rows, plan.timesteps, x, keys if any(rows.noisy) else None, network)


def _with_variance(denoise: Denoiser, rows: Rows) -> Network:
    """Return the network as backends call it, which raises where a learned variance is missing."""
    given = output_of(denoise)

    def network(x: Array, timesteps: Array) -> tuple[Array, Array | None]:
        try:
            output, variance = given(x, timesteps)
        except StopIteration as error:
            raise_stopped(error)
        if variance is None and rows.learned:
            raise_without_variance(x)
        return output, variance

    return network


def _within(bound: Callable[[Array], Array] | None) -> Callable[[Array], Array] | None:
    """Return the function that bounds x0 as backends call it: what it returns is checked."""
    if bound is None:
        return None

    def within(x0: Array) -> Array:
        try:
            return bounded(bound, x0)
        except StopIteration as error:
            raise_stopped(error)

    return within
