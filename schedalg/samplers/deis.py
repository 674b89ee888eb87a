"""DEIS: an exponential multistep method in the noise prediction, with polynomials in log-SNR."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.exponential import noise_form, noise_moments
from schedalg.samplers.multistep import orders, weights
from schedalg.samplers.options import chosen_order, optional_order

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class DEIS:
    """DEIS with polynomials in log-SNR: Adams-Bashforth for the part that is not linear.

        x_s = (alpha_s/alpha_t) x_t - sigma_s Σ_j w_j eps_j,

    with w_j the integrals of e^(h - u) times the Lagrange polynomials through the last predictions,
    over u in [0, h], h = lambda_s - lambda_t. One call a step; the first steps are of lower order,
    and a step that leaves pure noise or arrives at clean data is of order 1.

    Args:
        order: 1 (DDIM) to 4: how many predictions a step uses. None: 3, or as many as there are
            steps if these are fewer.

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of range.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, DEIS, Schedule
        >>> s = Schedule.linear(1000).subsample(steps=10)
        >>> DEIS(order=2).plan(s).b.shape
        (10, 2)

    Source: Zhang and Chen, arXiv 2204.13902, equations 14 and 15 (rhoAB, in log rho).
    """

    order: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", optional_order(self.order, 4))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: The schedule has fewer steps than the order that was asked for.
        """
        order = chosen_order(schedule, self.order, 3, self)
        steps = Steps.of(schedule)
        moments = noise_moments(steps, order)
        w = weights(steps, steps.finite_h, orders(steps.finite, order), moments)
        return noise_form(schedule, steps, w)
