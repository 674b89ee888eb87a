"""DPM-Solver++: exponential multistep and singlestep methods in the x0 prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.arrays import Array, namespace
from schedalg.checks import flag
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers import multistep, singlestep
from schedalg.samplers.exponential import data_moments, new_noise, newest_alone, x_coefficient
from schedalg.samplers.options import checked_eta, checked_order, long_enough
from schedalg.samplers.start import Form, with_full_start

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class DPMSolverPP:
    """DPM-Solver++ of order 1 to 3: 2M, 3M, 2S, and SDE-2M, SDE-3M.

    With h = lambda_s - lambda_t, lambda = log(alpha/sigma), and q = 1 + eta,

        x_s = (sigma_s/sigma_t) e^(-eta h) x_t + alpha_s (1 - e^(-q h)) D + new noise.

    In 2M, D = x0 + (x0 - x0_before) h / (2 h_before). In 3M, D is the integral of the parabola
    through three predictions, in which the square of u/h has half of its weight, as in the authors'
    code. So its order is 2. With the whole weight, `exact=True`, the order is 3, but the errors at
    5 to 25 steps are larger. In 2S a step spans two points of the schedule, and D = x0 +
    (x0_between - x0) / (2 r), where the middle point lies a share r of the step from t.

    Each method calls the network once at each point. The first steps of 2M and 3M have lower order,
    and so has the first step of 2S if a point is left over. A step that leaves pure noise or
    arrives at clean data has order 1.

    Args:
        order: 1 (DDIM), 2 or 3.
        singlestep: 2S in place of 2M.
        eta: Share of new noise: 0 for the ODE, 1 for the SDE, in [0, 1].
        lower_order_final: Whether the order of a multistep method falls to 1 again towards the last
            step, which is more stable if that is long, and does not arrive at clean data.
        exact: Whether 3M has the exact integral of the parabola.
        full_start: Whether the first step of 3M is corrected, so that the start has order 3 too; as
            in `LMS`.

    Raises:
        TypeError: An argument is not a number, or not True or False.
        ValueError: An argument is out of range, `exact` or `full_start` is given with an order
            other than 3, or `singlestep` is combined with an order other than 2, noise, or
            `lower_order_final`.

    Example:
        >>> import numpy as np
        >>> from schedalg import DPMSolverPP, Schedule, sample
        >>> s = Schedule.linear(1000).subsample(steps=10, spacing="trailing")
        >>> model = lambda x, timesteps: x  # "all of x is noise"
        >>> sample(model, s, DPMSolverPP(order=2), np.ones((1, 2))).shape
        (1, 2)

    Source: Lu et al., arXiv 2211.01095: algorithm 1 (2S), algorithm 2 (2M), proposition 4.1 (the
    exact integrals of 3M), appendix B (SDE); 3M's half weight: the authors' code, as in diffusers
    and k-diffusion.
    """

    order: int = 2
    singlestep: bool = False
    eta: float = 0.0
    lower_order_final: bool = False
    exact: bool = False
    full_start: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", checked_order(self.order, 3))
        object.__setattr__(self, "eta", checked_eta(self.eta))
        for name in ("singlestep", "lower_order_final", "exact", "full_start"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        for name in ("exact", "full_start"):
            if getattr(self, name) and self.order != 3:
                raise ValueError(f"{name}=True is for order=3; got order={self.order}")
        if self.singlestep and (self.order, self.eta, self.lower_order_final) != (2, 0.0, False):
            raise ValueError(
                "singlestep=True is 2S, with order=2, eta=0 and no lower_order_final; got "
                f"order={self.order}, eta={self.eta!r}, lower_order_final={self.lower_order_final}"
            )

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call at each point.

        Raises:
            ValueError: The schedule has fewer points than the order.
        """
        long_enough(schedule, self.order, self)
        steps = Steps.of(schedule)
        if self.singlestep:
            b = singlestep.weights(steps, 2, _stages, growth=-1.0)
            b = steps.where(steps.finite, steps.alpha_s[:, None] * b, newest_alone(steps, 2))
        else:
            b = steps.alpha_s[:, None] * self._multistep(steps)
        a, c = x_coefficient(steps, self.eta), new_noise(steps, self.eta)
        plan = Plan.of(schedule, a=a, b=b, c=c)
        if not self.full_start:
            return plan
        moments = data_moments(steps, 2, self.eta)
        form = Form(steps.finite, steps.finite_h, moments, steps.alpha_s)
        return with_full_start(plan, steps, form, 3)

    def _multistep(self, steps: Steps) -> Array:
        orders = multistep.orders(
            steps.finite, self.order, lower_order_final=self.lower_order_final
        )
        h = steps.finite_h
        moments = data_moments(steps, 3 if self.order == 3 else 1, self.eta)
        if self.order == 1:
            return moments[0][:, None]
        # 2M evaluates the line through two predictions in the middle of the step.
        half_way = moments[0] / 2
        if self.order == 2:
            return multistep.weights(steps, h, orders, [moments[0], half_way])
        if not self.exact:
            moments[2] = moments[2] / 2  # that of (u/h)²
        moments[1] = steps.where(orders == 3, moments[1], half_way)
        return multistep.weights(steps, h, orders, moments)


def _stages(lengths: Sequence[Array]) -> list[list[Array]]:
    """Return the weights of x0 in x at the middle point and at s, for a step with two parts."""
    xp = namespace(lengths[0])
    between, h = lengths[0], sum(lengths[1:], lengths[0])
    stages = [[-xp.expm1(-between)]]
    if len(lengths) == 2:
        slope = -xp.expm1(-h) * h / (2 * between)
        stages.append([-xp.expm1(-h) - slope, slope])
    return stages
