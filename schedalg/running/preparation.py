"""What a run is made of: its backend, its rows and its noise, from what a user gives."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    given,
    has_values,
    multiplier,
    namespace,
    requires_gradient,
    weighted,
    widened,
)
from schedalg.checks import check_memory, check_sample
from schedalg.network.bounds import Clamp
from schedalg.network.reading import default_prediction
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.plan.plan import Plan
from schedalg.running import philox
from schedalg.running.backend import Backend, backend_for
from schedalg.running.noise import Keys, NoiseSource, constant_noise, noise_for
from schedalg.running.rows import Rows, rows_of
from schedalg.samplers.protocols import Noise
from schedalg.schedule.timesteps import timestep_batch

#: Keys, one a sample, (B, 2); a function of x that draws noise like it; or None where no row has
#: noise.
Source: TypeAlias = "Keys | Noise | None"


def checked_backend(plan: Plan, x: Array) -> Backend:
    """Return the backend that takes x through a plan.

    Raises:
        TypeError: x is not an array, or its dtype cannot be run; or it is of another library than a
            schedule that a gradient flows through.
        ValueError: x has no batch dimension, or cannot be run on its device.
    """
    check_sample("x", x)
    if not isinstance(plan.schedule.log_alpha_bar.high, np.ndarray):
        namespace(x, plan.schedule.log_alpha_bar.high)  # raises if they are of two libraries
    return backend_for(x)


def timesteps_of(plan: Plan, rows: Rows, x: Array, backend: Backend) -> Sequence[Array]:
    """Return the timesteps of each row for the network, (B,) each, on x's device."""
    if compiling(x) or (requires_gradient(plan.timesteps) and has_values(plan.timesteps)):
        return [timestep_batch(x, timestep) for timestep in rows.timesteps]
    return backend.timesteps(plan.timesteps, x)


def meaning_of(plan: Plan, prediction: Prediction | Parameterization | None) -> Parameterization:
    """Return what a network's output means, by name, value or the schedule's default."""
    return parameterization(default_prediction(plan.schedule) if prediction is None else prediction)


def rows_for(
    plan: Plan, meaning: Parameterization, bound: Callable[[Array], Array] | None, x: Array
) -> tuple[Rows, Callable[[Array], Array] | None]:
    """Return the rows, and the function that bounds x0 outside of them: None if they clamp it.

    A network's own output enters the update with one coefficient. What was bounded or changed on
    the way is an x0 prediction, and enters with that of x0; backends clamp it themselves.
    """
    if bound is None or type(bound) is Clamp:
        return rows_of(plan, x, meaning, bound), None
    return rows_of(plan, x, meaning, "given"), bound


def source_for(plan: Plan, rows: Rows, x: Array, noise: NoiseSource) -> Source:
    """Return where the noise comes from; None if the plan needs none, and none was given."""
    if noise is None and not any(rows.noisy) and not given(plan.start[1]):
        return None
    if not compiling(x):
        return noise_for(x, noise)
    words = [(*rows.start, philox.STEP)] if given(plan.start[1]) else []
    words += [rows.words[k] for k, noisy in enumerate(rows.noisy) if noisy]
    return constant_noise(x, noise, words)


def raise_without_variance(x: Array) -> None:
    """Say that a plan takes a learned variance, which the network does not have.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        "a learned variance needs a network whose output has twice the channels of x on axis 1, "
        f"and this one's has the shape of x, {tuple(x.shape)}"
    )


def started(plan: Plan, rows: Rows, x: Array, source: Source, backend: Backend) -> Array:
    """Return x as the first row takes it."""
    scale, noise = plan.start
    if isinstance(scale, float) and isinstance(noise, float) and (scale, noise) == (1.0, 0.0):
        return x
    like = widened(x[:0, ...])
    scale, noise = multiplier(scale, like), multiplier(noise, like)
    if given(noise):
        keys: Any = source  # which are there, or a function: see `source_for`
        words = (*rows.start, philox.STEP)
        z = source(x) if callable(source) else backend.normal(x, keys, words)
        check_memory("x", x)
        return weighted([(scale, x), (noise, z)])
    return weighted([(scale, x)])
