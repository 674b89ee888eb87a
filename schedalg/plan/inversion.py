"""Inversion: a plan in the other direction, from an image to its noise."""

from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import Array, namespace, to_host
from schedalg.plan.columns import Evaluations, host_start
from schedalg.plan.steps import array_like
from schedalg.schedule.timesteps import rounded_timesteps

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


def reversed_plan(plan: "Plan") -> "Plan":
    """Return the plan in the other direction: from the schedule's origin to its noisiest point.

    A step x_s = a x_t + b x0 becomes x_t = (x_s - b x0) / a, with the network called at s, where x
    now is. A network cannot be called at clean data, so the plan starts at the least noisy point,
    with x = alpha times the data. `run(DDIM().plan(s).reversed(), model, image)` is the inversion
    of DDIM: it returns the noise from which sampling leads back to the image.

    Raises:
        ValueError: The plan adds noise, uses earlier predictions, has several stages in a step, or
            does not walk from the noisiest point to the origin.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> plan = DDIM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> plan.timesteps, plan.reversed().timesteps
        (array([999, 799, 599, 399, 199]), array([199, 399, 599, 799]))

    Source: Song et al., arXiv 2010.02502, section 4.3; Dhariwal and Nichol, arXiv 2105.05233,
    appendix F.
    """
    host_c, host_a = to_host(plan.c), to_host(plan.a)
    plain = plan.b.shape[1] == 1 and (np.diff(plan.step) == 1).all()
    plain &= (to_host(plan.p) == 1).all()
    plain &= not to_host(plan.q).any() and not to_host(plan.u).any()
    if not plain or host_c.any() or host_start(plan.start)[1] or plan.log_variance is not None:
        raise ValueError(
            "only a plan without noise, memory and stages can be reversed, such as those of "
            "DDIM() and Euler()"
        )
    points, called_at = plan.schedule.timesteps[::-1], to_host(plan.timesteps)
    at_points = any(np.array_equal(called_at, each) for each in (points, rounded_timesteps(points)))
    if host_start(plan.start)[0] != 1 or not at_points:
        raise ValueError(
            "only a plan that walks its schedule from the noisiest point to the origin can be "
            "reversed, and this one does not (it may be a reversed plan itself)"
        )
    xp, origin, rows = namespace(plan.alpha), plan.schedule.origin, len(plan)
    clean = rows > 0 and host_a[-1] == 0
    if rows and not clean and origin.timestep is None:
        raise ValueError("the schedule's origin has no timestep at which to call the network")

    def at_arrivals(values: Array, first: Any) -> Array:
        """Return alpha or sigma at the points that the rows reach, with the origin first."""
        first = array_like(plan.alpha, [] if clean or not rows else [first])
        return xp.concat([first, xp.flip(values[1:])])

    a = xp.flip(plan.a[: rows - clean])
    b = xp.flip(plan.b[: rows - clean, :], axis=0)
    first = [] if clean or not rows else [origin.timestep]
    return type(plan).of(
        plan.schedule,
        a=1 / a,
        b=-b / xp.reshape(a, (-1, 1)),
        evaluations=Evaluations(
            np.array([*first, *called_at[:0:-1].tolist()]),
            at_arrivals(plan.alpha, origin.alpha),
            at_arrivals(plan.sigma, origin.sigma),
        ),
        start=(plan.alpha[-1] if clean else 1.0, 0.0),
    )
