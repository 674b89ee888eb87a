"""What a plan makes of Gaussian data, whose perfect network is linear: exact, without a draw."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.checks import host_numbers, require
from schedalg.plan.weights import backwards
from schedalg.schedule.kl import less_log

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


class Response(NamedTuple):
    """What a sampler makes of Gaussian data with independent elements.

    Attributes:
        variances: Variance of each element of the result, (J,).
        w2: The 2-Wasserstein distance between result and data, sqrt(Σ (std - std of the data)²).
        kl: The KL divergence of the result from the data in nats, Σ ½ (r - 1 - log r), with r the
            ratio of the variances. It is `inf` where one of the two is 0 and the other is not.
    """

    variances: np.ndarray
    w2: float
    kl: float


def response(
    plan: "Plan",
    variances: Sequence[float] | Array,
    start: Sequence[float] | Array | None = None,
) -> Response:
    """Return the exact variance that a plan gives Gaussian data, with its distance to theirs.

    For data N(0, v), the perfect network's x0 is alpha v / (alpha² v + sigma²) x, and its noise
    sigma / (alpha² v + sigma²) x. Each row is then linear in x and in the draws, and so the result
    is. Its variance is compared with that of the data at the schedule's origin: v if that is
    clean, else alpha² v + sigma².

    Args:
        plan: The plan.
        variances: (J,), the variances v of the data's elements, such as the spectrum of images.
        start: (J,), the variance of x before the first row. None: `schedule.prior_std ** 2`, which
            is what sampling starts from; alpha² v + sigma² at the last point leaves out the error
            that lies in this.

    Raises:
        TypeError: An argument does not hold real numbers.
        ValueError: There are no variances, one is negative or not finite, `start` has another
            length, or the plan's variance is learned.

    Example:
        >>> import numpy as np
        >>> from schedalg import DPMSolverPP, Schedule
        >>> spectrum = 1 / np.arange(1, 33) ** 2
        >>> for spacing in ("trailing", "log_snr"):
        ...     s = Schedule.linear(1000).subsample(steps=10, spacing=spacing)
        ...     print(round(DPMSolverPP(order=2).plan(s).response(spectrum).w2, 4))
        0.3488
        0.0439

    Source: Karras et al., arXiv 2206.00364; Gelbrich, Math. Nachr.
    147 (1990) (W2 between Gaussians).
    """
    v = _checked("variances", variances)
    if not len(v):
        raise ValueError("variances is empty: at least one value is needed")
    schedule = plan.schedule
    if start is None:
        begin = np.full(len(v), schedule.prior_std**2 if len(schedule) else 1.0)
    else:
        begin = _checked("start", start)
        if begin.shape != v.shape:
            raise ValueError(
                f"start must have one entry for each of the {len(v)} variances; got {len(begin)}"
            )
    alpha, sigma, p, q, u = (
        to_host(getattr(plan, name)).astype(np.float64)[:, None]
        for name in ("alpha", "sigma", "p", "q", "u")
    )
    marginal = alpha**2 * v + sigma**2
    if (marginal == 0).any():
        row, j = np.argwhere(marginal == 0)[0].tolist()
        raise ValueError(
            f"variances[{j}] is 0: row {row} uses the slope at clean data, which such data do not "
            "have"
        )
    adjoint = backwards(plan, ((p + u) * alpha * v + q * sigma) / marginal)
    result = adjoint.x**2 * begin + (adjoint.noise**2).sum(axis=0)
    origin = schedule.origin
    own_alpha, own_sigma = float(to_host(origin.alpha)), float(to_host(origin.sigma))
    wanted = own_alpha**2 * v + own_sigma**2
    return Response(
        result, math.sqrt(math.fsum((result**0.5 - wanted**0.5) ** 2)), _kl(result, wanted)
    )


def _kl(result: np.ndarray, wanted: np.ndarray) -> float:
    """Return Σ ½ (r - 1 - log r), r = result / wanted."""
    both = (result > 0) & (wanted > 0)
    if ((result > 0) != (wanted > 0)).any():
        return math.inf
    lost, _ = less_log(np.where(both, result, 1.0), np.where(both, wanted, 1.0))
    return math.fsum(lost) / 2


def _checked(name: str, values: object) -> np.ndarray:
    numbers = host_numbers(name, values).astype(np.float64)
    require(name, numbers, np.isfinite(numbers) & (numbers >= 0), "must be finite and at least 0")
    return numbers
