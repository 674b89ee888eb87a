"""Adams-Bashforth methods: LMS on uneven steps, PNDM and iPNDM with the weights of even ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array
from schedalg.plan.columns import Evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.multistep import orders, weights
from schedalg.samplers.options import chosen_order, optional_order
from schedalg.samplers.straight import Straight, slope, straight

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: Weights of the last slopes, newest first, on even steps.
EVEN = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True)
class LMS:
    """Linear multistep: the integral of the polynomial through the last slopes, on uneven steps.

    In coordinates where the path to one image is straight (x/alpha and tau = sigma/alpha; for flow
    networks the flow itself), x_s = x_t + Σ_j w_j slope_j with w_j = ∫ L_j(tau) dtau from tau_t to
    tau_s. One call a step; the first steps are of lower order. It arrives at clean data with its
    full order; a step from pure noise is DDIM's where tau is infinite there.

    Args:
        order: 1 to 4: how many slopes a step uses. None: 4, or as many as there are steps if these
            are fewer.

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of range.

    Example:
        >>> from schedalg import LMS, Schedule
        >>> LMS(order=2).plan(Schedule.flow(4)).b[1:]  # even steps: -1/4 times 3/2, -1/2
        array([[-0.375,  0.125],
               [-0.375,  0.125],
               [-0.375,  0.125]])

    Source: the linear multistep sampler of k-diffusion, in its sigma; Hairer, Nørsett and Wanner,
    Solving Ordinary Differential Equations I, section III.5.
    """

    order: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 4))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: The schedule has fewer steps than the order that was asked for.
        """
        order = chosen_order(schedule, self.order, 4, self)
        steps = Steps.of(schedule)
        path = straight(schedule, steps)
        ones = steps.xp.ones_like(steps.h)
        moments = [ones / (k + 1) for k in range(order)]
        w = weights(steps, -path.change, orders(path.finite, order), moments)
        return _plan(schedule, steps, path, w)


@dataclass(frozen=True)
class IPNDM:
    """iPNDM: Adams-Bashforth with the weights of even steps, lower orders first.

    x_s = x_t + (tau_s - tau_t) Σ_j w_j slope_j with the constants 55/24, -59/24, 37/24, -9/24 (for
    order 4), in the coordinates of `LMS`, which is the same method with weights for uneven steps.
    Of order 2 on grids that are not even in tau, whatever the number of slopes. One call a step;
    the first steps are of lower order. It arrives at clean data with its full order; a step from
    pure noise is DDIM's where tau is infinite there.

    Args:
        order: 1 to 4. None: 4, or as many as there are steps if these are fewer.

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of range.

    Example:
        >>> from schedalg import IPNDM, LMS, Schedule
        >>> s = Schedule.flow(8)
        >>> bool(abs(IPNDM().plan(s).b - LMS().plan(s).b).max() < 1e-15)
        True

    Source: Zhang and Chen, arXiv 2204.13902, section 3.3 (iPNDM).
    """

    order: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 4))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: The schedule has fewer steps than the order that was asked for.
        """
        order = chosen_order(schedule, self.order, 4, self)
        steps = Steps.of(schedule)
        path = straight(schedule, steps)
        used = orders(path.finite, order)
        w = np.array([np.pad(EVEN[k - 1], (0, order - k)) for k in used]).reshape(-1, order)
        return _plan(schedule, steps, path, steps.array(w))


@dataclass(frozen=True)
class PNDM:
    """PNDM as Stable Diffusion runs it (PLMS): iPNDM of order 4 after a first step of Heun's kind.

    The first step calls the network at both its ends and takes the mean of the slopes, so that it
    is of order 2; then come the weights of 2, 3 and 4 slopes. Of order 3 where steps are even in
    tau, and of order 2 on other grids. One call a step, and one more for the first, which is made
    at the second point again. (The Runge-Kutta warm-up of the paper, with four calls in each of
    three steps and timesteps between those of the schedule, is not here.)

    Example:
        >>> from schedalg import PNDM, Schedule
        >>> plan = PNDM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> plan.timesteps
        array([999, 799, 799, 599, 399, 199])

    Source: Liu et al., arXiv 2202.09778, equations 9 to 13, and the PLMS sampler of Rombach et al.,
    arXiv 2112.10752.
    """

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step, and one more."""
        steps = Steps.of(schedule)
        path = straight(schedule, steps)
        n, lead = len(schedule), int(not path.finite.all())
        if n - lead < 2:
            return IPNDM().plan(schedule)
        # Rows: the step `lead` is made twice, first as Euler's, and again from the second point,
        # where half of the difference of both slopes is added.
        step = np.insert(np.arange(n), lead + 1, lead)
        at = np.insert(np.arange(n), lead + 1, lead + 1)
        w = np.zeros((n + 1, 5))
        used = orders(path.finite, 4)
        for row in range(n + 1):
            past = lead + 1 if row > lead + 1 else n + 2  # a memory that later rows pass over
            for j, weight in enumerate(EVEN[used[step[row]] - 1]):
                back = j + (row - j <= past < row)
                w[row, back] = weight
        w[lead + 1] = [0.5, -0.5, 0, 0, 0]
        return _plan(schedule, steps, path, steps.array(w), step, at)


def _plan(
    schedule: "Schedule",
    steps: Steps,
    path: Straight,
    w: Array,
    step: np.ndarray | None = None,
    at: np.ndarray | None = None,
) -> Plan:
    """Return x_s / unit_s = x_t / unit_t + change Σ_j w_j slope_j as a table.

    Args:
        schedule: The path.
        steps: Its steps.
        path: The same in straight coordinates.
        w: (K, m), weights of the last slopes.
        step: Which step each row makes, (K,); by default each its own.
        at: At the start of which step each row calls the network, (K,).
    """
    a = steps.where(path.finite, path.unit_s / path.unit_t, steps.sigma_s / steps.sigma_t)
    scale = steps.where(path.finite, path.unit_s * path.change, steps.alpha_s)
    p, q = slope(schedule, path.finite)
    evaluations = Evaluations(schedule.timesteps[::-1], steps.alpha_t, steps.sigma_t)
    if step is not None and at is not None:
        a, scale = (steps.gather(column, step) for column in (a, scale))
        # In the second row of a step made twice, x is where the step arrives already.
        again = steps.array(step != at)
        a = a * (1 - again) + again
        p, q = p[at], q[at]
        evaluations = Evaluations(
            evaluations.timesteps[at],
            steps.gather(evaluations.alpha, at),
            steps.gather(evaluations.sigma, at),
        )
    return Plan.of(
        schedule, a=a, b=scale[:, None] * w, memory=(p, q), evaluations=evaluations, step=step
    )
