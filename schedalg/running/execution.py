"""Running a plan: a network, called row after row."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.checks import raise_stopped
from schedalg.network.bounds import Clamp
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.model import Model
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.plan.plan import Plan
from schedalg.running.backend import Replaying
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.noise import NoiseSource, noise_for
from schedalg.running.rows import numbers_of, rows_of
from schedalg.running.state import (
    Run,
    checked_backend,
    raise_without_variance,
    rows_for,
    source_for,
    started,
)
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
    backend = checked_backend(plan, x)
    denoise = denoiser_for(model, plan.schedule, options)
    if isinstance(denoise, Denoiser):
        meaning = denoise.parameterization
        rows, bound = rows_for(plan, meaning, denoise.clip, x)
        call = _network(plan, denoise)
    else:
        if to_host(plan.u).any():
            raise ValueError(
                "the plan takes the x0 prediction from before it is bounded, which a denoiser made "
                "from a function does not tell: give the network, or a Denoiser of it"
            )
        meaning, bound = PARAMETERIZATIONS["x0"], None
        rows = rows_of(plan, x, meaning, "given")
        call = _derived(plan, denoise, x)
    source = source_for(plan, rows, x, noise)
    return Run(plan, meaning, bound, rows, backend, x, source, reuse=reuse), call


def steps(run: Run, call: Call) -> Iterator[Run]:
    """Yield the run after the last row of every step."""
    step = [*run.plan.step.tolist(), None]
    while not run.done:
        k = run.row
        call(run)
        if step[k + 1] != step[k]:
            yield run


def _network(plan: Plan, denoise: Denoiser) -> Call:
    """Return what calls a network."""
    numbers, output_of = plan.timesteps.tolist(), denoise.output
    bounded = callable(denoise.clip)  # by the rows themselves, unless `Run.bounded` says otherwise

    def call(run: Run) -> None:
        try:
            output, variance = output_of(run.input, run.timesteps, numbers[run.row])
            run.take(output, run.bounded(output) if bounded else None, variance)
        except StopIteration as error:
            raise_stopped(error)

    return call


def _derived(plan: Plan, denoise: AnyDenoiser, x: Array) -> Call:
    """Return what asks a denoiser that was made from others."""
    columns = (numbers_of(column, x) for column in (plan.alpha, plan.sigma))
    points = [Point(*scales) for scales in zip(*columns, plan.timesteps.tolist(), strict=True)]

    def call(run: Run) -> None:
        try:
            x0, variance = denoise.predict(run.x, points[run.row])
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
    backend = checked_backend(plan, x)
    denoise = denoiser_for(model, plan.schedule, options)
    if not isinstance(denoise, Denoiser) or not isinstance(denoise.clip, Clamp | None):
        raise ValueError(
            "capture=True takes a network, with clip=None or (low, high): what else is done to x0 "
            "may differ from step to step"
        )
    keys = noise_for(x, noise)
    if not isinstance(keys, np.ndarray):
        raise ValueError("capture=True takes noise from a seed, or a list of seeds")
    if not isinstance(backend, Replaying):
        raise ValueError(
            f"capture=True takes tensors on a CUDA device, and x is a {type(x).__name__}"
        )
    rows, _ = rows_for(plan, denoise.parameterization, denoise.clip, x)
    if not rows.rows:
        return x
    x = started(plan, rows, x, keys, backend)
    output_of = denoise.output

    def network(x: Array, timesteps: Array) -> tuple[Array, Array | None]:
        output, variance = output_of(x, timesteps)
        if variance is None and rows.rows[0].log_variance is not None:
            raise_without_variance(x)
        return output, variance

    noisy = any(rows.noisy)
    return backend.replay(rows, plan.timesteps, x, keys if noisy else None, network)
