"""Predictor-corrector methods in the x0 prediction: UniPC and SA-Solver.

The corrector of a step and the predictor of the next step need the network at the same point: the
one that the predictor reached. So the correction, Σ (w^c_j - w^p_j) x0_j, is added in the row of
the next step. Each step has one row and one call of the network.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from schedalg.arrays import Array, holds
from schedalg.checks import flag, integer, real_number, shown
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.exponential import data_moments, new_noise, x_coefficient
from schedalg.samplers.multistep import orders, weights
from schedalg.samplers.options import checked_order, long_enough
from schedalg.samplers.start import Form, start_order, with_full_start

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: UniPC's B(h): h, or e^h - 1.
Variant: TypeAlias = Literal["bh1", "bh2"]


@dataclass(frozen=True)
class UniPC:
    """UniPC in the x0 prediction: UniP of order 1 to 3, and UniC, which adds 1 to the order.

    Both integrate the polynomial through the last x0 predictions times e^(lambda - lambda_s). UniC
    also uses the prediction at the end of the step. With two predictions (UniP-2 and UniC-1) the
    weight of the slope is B(h)/2, where B(h) is h in "bh1" and 1 - e^-h in "bh2". One call of the
    network a step. The first steps have lower order. A step that leaves pure noise or arrives at
    clean data has order 1. The last step is not corrected.

    Args:
        order: Order of the predictor, 1 to 3.
        variant: "bh1" or "bh2".
        corrector: Whether to use UniC.
        lower_order_final: Whether the order falls to 1 again towards the last step, which is
            more stable if that is long, and does not arrive at clean data.
        correct_from_noise: Whether UniC also corrects a step that leaves pure noise, by half of the
            difference of the predictions at its ends. The table is then the limit of those of steps
            that leave less and less signal. It has no effect in "bh1", whose B(h) has no limit.
        full_start: Whether the start has the order of the method too, where that is above that of
            the first correction: 4 for UniPC-3, with one more call, and 3 for UniP-3; as in `LMS`.

    Raises:
        TypeError: `order` is not an integer, or another argument is not True or False.
        ValueError: `order` is not between 1 and 3, or `variant` is unknown.

    Example:
        >>> from schedalg import DPMSolverPP, Schedule, UniPC
        >>> s = Schedule.linear(1000).subsample(steps=10)
        >>> UniPC(order=2, corrector=False).plan(s) == DPMSolverPP(order=2).plan(s)
        True

    Source: Zhao et al., arXiv 2302.04867, algorithms 1 and 2, equations 3, 8 and 9, and appendix
    E.3 (data prediction).
    """

    order: int = 2
    variant: Variant = "bh2"
    corrector: bool = True
    lower_order_final: bool = False
    correct_from_noise: bool = True
    full_start: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", checked_order(self.order, 3))
        for name in ("corrector", "lower_order_final", "correct_from_noise", "full_start"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        if not isinstance(self.variant, str) or self.variant not in get_args(Variant):
            raise ValueError(f"variant must be 'bh1' or 'bh2'; got {shown(self.variant)}")

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: The schedule has fewer steps than the order.
        """
        long_enough(schedule, self.order, self)
        steps = Steps.of(schedule)
        falls = self.lower_order_final
        used = orders(steps.finite, self.order, lower_order_final=falls)
        # A step corrected from noise counts: its prediction, infinitely far away, has no weight.
        corrected = steps.finite
        if self.corrector and self.correct_from_noise and self.variant == "bh2":
            corrected = corrected | holds(steps.alpha_t == 0, unseen=False)
        counted = orders(corrected, self.order, lower_order_final=falls)
        h = steps.finite_h
        moments = data_moments(steps, self.order + 1)
        # With two predictions, the slope has the weight B(h)/2 in place of the exact one.
        slope = (h if self.variant == "bh1" else steps.rise) / 2
        of_two = [moments[0], slope]
        if self.order > 2:
            mixed = [moments[0], steps.where(counted <= 2, slope, moments[1]), moments[2]]
            predictor = weights(steps, h, used, mixed)
        else:
            predictor = weights(steps, h, used, of_two[: self.order])
        form = Form(steps.finite, h, moments, steps.alpha_s)
        if not self.corrector:
            plan = _plan(schedule, steps, predictor)
            return with_full_start(plan, steps, form, self.order) if self.full_start else plan
        if self.order > 1:
            mixed = [moments[0], steps.where(counted == 1, slope, moments[1]), *moments[2:]]
            predictions = np.where(counted == 1, 2, used + 1)
            corrector = weights(steps, h, predictions, mixed, ahead=True)
        else:
            corrector = weights(steps, h, used + 1, of_two, ahead=True)
        if not self.full_start or start_order(form, self.order + 1) < 4:
            return _plan(schedule, steps, predictor, corrector, corrected=corrected)
        # The start corrects its two steps itself.
        finite = np.flatnonzero(steps.finite)[:2]
        later = corrected & ~np.isin(np.arange(len(h)), finite)
        plan = _plan(schedule, steps, predictor, corrector, corrected=later)
        return with_full_start(plan, steps, form, 4)


