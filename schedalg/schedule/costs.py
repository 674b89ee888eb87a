"""What steps cost, for `choose`: by a solver's weights, by trajectories, by lengths of a path.

All are matrices C[i, j], what the step from point j down to point i costs, and `inf` where i >= j.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.checks import (
    check_callable,
    described,
    host_array,
    host_numbers,
    host_result,
    raise_stopped,
    require,
)
from schedalg.schedule import double_double, path
from schedalg.schedule.errors import host_log_alpha_bar

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: alpha and sigma of a number of points -> how far predictions of x0 are off there.
AssumedError: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray | float]


def weight_costs(schedule: "Schedule", error: AssumedError | None = None) -> np.ndarray:
    """Return how much an error of each prediction moves the result: C[i, j] of the step j → i.

    A DDIM step from j to i has the prediction at j with a weight, of which sigma_0 / sigma_i is
    left at the least noisy point. Together that is

        C[i, j] = sigma_0 (alpha_i / sigma_i - alpha_j / sigma_j) error_j.

    The sum over the steps of a respacing is `plan.error_bound(error)` of DDIM down to the least
    noisy point. It needs no network.

    Args:
        schedule: The schedule to choose points from.
        error: A function of alpha and sigma, arrays (N,), that returns how far predictions of x0
            are off: the root of a mean square, or any multiple of it. None: sigma / alpha, an error
            of epsilon that is the same at all points.

    Returns:
        (N, N), float64 NumPy.

    Raises:
        TypeError: `error` is not a function, or does not return real numbers.
        ValueError: What it returns is negative, not finite or of another shape. (sigma / alpha is
            infinite at pure noise.)

    Example:
        >>> from schedalg import Schedule
        >>> s = Schedule.from_sigmas([0.5, 1.0, 2.0])
        >>> s.weight_costs(lambda alpha, sigma: 0.1 * sigma).round(4)
        array([[  inf, 0.05, 0.15],
               [  inf,  inf, 0.05],
               [  inf,  inf,  inf]])

    Source: Xue et al., arXiv 2402.17376.
    """
    alpha, sigma = (to_host(scale).astype(np.float64) for scale in (schedule.alpha, schedule.sigma))
    off = assumed_error(error, alpha, sigma)
    left = sigma[:1] / sigma
    return _upper(left[:, None] * ddim_steps(schedule)[1] * off)


def _upper(costs: np.ndarray) -> np.ndarray:
    """Return costs with `inf` where there is no step."""
    return np.where(np.triu(np.ones(costs.shape, dtype=bool), 1), costs, np.inf)


def assumed_error(error: AssumedError | None, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return how far predictions are assumed to be off where alpha and sigma are as given.

    Raises:
        TypeError: `error` is not a function, or does not return real numbers.
        ValueError: It returns another shape, or a number that is negative or not finite.
    """
    returned: Any
    if error is None:
        with np.errstate(divide="ignore"):
            returned = sigma / alpha
    else:
        check_callable("error", error)
        try:
            returned = error(alpha.copy(), sigma.copy())
        except StopIteration as stopped:
            raise_stopped(stopped, "error")
    values = host_result("what error returns", returned)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"error must return real numbers, got {described(returned)}")
    if values.shape not in ((), alpha.shape):
        raise ValueError(
            f"error must return an array of shape {alpha.shape}, as alpha; got {values.shape}"
        )
    values = np.full(alpha.shape, values, dtype=np.float64)
    allowed = np.isfinite(values) & (values >= 0)
    hint = "" if error else " (sigma / alpha is infinite at pure noise: give an error of your own)"
    require("error", values, allowed, f"it must be finite and at least 0{hint}")
    return values


