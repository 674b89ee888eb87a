"""DEIS: an exponential multistep method in the noise prediction, with polynomials in log-SNR."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.checks import flag
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.exponential import noise_form, noise_moments
from schedalg.samplers.multistep import orders, weights
from schedalg.samplers.options import chosen_order, optional_order
from schedalg.samplers.start import Form, with_full_start

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class DEIS:
    """DEIS with polynomials in log-SNR: an exponential Adams-Bashforth method.

        x_s = (alpha_s/alpha_t) x_t - sigma_s Σ_j w_j eps_j,

    with w_j the integrals of e^(h - u) times the Lagrange polynomials through the last predictions,
    over u in [0, h], h = lambda_s - lambda_t. One call of the network a step. The first steps have
    lower order. A step that leaves pure noise or arrives at clean data has order 1.

    Args:
        order: How many predictions a step uses, 1 (DDIM) to 4. None: 3, or the number of steps if
            that is less.
        lower_order_final: Whether the order falls to 1 again towards the last step, which is more
            stable if that is long, and does not arrive at clean data.
        full_start: Whether the start has the order of the method too; as in `LMS`.

    Raises:
        TypeError: `order` is not an integer, or another argument is not True or False.
        ValueError: `order` is not between 1 and 4.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, DEIS, Schedule
        >>> s = Schedule.linear(1000).subsample(steps=10)
        >>> DEIS(order=2).plan(s).b.shape
        (10, 2)

    Source: Zhang and Chen, arXiv 2204.13902, equations 14 and 15 (rhoAB, in log rho).
    """

    order: int | None = None
    lower_order_final: bool = False
    full_start: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 4))
        for name in ("lower_order_final", "full_start"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step, one more in a full start of order 4.

        Raises:
            ValueError: The schedule has fewer steps than the given order.
        """
        order = chosen_order(schedule, self.order, 3, self)
        steps = Steps.of(schedule)
        moments = noise_moments(steps, order)
        used = orders(steps.finite, order, lower_order_final=self.lower_order_final)
        w = weights(steps, steps.finite_h, used, moments)
        plan = noise_form(schedule, steps, w)
        if not self.full_start:
            return plan
        form = Form(steps.finite, steps.finite_h, moments, -steps.sigma_s)
        return with_full_start(plan, steps, form, order)
