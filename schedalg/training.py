"""The training side: noisy inputs and targets at the points of a schedule."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import device

from schedalg import path
from schedalg.arrays import Array, integer_dtype, is_array, is_real_floating, namespace
from schedalg.parameterization import Prediction, parameterization
from schedalg.path import Kind

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


def add_noise(schedule: "Schedule", x0: Array, noise: Array, k: int | Array) -> Array:
    """Return x_k = alpha_k x0 + sigma_k noise.

    Args:
        schedule: Where alpha and sigma are read.
        x0: (B, ...), clean data in real floating point.
        noise: As x0: a standard normal draw.
        k: Position in the schedule, an int or (B,) integers, one a sample. A position out of range
            is an error for ints and NumPy arrays, and whatever its library makes of it for others.

    Returns:
        An array like x0.

    Raises:
        TypeError: x0 is no real floating array, or k holds no integers.
        ValueError: The shapes or dtypes differ, or k is out of range.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule
        >>> s = Schedule.from_sigmas([0.5, 2.0])
        >>> s.add_noise(np.zeros((2, 3)), np.ones((2, 3)), np.array([0, 1])).round(12)
        array([[0.5, 0.5, 0.5],
               [2. , 2. , 2. ]])

    Source: Ho et al., arXiv 2006.11239, equation 4.
    """
    alpha, sigma = _scales_at(schedule, schedule.kind, x0, noise, k)
    return alpha * x0 + sigma * noise


def target(
    schedule: "Schedule",
    x0: Array,
    noise: Array,
    k: int | Array,
    prediction: Prediction = "epsilon",
) -> Array:
    """Return what a perfect network puts out at x_k: the noise, x0, or v = alpha noise - sigma x0.

    Args:
        schedule: Where alpha and sigma are read, in the scale of the network.
        x0: (B, ...), clean data in real floating point.
        noise: As x0: the draw that was added.
        k: Position in the schedule, an int or (B,) integers, as in `add_noise`.
        prediction: "epsilon", "x0" or "v".

    Raises:
        TypeError: x0 is no real floating array, or k holds no integers.
        ValueError: The shapes or dtypes differ, k is out of range, or `prediction` is unknown.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule
        >>> s, x0, noise = Schedule.linear(1000), np.zeros((2, 3)), np.ones((2, 3))
        >>> s.target(x0, noise, 999, "v").round(4)[0]
        array([0.0064, 0.0064, 0.0064])

    Source: Salimans and Ho, arXiv 2202.00512, section 4.
    """
    alpha, sigma = _scales_at(schedule, schedule.network_kind, x0, noise, k)
    return parameterization(prediction).target(alpha, sigma, x0, noise)


def _scales_at(
    schedule: "Schedule", kind: Kind, x0: Array, noise: Array, k: int | Array
) -> tuple[Array, Array]:
    """Return alpha and sigma at k, shaped and typed to multiply x0."""
    if not is_array(x0) or not is_real_floating(x0):
        raise TypeError(f"x0 must be a real floating-point array, got {_described(x0)}")
    xp = namespace(x0, noise)
    if noise.shape != x0.shape or noise.dtype != x0.dtype:
        raise ValueError(f"noise must be like x0, {_described(x0)}; got {_described(noise)}")
    position = checked_positions("k", k, len(schedule), x0)
    own = namespace(schedule.levels.high)
    scales = path.alpha_sigma(own, path.inner(schedule.levels), kind)
    shape = tuple(position.shape) + (1,) * (x0.ndim - position.ndim)
    alpha, sigma = (
        xp.reshape(xp.take(_like(scale, x0), xp.reshape(position, (-1,))), shape)
        for scale in scales
    )
    return alpha, sigma


def _like(values: Array, x: Array) -> Array:
    """Return a schedule's table in x's dtype; one of NumPy also in x's library, on its device."""
    if isinstance(values, np.ndarray):
        return namespace(x).asarray(values, dtype=x.dtype, device=device(x), copy=True)
    return namespace(values, x).astype(values, x.dtype)


def checked_positions(name: str, k: Any, n: int, x: Array) -> Array:
    """Return positions among n points as an integer array beside x: 0-d, or one a sample.

    Raises:
        TypeError: They are no integers.
        ValueError: There is not one a sample, or one on the host is out of range.
    """
    xp = namespace(x)
    position = k if is_array(k) else np.asarray(k)
    host = isinstance(position, np.ndarray)
    integral = position.dtype.kind in "iu" if host else xp.isdtype(position.dtype, "integral")
    if not integral:
        raise TypeError(f"{name} must hold integers, got {_described(position)}")
    if position.shape not in ((), (x.shape[0],)):
        raise ValueError(
            f"{name} must be one integer or {x.shape[0]}, one a sample; got shape {position.shape}"
        )
    if not host:
        return position
    outside = (position < 0) | (position >= n)
    if outside.any():
        index = int(np.argmax(outside))
        raise ValueError(
            f"{name}[{index}] is {position.flat[index]}: positions are 0 to {n - 1} in a schedule "
            f"of {n} points"
        )
    return xp.asarray(position, dtype=integer_dtype(xp, device(x)), device=device(x))


def _described(value: Any) -> str:
    if is_array(value):
        return f"shape {tuple(value.shape)}, dtype {value.dtype}"
    return type(value).__name__