@dataclass(frozen=True)
class SASolver:
    """SA-Solver: stochastic Adams-Bashforth and Adams-Moulton, with a constant tau.

    x_s = (sigma_s/sigma_t) e^(-tau² h) x_t + alpha_s Σ w_j x0_j + sigma_s c z, c² = 1 - e^(-2 tau²
    h), with w_j the integrals of (1 + tau²) e^(-(1 + tau²)(h - u)) times Lagrange polynomials. The
    corrector also uses the prediction at the end of the step, and the same noise z. One call of the
    network a step. The first steps have lower order. A step that leaves pure noise or arrives at
    clean data has order 1. Neither such a step nor the last one is corrected.

    Args:
        order: How many predictions the predictor uses, 1 to 4.
        corrector_order: How many predictions the corrector uses in addition to the one at the end
            of the step, 0 to 4. 0: no corrector.
        tau: Strength of the noise, from 0 to 1000: 0 for the ODE, 1 for the reverse SDE of DDPM.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is out of range.

    Example:
        >>> import numpy as np
        >>> from schedalg import SASolver, Schedule, sample
        >>> s = Schedule.linear(1000).subsample(steps=10)
        >>> model = lambda x, timesteps: x  # "all of x is noise"
        >>> sample(model, s, SASolver(tau=0.5), np.ones((1, 2)), noise=0).shape
        (1, 2)

    Source: Xue et al., arXiv 2309.05019, algorithm 1, equations 14 and 17.
    """

    order: int = 2
    corrector_order: int = 2
    tau: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", checked_order(self.order, 4))
        corrector_order = integer("corrector_order", self.corrector_order)
        if corrector_order != 0:
            checked_order(corrector_order, 4, "corrector_order")
        object.__setattr__(self, "corrector_order", corrector_order)
        tau = real_number("tau", self.tau)
        if not 0 <= tau <= 1000:
            raise ValueError(f"tau must be between 0 and 1000, got {tau!r}")
        object.__setattr__(self, "tau", tau)

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: The schedule has fewer steps than the order.
        """
        long_enough(schedule, self.order, self)
        steps, eta = Steps.of(schedule), self.tau**2
        h = steps.finite_h
        moments = data_moments(steps, max(self.order, self.corrector_order + 1), eta)
        used = orders(steps.finite, self.order)
        predictor = weights(steps, h, used, moments[: self.order])
        if self.corrector_order == 0:
            return _plan(schedule, steps, predictor, eta=eta)
        used = orders(steps.finite, self.corrector_order) + 1
        corrector = weights(steps, h, used, moments[: self.corrector_order + 1], ahead=True)
        return _plan(schedule, steps, predictor, corrector, eta, corrected=steps.finite)


def _widened(steps: Steps, w: Array, width: int) -> Array:
    if w.shape[1] == width:
        return w
    missing = steps.array(np.zeros((w.shape[0], width - w.shape[1])))
    return steps.xp.concat([w, missing], axis=1)


def _plan(
    schedule: "Schedule",
    steps: Steps,
    predictor: Array,
    corrector: Array | None = None,
    eta: float = 0.0,
    *,
    corrected: np.ndarray | None = None,
) -> Plan:
    """Return the table of a predictor; each row also makes the correction of the step before.

    Args:
        schedule: The path.
        steps: Its steps.
        predictor: (N, p), weights of the last predictions, newest first.
        corrector: (N, m), weights of the prediction at the end of the step and of those before it.
        eta: Strength of new noise.
        corrected: Which steps are corrected, (N,).
    """
    xp, a = steps.xp, x_coefficient(steps, eta)
    b = steps.alpha_s[:, None] * predictor
    if corrector is not None and corrected is not None and len(schedule) > 1:
        before = xp.concat([steps.array(np.zeros((len(schedule), 1))), predictor], axis=1)
        width = max(before.shape[1], corrector.shape[1])
        change = _widened(steps, corrector, width) - _widened(steps, before, width)
        change = steps.where(corrected, change, 0.0)
        correction = steps.alpha_s[:-1, None] * change[:-1, :]
        nothing = xp.zeros_like(correction[:1, :])
        b = _widened(steps, b, width) + a[:, None] * xp.concat([nothing, correction])
    return Plan.of(schedule, a=a, b=b, c=new_noise(steps, eta))
