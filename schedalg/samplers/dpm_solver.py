"""DPM-Solver: exponential singlestep methods in the noise prediction, DPM-Solver-2 and -3."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.arrays import Array, namespace
from schedalg.checks import flag
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.exponential import noise_form
from schedalg.samplers.options import chosen_order, optional_order
from schedalg.samplers.phi import phi
from schedalg.samplers.singlestep import weights

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class DPMSolver:
    """DPM-Solver, singlestep: 2S and 3S, of order 2 and 3.

    A step from t to s spans `order` points of the schedule and calls the network once at each: at
    t, at u, and for order 3 at w. In lambda = log(alpha/sigma), u lies a share r1 of the way from t
    to s, and w a share r2. With h = lambda_s - lambda_t:

        x_s = (alpha_s/alpha_t) x_t - sigma_s ((e^h - 1) eps_t + slope),
        order 2: slope = (e^h - 1) (eps_u - eps_t) / (2 r1)
        order 3: slope = h φ_2(h) (eps_w - eps_t) / r2

    Order 3 is reached on points that are even in log-SNR, or become so as their number grows. If
    points are left over, the first steps have lower order. A step that leaves pure noise or arrives
    at clean data spans one point and has order 1.

    Args:
        order: 1 (DDIM), 2 or 3. None: 3, or the number of steps if that is less.
        lower_order_final: Whether the last steps have lower order instead of the first, and the
            very last one order 1.

    Raises:
        TypeError: `order` is not an integer, or `lower_order_final` is not True or False.
        ValueError: `order` is not 1, 2 or 3.

    Example:
        >>> import numpy as np
        >>> from schedalg import DPMSolver, Schedule
        >>> s = Schedule.linear(1000).subsample(steps=13, spacing="log_snr", rounded=True)
        >>> plan = DPMSolver(order=3).plan(s)
        >>> plan.model_calls, bool((plan.timesteps == s.timesteps[::-1]).all())
        (13, True)

    Source: Lu et al., arXiv 2206.00927, algorithms 1 and 2 (with r1 and r2 from the
    schedule) and equation 3.7.
    """

    order: int | None = None
    lower_order_final: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 3))
        lower_order_final = flag("lower_order_final", self.lower_order_final)
        object.__setattr__(self, "lower_order_final", lower_order_final)

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call at each point.

        Raises:
            ValueError: The schedule has fewer points than the given order.
        """
        order = chosen_order(schedule, self.order, 3, self)
        steps = Steps.of(schedule)
        w = weights(steps, order, _stages, growth=1.0, lower_order_final=self.lower_order_final)
        return noise_form(schedule, steps, w)


def _stages(lengths: Sequence[Array]) -> list[list[Array]]:
    """Return the weights of eps in x at u, w and s, for a step with one to three parts.

    The lengths of the parts are in lambda: from t to u, from u to w, from w to s.
    """
    xp = namespace(lengths[0])
    to_u, h = lengths[0], sum(lengths[1:], lengths[0])
    stages = [[xp.expm1(to_u)]]
    if len(lengths) == 2:
        slope = xp.expm1(h) * h / (2 * to_u)
        stages.append([xp.expm1(h) - slope, slope])
    if len(lengths) == 3:
        to_w = to_u + lengths[1]
        slope_w = to_w**2 * phi(xp, 2, to_w) / to_u
        slope = h**2 * phi(xp, 2, h) / to_w
        stages.append([xp.expm1(to_w) - slope_w, slope_w])
        stages.append([xp.expm1(h) - slope, xp.zeros_like(h), slope])
    return stages
