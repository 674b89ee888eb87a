"""What a plan's result is made of: x at the start, every prediction and every draw of noise."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.plan.columns import host_start

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


class Weights(NamedTuple):
    """The weights in result = x x_T + Σ predictions_k x0_k + Σ noise_k z_k.

    Attributes:
        x: Weight of x before the first row.
        predictions: Weight of the x0 prediction of each row, (K,).
        noise: Weights of the draws, (K + 1,): before the first row (`plan.start`), and in each row.
    """

    x: float
    predictions: np.ndarray
    noise: np.ndarray


class Adjoint(NamedTuple):
    """How much of what arises on the way is in the result. Columns, or tables with a last axis.

    Attributes:
        x: Weight of x before the first row.
        memories: Weight of each row's memory, (K, ...).
        noise: Weights of the draws, (K + 1, ...).
    """

    x: np.ndarray
    memories: np.ndarray
    noise: np.ndarray


def weights(plan: "Plan") -> Weights:
    """Return how much of each prediction is in the result, and of x_T and of each draw of noise.

    The table is run on symbols, from its last row back to its first. Predictions are not bounded. A
    method that returns a point when the data are that point has

        Σ predictions = alpha_origin - x alpha_T.

    Returns:
        The factors of x_T, a number; of the predictions, (K,), the first call's first; and of the
        draws of noise, (K + 1,): before the first row, and in each row.

    Raises:
        ValueError: The variance is learned, or a row calls the network at clean data and uses its
            slope there, which x0 does not determine.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> s = Schedule.linear(1000).subsample(steps=4)
        >>> x, predictions, noise = DDIM().plan(s[1:]).weights()
        >>> round(x, 6), predictions.round(6)
        (0.68988, array([0.035617, 0.161472, 0.522466]))
        >>> bool(abs(predictions.sum() - (s[1:].origin.alpha - x * s[-1].alpha)) < 1e-15)
        True
    """
    p, q, u, alpha, sigma = (
        to_host(getattr(plan, name)).astype(np.float64)
        for name in ("p", "q", "u", "alpha", "sigma")
    )
    slopes = q != 0
    undetermined = slopes & (sigma == 0)
    if undetermined.any():
        raise ValueError(
            f"row {int(np.argmax(undetermined))} uses the slope at clean data, which no x0 "
            "determines: use a sampler that does not call the network there, such as "
            "Heun(clean_stages=False)"
        )
    # p x0 + q eps + u x0, with eps = (x - alpha x0) / sigma.
    of_x = np.where(slopes, q / np.where(slopes, sigma, 1.0), 0.0)
    adjoint = backwards(plan, of_x)
    return Weights(
        float(adjoint.x), adjoint.memories * (p + u - of_x * alpha), np.asarray(adjoint.noise)
    )


def backwards(plan: "Plan", of_x: np.ndarray) -> Adjoint:
    """Return the weights of x, of memories and of noise in a plan's result, by one pass backwards.

    Args:
        plan: The plan; its learned variance must be None.
        of_x: (K, ...), how much of x is in each row's memory.

    Raises:
        ValueError: The variance is learned.
    """
    if plan.log_variance is not None:
        raise ValueError(
            "the variance of this plan is learned (log_variance is not None): how much noise is in "
            "its result depends on the network"
        )
    a, b, c = (_host(column) for column in (plan.a, plan.b, plan.c))
    scale, noise = host_start(plan.start)
    shape = of_x.shape[1:]
    of_result = np.ones(shape)
    memories, draws = np.zeros((len(plan), *shape)), np.zeros((len(plan) + 1, *shape))
    for k in range(len(plan) - 1, -1, -1):
        draws[k + 1] = of_result * c[k]
        for back in range(min(b.shape[1], k + 1)):
            memories[k - back] += of_result * b[k, back]
        of_result = of_result * a[k] + memories[k] * of_x[k]
    draws[0] = of_result * noise
    return Adjoint(of_result * scale, memories, draws)


def _host(column: Array) -> np.ndarray:
    return to_host(column).astype(np.float64, copy=False)
