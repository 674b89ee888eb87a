"""How far errors of the network can move a plan's result."""

import math
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import to_host
from schedalg.plan.weights import weights
from schedalg.schedule.costs import AssumedError, assumed_error

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


def error_bound(plan: "Plan", error: AssumedError | None = None) -> float:
    """Return the sum of `|weight| error` over the predictions in a plan's result.

    It needs no network. If each prediction is off by at most `error`, the result is off by no more
    than that. It can be an objective of `minimize`.

    Args:
        plan: The plan.
        error: A function of alpha and sigma, arrays (K,), that returns how far predictions of x0
            are off: the root of a mean square, or any multiple of it. None: sigma / alpha, an error
            of epsilon that is the same in all rows.

    Raises:
        TypeError: `error` is not a function, or does not return real numbers.
        ValueError: What it returns is negative, not finite or of another shape; or as `weights`.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> s = Schedule.linear(1000).subsample(steps=4)
        >>> round(DDIM().plan(s[1:]).error_bound(lambda alpha, sigma: 0.1 * sigma), 4)
        0.0698

    Source: Xue et al., arXiv 2402.17376.
    """
    alpha, sigma = (to_host(scale).astype(np.float64) for scale in (plan.alpha, plan.sigma))
    off = assumed_error(error, alpha, sigma)
    return math.fsum(np.abs(weights(plan).predictions) * off)
