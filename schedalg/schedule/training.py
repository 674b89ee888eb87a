"""The training side: noisy inputs and targets at the points of a schedule."""

from typing import TYPE_CHECKING

import numpy as np

from schedalg import tables
from schedalg.arrays import Array, ArrayT, namespace
from schedalg.checks import check_like, check_sample, checked_positions, shown
from schedalg.libraries import Library, library_of
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.schedule import path
from schedalg.schedule.path import Kind

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def add_noise(schedule: "Schedule", x0: ArrayT, noise: Array, k: int | Array) -> ArrayT:
    """Return x_k = alpha_k x0 + sigma_k noise, in the scale of the path.

    A network is trained on the schedule as it was made. After `as_vp`, `as_ve` or `as_flow`, x_k is
    not in the network's scale, and samplers bring it there.

    Args:
        schedule: Where alpha and sigma are read.
        x0: (B, ...), clean data in real floating point.
        noise: As x0: a standard normal draw.
        k: Position in the schedule, from 0 to N - 1: an int; (B,) integers, one a sample; (B, T),
            one a frame of x0 (B, T, ...); or any other leading part of x0's shape. On JAX, on a GPU
            and under `torch.compile`, positions are not checked, since reading them would make the
            program wait for the device. What is returned for one out of range is up to the library.

    Returns:
        An array like x0.

    Raises:
        TypeError: x0 is not a real floating array, or k does not hold integers.
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
    noisy: ArrayT = _mixed(schedule, schedule.kind, None, x0, noise, k)
    return noisy


def target(
    schedule: "Schedule",
    x0: ArrayT,
    noise: Array,
    k: int | Array,
    prediction: Prediction | Parameterization = "epsilon",
) -> ArrayT:
    """Return what a perfect network returns at x_k: the noise, x0, v = alpha noise - sigma x0, ...

    Args:
        schedule: Where alpha and sigma are read, in the scale of the network.
        x0: (B, ...), clean data in real floating point.
        noise: As x0: the draw that was added.
        k: Position in the schedule, an int or integers (B,) or (B, T), as in `add_noise`.
        prediction: "epsilon", "x0", "v", "flow" (noise - x0), "score" (-noise / sigma), "edm", or a
            `Parameterization`.

    Returns:
        An array like x0.

    Raises:
        TypeError: x0 is not a real floating array, or k does not hold integers.
        ValueError: The shapes or dtypes differ, k is out of range, or `prediction` is unknown.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule
        >>> s, x0, noise = Schedule.linear(1000), np.zeros((2, 3)), np.ones((2, 3))
        >>> s.target(x0, noise, 999, "v").round(4)[0]
        array([0.0064, 0.0064, 0.0064])

    Source: Salimans and Ho, arXiv 2202.00512, section 4.
    """
    parameterization(prediction)
    wanted: ArrayT = _mixed(schedule, schedule.network_kind, prediction, x0, noise, k)
    return wanted


def _mixed(
    schedule: "Schedule",
    kind: Kind,
    prediction: Prediction | Parameterization | None,
    x0: Array,
    noise: Array,
    k: int | Array,
) -> Array:
    """Return p x0 + q noise, where p and q are the weights of a prediction at position k.

    Without a prediction (None), they are alpha and sigma, and the result is x_k.
    """
    library = library_of(x0) or Library()  # if x0 is not an array, the checks raise
    points, on_host = library.constant_of(_extent, schedule)
    if not library.surely_fit(x0, noise, k, points):
        check_sample("x0", x0)
        check_like("noise", noise, x0, "x0")
        _check_not_negative(k, points)
        k = checked_positions("k", k, points, x0)
    ones = x0.ndim - (1 if isinstance(k, int) else max(k.ndim, 1))  # dimensions after those of k
    # A user's functions of alpha and sigma may change: they are called at k every time.
    called = isinstance(prediction, Parameterization)
    if on_host:
        listed = None if called else prediction
        table = tables.copied(x0, x0.dtype, _weights, schedule, kind, listed, ones)
    else:
        called = prediction is not None
        table = _traced_scales(schedule, kind, x0, ones)
    if not called:
        return library.mixed_at(table, k, x0, noise)
    p, q = parameterization(prediction).weights_at(*library.rows_at(table, k))
    return p * x0 + q * noise


def _extent(schedule: "Schedule") -> tuple[int, bool]:
    """Return the number of points, and whether they are on the host."""
    high = schedule.log_alpha_bar.high
    return high.shape[0] - 1, isinstance(high, np.ndarray)


def _weights(
    schedule: "Schedule", kind: Kind, prediction: Prediction | Parameterization | None, ones: int
) -> np.ndarray:
    """Return p and q at every point of a schedule on the host, (2, N, 1, ...)."""
    weights = path.alpha_sigma(np, path.inner(schedule.log_alpha_bar), kind)
    if prediction is not None:
        with np.errstate(invalid="ignore"):  # EDM's where sigma is infinite
            weights = parameterization(prediction).weights_at(*weights)
    table = np.empty((2, len(schedule)))
    table[0], table[1] = weights
    return table.reshape(2, -1, *(1,) * ones)


def _traced_scales(schedule: "Schedule", kind: Kind, x0: Array, ones: int) -> Array:
    """Return alpha and sigma at every point of a schedule elsewhere, (2, N, 1, ...)."""
    column = schedule.log_alpha_bar
    xp = namespace(column.high, x0)
    scales = xp.stack(path.alpha_sigma(xp, path.inner(column), kind))
    return xp.reshape(xp.astype(scales, x0.dtype), (2, -1, *(1,) * ones))


def _check_not_negative(k: int | Array, n: int) -> None:
    """Raise if an int is below 0, with its likely cause.

    -1 may mean the noisiest point, as in `schedule[-1]`, or the clean data before all points.

    Raises:
        ValueError: It is below 0.
    """
    if isinstance(k, int | np.integer) and k < 0 < n:
        raise ValueError(
            f"k is {shown(int(k))}: positions are 0 to {n - 1}, and {n - 1} is the noisiest. If k "
            "is a number of steps minus 1, then the strength that it comes from rounds to no "
            "steps: take at least one, or leave x0 as it is"
        )
