"""The coefficients between x, the model input, the output and its x0 and eps predictions."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from schedalg.arrays import Array, namespace, requires_gradient
from schedalg.checks import described, host_result
from schedalg.parameterization import (
    PARAMETERIZATIONS,
    Parameterization,
    Prediction,
)
from schedalg.schedule import Schedule
from schedalg.schedule.path import Kind


class Reading(NamedTuple):
    """Coefficients of the model input and of the predictions, at one or many noise levels.

        input = c_in x,    x0 = c_x x + c_out output,    eps = e_x x + e_out output

    Each is a number, or a column of numbers. It is infinite or NaN where the output does not
    determine the prediction. x is in the scale of the schedule.
    """

    c_in: Any
    c_x: Any
    c_out: Any
    e_x: Any
    e_out: Any


def default_prediction(schedule: Schedule) -> Prediction:
    """Return the default of `prediction`: "flow" for networks of flow matching, else "epsilon"."""
    return "flow" if schedule.network_kind == "flow" else "epsilon"


def reading_at(
    meaning: Parameterization,
    schedule: Schedule,
    alpha: Any,
    sigma: Any,
    checked: Callable[[str, Any], Any] = lambda name, value: value,
) -> Reading:
    """Return the coefficients of a network at the noise level x = alpha x0 + sigma eps.

    Args:
        meaning: The parameterization, in the scale that the network was trained in.
        schedule: Its `kind` is the scale of x, and its `network_kind` that of the network.
        alpha: Signal scale of x: a number, or an array.
        sigma: Noise scale of x: a number, or an array.
        checked: Called with the name and the value that each function of the parameterization
            returned; returns the value to use.

    Raises:
        TypeError: A function of the parameterization does not return numbers.
    """
    scale = 1.0
    if schedule.network_kind != schedule.kind:
        scale = scale_to(schedule.network_kind, alpha, sigma)
        alpha, sigma = alpha * scale, sigma * scale
    try:
        c_in, c_x, c_out, e_x, e_out = meaning._read_at(alpha, sigma, checked)
        if schedule.network_kind == schedule.kind:
            return Reading(c_in, c_x, c_out, e_x, e_out)
        return Reading(c_in * scale, c_x * scale, c_out, e_x * scale, e_out)
    except TypeError as error:
        raise TypeError(f"the parameterization must return numbers: {error}") from error


def reading_of(
    meaning: Parameterization, schedule: Schedule, alpha: Array, sigma: Array
) -> Reading:
    """Return the coefficients of a network at many noise levels, as columns like alpha.

    Raises:
        TypeError: A function of the parameterization returns neither a number nor one for each.
    """

    def filled(name: str, values: Any) -> Array:
        return _filled(name, values, alpha)

    reading = reading_at(meaning, schedule, alpha, sigma, filled)
    return Reading(*map(filled, Reading._fields, reading))


def _filled(name: str, values: Any, alpha: Array) -> Array:
    """Return what a function of a parameterization returned, one number or more, as a column."""
    if not isinstance(alpha, np.ndarray):
        return namespace(alpha).zeros_like(alpha) + values
    if type(values) is np.ndarray and values.dtype == np.float64 and values.shape == alpha.shape:
        return values
    if type(values) is float:
        return np.full(len(alpha), values)
    if requires_gradient(values):
        raise TypeError(
            f"{name} of the parameterization requires a gradient, and the schedule does not: it "
            "would be lost"
        )
    values = host_result(f"{name} of the parameterization", values)
    if values.dtype.kind not in "iuf" or values.shape not in ((), alpha.shape):
        raise TypeError(
            f"{name} of the parameterization must return one number, or {len(alpha)}, "
            f"one for each noise level; got {described(values)}"
        )
    return np.full(len(alpha), values, dtype=np.float64)


def raise_undetermined(meaning: Parameterization, timestep: int | float, alpha: float) -> NoReturn:
    """Say that a network's output determines no x0 at a noise level, and what to do.

    Raises:
        ValueError: Always.
    """
    names = (name for name, known in PARAMETERIZATIONS.items() if known is meaning)
    named = next(names, "custom")
    hint = " (zero SNR): use a network that predicts 'v' or 'x0'"
    if alpha:
        hint = (
            ": if no noise is left there, a bounded or predicted x0 has no slope; use a network "
            "that predicts 'flow', without clip, or a sampler that does not call it there, such as "
            "Heun(clean_stages=False)"
        )
    raise ValueError(
        f"prediction={named!r} does not determine x0 at timestep {timestep}, where alpha is "
        f"{alpha:.6g}{hint}"
    )


def scale_to(kind: Kind, alpha: Any, sigma: Any) -> Any:
    """Return the factor that brings x = alpha x0 + sigma eps to the scale of `kind`."""
    if kind == "ve":
        return 1 / alpha
    if kind == "flow":
        return 1 / (alpha + sigma)
    return 1 / (alpha**2 + sigma**2) ** 0.5
