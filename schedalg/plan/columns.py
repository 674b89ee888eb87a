"""The columns of a plan: where the network is called, and checks of the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import (
    Array,
    flipped,
    has_values,
    holds,
    is_array,
    namespace,
    requires_gradient,
    to_host,
)
from schedalg.checks import as_array, described, host_numbers, real_number, shown
from schedalg.plan.steps import array_like, column_scales
from schedalg.schedule import Schedule
from schedalg.schedule.slopes import differentiable_timesteps
from schedalg.schedule.timesteps import canonical_timesteps

#: The columns of a plan that hold floats, in the order in which they are printed.
FLOATS = ("alpha", "sigma", "p", "q", "u", "a", "b", "c", "log_variance")


class Evaluations(NamedTuple):
    """The noise levels at which a plan calls the network, one for each row.

    alpha and sigma are in the scale of the schedule.

    Attributes:
        timesteps: The timestep passed to the network, (K,): a NumPy array, unless a gradient flows
            through the schedule and moves them.
        alpha: Signal scale, (K,).
        sigma: Noise scale, (K,).

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Evaluations, Plan, Schedule
        >>> s = Schedule.karras(3)
        >>> plan = DDIM().plan(s)
        >>> quarter_log = Evaluations(np.log(s.timesteps[::-1]) / 4, plan.alpha, plan.sigma)
        >>> Plan.of(s, a=plan.a, b=plan.b, evaluations=quarter_log).timesteps.round(3)
        array([ 1.096,  0.231, -1.554])
    """

    timesteps: Array
    alpha: Array
    sigma: Array


def schedule_evaluations(schedule: Schedule) -> Evaluations:
    """Return the points of a schedule, the noisiest first."""
    alpha, sigma = column_scales(schedule)
    return Evaluations(flipped(differentiable_timesteps(schedule)), alpha[:-1], sigma[:-1])


def checked_evaluations(
    schedule: Schedule, evaluations: Evaluations | None, high: Array
) -> Evaluations:
    """Return where a plan calls the network, as columns of its own.

    Args:
        schedule: The schedule of the plan.
        evaluations: What the sampler gave; None: the points of the schedule.
        high: An array like the columns.

    Raises:
        TypeError: They are no evaluations, or do not hold real numbers.
        ValueError: A number is not finite, or alpha or sigma is below what a network can be called
            at.
    """
    own = evaluations is None
    if evaluations is None:
        evaluations = schedule_evaluations(schedule)
    if not isinstance(evaluations, Evaluations):
        raise TypeError(f"evaluations must be Evaluations, got {described(evaluations)}")
    timesteps: Any = evaluations.timesteps
    if own and isinstance(timesteps, np.ndarray) and timesteps.dtype.kind == "i":
        timesteps = timesteps.copy()
    elif not (requires_gradient(timesteps) and requires_gradient(high)):
        timesteps = host_numbers("evaluations.timesteps", timesteps)
        require_finite("evaluations.timesteps", timesteps)
        timesteps = canonical_timesteps(timesteps)
    alpha, sigma = (
        checked_column("alpha", evaluations.alpha, high),
        checked_column("sigma", evaluations.sigma, high),
    )
    if own:  # which the schedule has checked
        return Evaluations(timesteps, alpha, sigma)
    # The velocity of a flow is defined at sigma = 0; other predictions are not.
    at_clean = schedule.network_kind == "flow"
    for name, scale, allowed in (
        ("alpha", alpha, alpha >= 0),
        ("sigma", sigma, sigma >= 0 if at_clean else sigma > 0),
    ):
        host = holds(allowed)
        if np.count_nonzero(host) < host.size:
            row = int(np.argmin(host))
            raise ValueError(
                f"{name}[{row}] is {to_host(scale)[row]}: a network is called where alpha is "
                f"at least 0, and sigma {'at least' if at_clean else 'above'} 0"
            )
    return Evaluations(timesteps, alpha, sigma)


def checked_column(name: str, values: Any, high: Array) -> Array:
    """Return a column as a float64 NumPy array, or as an array like `high` if that has a gradient.

    Raises:
        TypeError: `values` does not hold real numbers, or requires a gradient and `high` does not.
    """
    if type(values) is np.ndarray and values.dtype == np.float64 and type(high) is np.ndarray:
        return values.copy()
    array = as_array(name, values)
    if not requires_gradient(high):
        if requires_gradient(array):
            raise TypeError(f"{name} carries a gradient, and the schedule does not")
        host = to_host(array)
        if host.dtype.kind not in "iuf" and host.size:
            raise TypeError(f"{name} must hold real numbers, got dtype {host.dtype}")
        return np.array(host, dtype=np.float64)
    if isinstance(array, np.ndarray):
        return array_like(high, array)
    return namespace(high, array).astype(array, high.dtype, copy=False)


def checked_start(start: Any) -> tuple[Any, Any]:
    """Return (scale, noise) as floats; arrays that require a gradient are returned unchanged.

    Raises:
        TypeError: `start` is not a tuple, or does not hold numbers.
        ValueError: `start` does not have two entries, or one is not finite.
    """
    if not isinstance(start, tuple):
        raise TypeError(f"start must be a tuple (scale, noise), got {shown(start)}")
    if len(start) != 2:
        raise ValueError(f"start must be two numbers, (scale, noise); got {shown(start)}")
    scale, noise = (
        value if is_array(value) and requires_gradient(value) else real_number(f"start[{i}]", value)
        for i, value in enumerate(start)
    )
    return scale, noise


def host_start(start: tuple[Any, Any]) -> tuple[float, float]:
    """Return (scale, noise) as floats, without their gradient."""
    scale, noise = (float(to_host(value)) if is_array(value) else value for value in start)
    return scale, noise


def require_finite(name: str, host: np.ndarray) -> None:
    """Raise unless all numbers are finite.

    Raises:
        ValueError: A number is infinite or NaN.
    """
    finite = np.isfinite(host)
    if np.count_nonzero(finite) < finite.size:
        row = int(np.argwhere(~np.isfinite(host))[0, 0])
        raise ValueError(f"{name}[{row}] is {host[row].tolist()!r}: it must be finite")


def checked_step(step: Sequence[int] | np.ndarray, rows: int) -> np.ndarray:
    """Return the step of each row as an array of its own.

    Raises:
        TypeError: The numbers are no integers.
        ValueError: They fall, or are not one a row.
    """
    numbers = host_numbers("step", step)
    if numbers.size and numbers.dtype.kind != "i":
        raise TypeError(f"step must hold integers, got dtype {numbers.dtype}")
    falls = np.count_nonzero(numbers[1:] < numbers[:-1])
    if numbers.shape != (rows,) or falls or (rows and numbers[0] < 0):
        raise ValueError(
            f"step must be {rows} rising integers, one per row; got {numbers.tolist()}"
        )
    return numbers.astype(np.int64)


def check_rows(rows: int, columns: Mapping[str, Array]) -> None:
    """Raise unless the columns make a table with this number of rows.

    Raises:
        ValueError: A column has another shape or is not finite, or a row uses memories from before
            the first row.
    """
    hosts: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        simple = column.shape == (rows,) and name != "log_variance"
        if not simple and not _fits(name, tuple(column.shape), rows):
            shapes = {"b": f"({rows}, m)", "log_variance": f"({rows}, 2)"}
            raise ValueError(
                f"{name} must have shape {shapes.get(name, f'({rows},)')}, one row per call; got "
                f"{tuple(column.shape)}"
            )
        if has_values(column):
            hosts[name] = to_host(column)
    # All numbers are looked at together, and one by one only where a fault is to be named.
    numbers = np.concatenate([host.reshape(-1) for host in hosts.values()] or [np.empty(0)])
    if np.count_nonzero(np.isfinite(numbers)) < len(numbers):
        for name, host in hosts.items():
            require_finite(name, host)
    if "b" not in hosts:
        return
    reach = hosts["b"]
    # Row k has k rows before it.
    if any(np.count_nonzero(reach[:back, back]) for back in range(1, reach.shape[1])):
        early = np.triu(np.ones(reach.shape, dtype=bool), 1) & (reach != 0)
        row = int(np.argwhere(early)[0, 0])
        raise ValueError(
            f"b[{row}] is {reach[row].tolist()}: row {row} can use the memory of only {row} rows "
            "before it"
        )


def _fits(name: str, shape: tuple[int, ...], rows: int) -> bool:
    """Whether a column of a plan has a shape that it can have."""
    if name == "b":
        return len(shape) == 2 and shape[0] == rows and shape[1] > 0
    return shape == ((rows, 2) if name == "log_variance" else (rows,))
