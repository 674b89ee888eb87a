"""Adams-Bashforth methods: LMS with weights for uneven steps, PNDM and iPNDM for even steps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array
from schedalg.checks import flag
from schedalg.plan.columns import Evaluations, schedule_evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.multistep import orders, weights
from schedalg.samplers.options import chosen_order, optional_order
from schedalg.samplers.start import Form, with_full_start
from schedalg.samplers.straight import Straight, slope, straight

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: Adams-Bashforth weights of order 1 to 4 for even steps, the newest slope first.
EVEN = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True)
class LMS:
    """Linear multistep: integrates the polynomial through the last slopes, on uneven steps.

    x_s = x_t + Σ_j w_j slope_j with w_j = ∫ L_j(tau) dtau from tau_t to tau_s, in coordinates where
    the path to one image is a straight line: x/alpha and tau = sigma/alpha, or for flow networks
    the flow itself. One call of the network a step. The first steps have lower order. The step to
    clean data has full order. A step from pure noise is a DDIM step if tau is infinite there.

    Args:
        order: How many slopes a step uses, 1 to 4. None: 4, or the number of steps if that is less.
        full_start: Whether the start has the order of the method too: with order 3 and 4 the first
            steps are corrected, and with order 4 the second step calls the network again at the
            point where the first step called it last.

    Raises:
        TypeError: `order` is not an integer, or `full_start` is not True or False.
        ValueError: `order` is not between 1 and 4.

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
    full_start: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 4))
        object.__setattr__(self, "full_start", flag("full_start", self.full_start))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step, one more in a full start of order 4.

        Raises:
            ValueError: The schedule has fewer steps than the given order.
        """
        order = chosen_order(schedule, self.order, 4, self)
        steps = Steps.of(schedule)
        path = straight(schedule, steps)
        ones = steps.xp.ones_like(steps.h)
        moments = [ones / (k + 1) for k in range(order)]
        w = weights(steps, -path.change, orders(path.finite, order), moments)
        plan = _plan(schedule, steps, path, w)
        if not self.full_start:
            return plan
        form = Form(path.finite, -path.change, moments, _scale(steps, path))
        return with_full_start(plan, steps, form, order)


@dataclass(frozen=True)
class IPNDM:
    """iPNDM: Adams-Bashforth with the weights for even steps; the first steps have lower order.

    x_s = x_t + (tau_s - tau_t) Σ_j w_j slope_j with the constants 55/24, -59/24, 37/24, -9/24 (for
    order 4), in the coordinates of `LMS`, which is the same method with weights for uneven steps.
    If the steps are not even in tau, its order is at most 2, whatever the number of slopes. One
    call of the network a step. The step to clean data has full order. A step from pure noise is a
    DDIM step if tau is infinite there.

    Args:
        order: How many slopes a step uses, 1 to 4. None: 3, or the number of steps if that is less.

    Raises:
        TypeError: `order` is not an integer.
        ValueError: `order` is not between 1 and 4.

    Example:
        >>> from schedalg import IPNDM, LMS, Schedule
        >>> s = Schedule.flow(8)
        >>> bool(abs(IPNDM(4).plan(s).b - LMS(4).plan(s).b).max() < 1e-15)
        True

    Source: Zhang and Chen, arXiv 2204.13902, section 3.3 (iPNDM).
    """

    order: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 4))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: The schedule has fewer steps than the given order.
        """
        order = chosen_order(schedule, self.order, 3, self)
        steps = Steps.of(schedule)
        path = straight(schedule, steps)
        used = orders(path.finite, order)
        w = np.array([np.pad(EVEN[k - 1], (0, order - k)) for k in used]).reshape(-1, order)
        return _plan(schedule, steps, path, steps.array(w))


@dataclass(frozen=True)
class PNDM:
    """PNDM as Stable Diffusion uses it (PLMS): one Heun step, then iPNDM of order 4.

    The first step calls the network at both of its ends and uses the mean of the two slopes, so
    that it has order 2. The next steps use 2, 3 and then 4 slopes. The method has order 3 if the
    steps are even in tau, and order 2 otherwise. It makes one call a step, and one more: the second
    step calls the network again at the point where the first step called it last. (The Runge-Kutta
    warm-up of the paper is not implemented: it has four calls in each of three steps, at timesteps
    between those of the schedule.)

    Example:
        >>> from schedalg import PNDM, Schedule
        >>> plan = PNDM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> plan.timesteps
        array([999, 799, 799, 599, 399, 199])

    Source: Liu et al., arXiv 2202.09778, equations 9 to 13, and the PLMS sampler of Rombach et al.,
    arXiv 2112.10752.
    """

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step, and one more in the first step."""
        steps = Steps.of(schedule)
        path = straight(schedule, steps)
        n, lead = len(schedule), int(not path.finite.all())
        if n - lead < 2:
            return IPNDM().plan(schedule)
        # Step `lead` has two rows: an Euler step, and then a correction at the point it reached,
        # which adds half of the difference of the two slopes.
        step = np.insert(np.arange(n), lead + 1, lead)
        at = np.insert(np.arange(n), lead + 1, lead + 1)
        w = np.zeros((n + 1, 5))
        used = orders(path.finite, 4)
        for row in range(n + 1):
            past = lead + 1 if row > lead + 1 else n + 2  # later rows skip this memory
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
        path: The same steps in straight coordinates.
        w: (K, m), weights of the last slopes, newest first.
        step: The step that each row belongs to, (K,). By default each row is a step.
        at: The step at whose start each row calls the network, (K,).
    """
    a = steps.where(path.finite, path.unit_s / path.unit_t, steps.sigma_s / steps.sigma_t)
    scale = _scale(steps, path)
    p, q = slope(schedule, path.finite)
    evaluations = schedule_evaluations(schedule)
    if step is not None and at is not None:
        a, scale = (steps.gather(column, step) for column in (a, scale))
        # In the correcting row, x is already at the point that the step reaches.
        again = steps.array(step != at)
        a = a * (1 - again) + again
        p, q = p[at], q[at]
        evaluations = Evaluations(
            steps.gather(evaluations.timesteps, at),
            steps.gather(evaluations.alpha, at),
            steps.gather(evaluations.sigma, at),
        )
    return Plan.of(
        schedule, a=a, b=scale[:, None] * w, memory=(p, q), evaluations=evaluations, step=step
    )


def _scale(steps: Steps, path: Straight) -> Array:
    """Return what multiplies the weighted sum of the last slopes in x."""
    return steps.where(path.finite, path.unit_s * path.change, steps.alpha_s)