def trajectory_costs(schedule: "Schedule", states: Array, predictions: Array) -> np.ndarray:
    """Return how far one step from a trajectory misses it: C[i, j] = ‖DDIM_{j→i}(x_j) - x_i‖.

    The trajectory is one of many small steps, through all points. From each of its states, a DDIM
    step with its own prediction goes to each later one. The distance is the root of the mean square
    over elements, averaged over samples. (`schedalg.trajectory_costs` finds the predictions for
    what `trajectories` returned.)

    Args:
        schedule: The schedule to choose points from, of N points.
        states: (N, B, ...), x at each point, the least noisy first.
        predictions: (N, B, ...), the x0 predictions there.

    Returns:
        (N, N), float64 NumPy.

    Raises:
        TypeError: They do not hold real numbers.
        ValueError: They are not of one shape with N entries and a batch, or a number is not finite.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule
        >>> s = Schedule.from_sigmas([1.0, 2.0, 4.0])
        >>> x, x0 = np.array([[[1.0]], [[2.0]], [[4.0]]]), np.zeros((3, 1, 1))
        >>> s.trajectory_costs(x, x0).round(12)  # a straight line
        array([[inf,  0.,  0.],
               [inf, inf,  0.],
               [inf, inf, inf]])

    Source: Chen et al., arXiv 2405.11326 (GITS).
    """
    n = len(schedule)
    x = checked_trajectory("states", states, n)
    x0 = checked_trajectory("predictions", predictions, n)
    if x.shape != x0.shape:
        raise ValueError(
            f"states and predictions must have one shape; got {x.shape} and {x0.shape}"
        )
    of_x, of_x0 = (steps[:, :, None, None] for steps in ddim_steps(schedule))
    costs = np.full((n, n), np.inf)
    for i in range(n - 1):
        later = slice(i + 1, None)
        costs[i, later] = distances(of_x[i, later] * x[later] + of_x0[i, later] * x0[later], x[i])
    return costs


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the root of the mean square over the last axis of x - y, averaged over samples."""
    return np.asarray(np.sqrt(np.mean((x - y) ** 2, axis=-1)).mean(axis=-1))


def ddim_steps(schedule: "Schedule") -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of x and x0 in a DDIM step from j to i, where i < j: (N, N) each."""
    alpha, sigma = (to_host(scale).astype(np.float64) for scale in (schedule.alpha, schedule.sigma))
    levels, n = host_log_alpha_bar(schedule), len(schedule)
    of_x0 = np.zeros((n, n))
    for i in range(n - 1):
        s, t = (double_double.take(levels, part) for part in (slice(i, i + 1), slice(i + 1, None)))
        # alpha_i (1 - e^-h), without the subtraction.
        of_x0[i, i + 1 :] = alpha[i] * path.snr_drop(np, t, s) / (1 + path.snr_root(np, t, s))
    return np.triu(sigma[:, None] / sigma[None, :], 1), of_x0


def checked_trajectory(name: str, values: Array, n: int) -> np.ndarray:
    """Return an array with an entry for each point as float64, (n, B, elements).

    Raises:
        TypeError: It does not hold real numbers.
        ValueError: It has another number of entries or no batch, or a number is not finite.
    """
    array = host_array(name, values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {described(array)}")
    if array.ndim < 2 or array.shape[0] != n or 0 in array.shape[1:]:
        raise ValueError(
            f"{name} must have shape ({n}, B, ...), an entry for each of the schedule's {n} points "
            f"and at least one sample; got {array.shape}"
        )
    array = array.reshape((*array.shape[:2], -1)).astype(np.float64)
    finite = np.isfinite(array).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"{name}[{int(np.argmin(finite))}] holds NaN or infinity")
    return array


def length_costs(schedule: "Schedule", lengths: Sequence[float] | Array) -> np.ndarray:
    """Return the squares of the lengths of steps along a path: C[i, j] = (Σ of i < k <= j)².

    Where all steps are equally long, their sum is least: so `choose` finds the points that divide
    the path evenly.

    Args:
        schedule: The schedule to choose points from, of N points.
        lengths: (N,), entry k that of the way from point k - 1 to point k, such as
            `score_lengths`. Entry 0 is not used.

    Returns:
        (N, N), float64 NumPy.

    Raises:
        TypeError: `lengths` does not hold real numbers.
        ValueError: There are not N of them, or one is negative or not finite.

    Example:
        >>> from schedalg import Schedule, choose
        >>> s = Schedule.from_sigmas([1.0, 2.0, 3.0, 4.0, 5.0])
        >>> choose(s, 3, s.length_costs([0.0, 1.0, 1.0, 2.0, 4.0])).timesteps
        array([1., 4., 5.])

    Source: Williams et al., arXiv 2412.07877.
    """
    values, n = host_numbers("lengths", lengths).astype(np.float64), len(schedule)
    if len(values) != n:
        raise ValueError(
            f"lengths must have one entry for each of the schedule's {n} points; got {len(values)}"
        )
    values = np.append(np.zeros(min(n, 1)), values[1:])
    require("lengths", values, np.isfinite(values) & (values >= 0), "must be finite and at least 0")
    reached = np.cumsum(values)
    return _upper((reached[None, :] - reached[:, None]) ** 2)
