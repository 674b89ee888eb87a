"""The training side: noisy inputs and targets at the points of a schedule."""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, device, namespace
from schedalg.checks import check_like, check_sample, checked_positions
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.schedule import path
from schedalg.schedule.path import Kind

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def add_noise(schedule: "Schedule", x0: Array, noise: Array, k: int | Array) -> Array:
    """Return x_k = alpha_k x0 + sigma_k noise, in the scale of the path.

    A network is trained on the schedule as it was made. After `as_vp`, `as_ve` or `as_flow`, x_k is
    not in the network's scale, and samplers bring it there.

    Args:
        schedule: Where alpha and sigma are read.
        x0: (B, ...), clean data in real floating point.
        noise: As x0: a standard normal draw.
        k: Position in the schedule, from 0 to N - 1: an int or (B,) integers, one a sample. On JAX
            or a GPU, a position out of range is what its library makes of it: looking would stop
            the device.

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
    prediction: Prediction | Parameterization = "epsilon",
) -> Array:
    """Return what a perfect network puts out at x_k: the noise, x0, v = alpha noise - sigma x0, ...

    Args:
        schedule: Where alpha and sigma are read, in the scale of the network.
        x0: (B, ...), clean data in real floating point.
        noise: As x0: the draw that was added.
        k: Position in the schedule, an int or (B,) integers, as in `add_noise`.
        prediction: "epsilon", "x0", "v", "flow" (noise - x0), "score" (-noise / sigma), "edm", or a
            `Parameterization`.

    Returns:
        An array like x0.

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
    of_x0, of_noise = parameterization(prediction).weights_at(alpha, sigma)
    return of_x0 * x0 + of_noise * noise


def _scales_at(
    schedule: "Schedule", kind: Kind, x0: Array, noise: Array, k: int | Array
) -> tuple[Array, Array]:
    """Return alpha and sigma at k, shaped and typed to multiply x0."""
    check_sample("x0", x0)
    check_like("noise", noise, x0)
    xp = namespace(x0)
    _check_not_negative(k, len(schedule))
    position = checked_positions("k", k, len(schedule), x0)
    own = namespace(schedule.log_alpha_bar.high)
    scales = path.alpha_sigma(own, path.inner(schedule.log_alpha_bar), kind)
    shape = tuple(position.shape) + (1,) * (x0.ndim - position.ndim)
    alpha, sigma = (
        xp.reshape(xp.take(_like(scale, x0), xp.reshape(position, (-1,))), shape)
        for scale in scales
    )
    return alpha, sigma


def _check_not_negative(k: int | Array, n: int) -> None:
    """Raise if an int is below 0, and say where that comes from.

    `schedule[-1]` is the noisiest point, and position -1 before all points is clean data: it is
    not to be guessed which of them is meant.

    Raises:
        ValueError: It is.
    """
    if isinstance(k, int | np.integer) and k < 0 < n:
        raise ValueError(
            f"k is {k}: positions are 0 to {n - 1}, and {n - 1} is the noisiest. If k is a number "
            "of steps minus 1, then the strength that it comes from rounds to no steps: take at "
            "least one, or leave x0 as it is"
        )


def _like(values: Array, x: Array) -> Array:
    """Return a schedule's table in x's dtype; one of NumPy also in x's library, on its device."""
    if isinstance(values, np.ndarray):
        return namespace(x).asarray(values, dtype=x.dtype, device=device(x), copy=True)
    return namespace(values, x).astype(values, x.dtype)
