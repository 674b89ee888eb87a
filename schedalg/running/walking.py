"""Walking a schedule with a sampler that has no plan, one step at a time."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from schedalg.arrays import (
    Array,
    has_values,
    holds,
    is_array,
    known,
    namespace,
    to_host,
)
from schedalg.checks import (
    check_like,
    check_memory,
    check_sample,
    described,
    flag,
    raise_stopped,
)
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.model import Model
from schedalg.plan.steps import check_arrivals
from schedalg.running.arrivals import level_word
from schedalg.running.backend import backend_for
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.noise import NoiseSource, StepNoise
from schedalg.running.progress import progress_bar
from schedalg.samplers.protocols import StepSampler
from schedalg.schedule import Point, Schedule


def walked(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    sampler: Any,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    progress: bool,
) -> Iterator[tuple[Array, Array | None]]:
    """Return an iterator over x and x0 after every step of a sampler that has no plan."""
    check_sample("x", x)
    progress = flag("progress", progress)
    denoise = denoiser_for(model, schedule, options)
    source = StepNoise(x, noise, backend_for(x).normal)
    walk = _walk(schedule, sampler, denoise, x, source)
    return progress_bar(walk, len(schedule)) if progress else walk


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
