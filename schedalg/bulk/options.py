"""The options of a recipe: checked, written as what JSON holds, and read again."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from schedalg.arrays import Array, requires_gradient
from schedalg.checks import positive_integer, real_number, shown
from schedalg.network.bounds import Clamp, DynamicThreshold, bounding
from schedalg.network.denoiser import Denoiser
from schedalg.network.switching import switch
from schedalg.parameterization import PARAMETERIZATIONS, Parameterization, Prediction, edm
from schedalg.plan.plan import Plan, as_plan
from schedalg.running.plans import plan_of
from schedalg.samplers.serialization import value_to_dict
from schedalg.schedule import Schedule, check_schedule

#: (quantity, low, high), as `switch` bounds it; None leaves an end open.
Interval: TypeAlias = tuple[str, float | None, float | None]

QUANTITIES = ("sigma", "t", "timestep", "log_snr")


def checked_path(schedule: Any, sampler: Any, plan: Any) -> Schedule:
    """Return the schedule, the plan's own if there is a plan.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: There are both ways, or neither; or the sampler has no plan for the schedule.
    """
    if plan is not None:
        known = as_plan("plan", plan)
        if sampler is not None or (schedule is not None and schedule != known.schedule):
            raise ValueError(
                "plan takes the place of schedule and sampler: give the plan, or both of these"
            )
        _check_constant("plan", known.a)
        return known.schedule
    if schedule is None or sampler is None:
        raise ValueError("schedule and sampler must both be given, or a plan")
    check_schedule(schedule)
    if isinstance(sampler, Plan):
        raise TypeError("sampler must be a sampler: give a plan as plan=, without a schedule")
    _check_constant("schedule", schedule.log_alpha_bar.high)
    value_to_dict("sampler", sampler)
    plan_of(schedule, sampler)
    return schedule  # type: ignore[no-any-return]


def _check_constant(name: str, column: Array) -> None:
    if requires_gradient(column):
        raise TypeError(f"{name} requires a gradient, which JSON cannot hold: detach it first")


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape of a sample as a tuple of ints.

    Raises:
        TypeError: It is not a sequence of integers.
        ValueError: A size is below 1.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes):
        raise TypeError(
            f"shape must be that of one sample, such as (3, 32, 32); got {shown(shape)}"
        )
    return tuple(positive_integer(f"shape[{i}]", size) for i, size in enumerate(shape))


def checked_clip(clip: Any) -> tuple[float, float] | DynamicThreshold | None:
    """Return bounds of x0 as two floats, a `DynamicThreshold` unchanged, or None.

    Raises:
        TypeError: It is neither.
        ValueError: It is a pair whose first number is not below the second.
    """
    bounds = clip if isinstance(clip, Clamp | DynamicThreshold) else bounding(clip)
    if bounds is None or isinstance(bounds, DynamicThreshold):
        return bounds
    if not isinstance(bounds, Clamp):
        raise TypeError(
            "clip must be (low, high) or DynamicThreshold(...) in a recipe, which JSON holds; got "
            f"{shown(clip)}"
        )
    return bounds.low, bounds.high


def checked_interval(interval: Any, scale: float | None, schedule: Schedule) -> Interval | None:
    """Return the interval of guidance, with its bounds as floats.

    Raises:
        TypeError: It is not a tuple of a name and two numbers.
        ValueError: The quantity is unknown, `switch` does not take the bounds, or there is no
            guidance.
    """
    if interval is None:
        return None
    if scale is None:
        raise ValueError("guidance_interval needs a guidance_scale")
    if not isinstance(interval, tuple | list) or len(interval) != 3:
        raise TypeError(f"guidance_interval must be (quantity, low, high), got {shown(interval)}")
    quantity, *ends = interval
    if quantity not in QUANTITIES:
        raise ValueError(
            f"guidance_interval[0] must be one of {', '.join(QUANTITIES)}; got {shown(quantity)}"
        )
    low, high = (
        None if end is None or end == math.inf else real_number(f"guidance_interval[{i}]", end)
        for i, end in enumerate(ends, 1)
    )
    inner = Denoiser(lambda x, timesteps: x, schedule)
    try:
        switch(inner, inner, **bounds_of((quantity, low, high)))
    except ValueError as error:
        raise ValueError(f"guidance_interval: {error}") from None
    return quantity, low, high


def written_prediction(prediction: Prediction | Parameterization | None) -> Any:
    """Return what a network predicts for JSON.

    Raises:
        TypeError: It is a parameterization made of functions.
    """
    if prediction is None or isinstance(prediction, str):
        return prediction
    for name, known in PARAMETERIZATIONS.items():
        if prediction == known:
            return name
    data = getattr(prediction.weights, "data", None)
    if isinstance(data, float) and prediction == edm(data):
        return {"edm": data}
    raise TypeError(
        "prediction must be a name or edm(...) in a recipe, which JSON holds; got a "
        "Parameterization of functions"
    )


def read_prediction(data: Any) -> Any:
    """Return the prediction that `written_prediction` wrote.

    Raises:
        ValueError: It is not what `written_prediction` writes.
    """
    if not isinstance(data, Mapping):
        return data
    if set(data) != {"edm"}:
        raise ValueError(f"prediction must be a name or {{'edm': sigma_data}}, got {list(data)}")
    return edm(data["edm"])


def written_clip(clip: tuple[float, float] | DynamicThreshold | None) -> Any:
    """Return bounds of x0 for JSON."""
    if isinstance(clip, DynamicThreshold):
        return {"quantile": clip.quantile, "max_value": clip.max_value}
    return None if clip is None else list(clip)


def read_clip(data: Any) -> Any:
    """Return the bounds that `written_clip` wrote.

    Raises:
        ValueError: They are none.
    """
    if not isinstance(data, Mapping):
        return data
    if set(data) != {"quantile", "max_value"}:
        raise ValueError(
            f"clip must be two numbers, or hold quantile and max_value; got {list(data)}"
        )
    return DynamicThreshold(data["quantile"], data["max_value"])


def read_tuple(values: Any) -> Any:
    """Return a list of JSON as a tuple, and all else unchanged, to be checked."""
    return tuple(values) if isinstance(values, list) else values


def bounds_of(interval: Interval) -> dict[str, Any]:
    """Return an interval as `switch` takes it."""
    quantity, low, high = interval
    return {f"{quantity}_min": low, f"{quantity}_max": high}
