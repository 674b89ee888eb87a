"""DDIM: the same marginals as DDPM, with any share of its noise, from none to all of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.fitted import ErrorCurve, checked_curve, fitted
from schedalg.samplers.options import checked_eta

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class DDIM:
    """DDIM: deterministic and of order 1 if eta is 0, stochastic otherwise.

    eps = (x_t - alpha_t x0) / sigma_t; x_s = alpha_s x0 + sqrt(sigma_s² - std²) eps + std z, where
    std = eta sigma_s sqrt(1 - SNR_t/SNR_s). The network is trained as for DDPM.

    Args:
        eta: Share of the noise, in [0, 1]: 0 for the deterministic sampler, 1 for DDPM's variance
            "fixed_small".
        variance: (schedule, errors): the network's errors along the schedule that it was trained
            on, as `Schedule.step_costs` takes them. The predicted x0 is the mean of all x0 that x
            may come from, so a step loses their variance. Each step then adds noise with the
            variance that was lost, with eta = 0 too. On Gaussian data the variance of x is exact
            at every point. None: no such noise.

    Raises:
        TypeError: `eta` is not a number, or `variance` is not a schedule and numbers.
        ValueError: `eta` is outside [0, 1], or `variance` has errors that are not those of x0 at
            each point.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample
        >>> schedule = Schedule.linear(1000)
        >>> alpha = schedule.alpha
        >>> def model(x, timestep):  # the optimal network for data that are all 0.5
        ...     return (x - alpha[timestep, None] * 0.5) / schedule.sigma[timestep, None]
        >>> sample(model, schedule.subsample(steps=5), DDIM(), np.ones((1, 2))).round(12)
        array([[0.5, 0.5]])

    Source: Song et al., arXiv 2010.02502, equations 12 and 16; Bao et al., arXiv 2201.06503
    (the variance that is added).
    """

    eta: float = 0.0
    variance: ErrorCurve | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", checked_eta(self.eta))
        if self.variance is not None:
            object.__setattr__(self, "variance", checked_curve("variance", self.variance))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        The step to clean data returns the x0 prediction. In a step from pure noise, eps is
        x_t / sigma_t, whatever the network predicts.

        Raises:
            ValueError: A point is outside of the noise levels at which the errors are known.
        """
        step = Steps.of(schedule)
        if self.eta == 0:  # k = 1
            a, b = step.sigma_s / step.sigma_t, step.alpha_s * step.rise
            plan = Plan.of(schedule, a=a, b=b)
            return plan if self.variance is None else fitted(plan, self.variance)
        # With the formula for eps: x_s = (k sigma_s/sigma_t) x_t + (alpha_s - k alpha_t
        # sigma_s/sigma_t) x0. At s, eps has the coefficient k sigma_s, k² = 1 - eta² (1 - decay²).
        k = ((1 - self.eta**2) + self.eta**2 * step.decay**2) ** 0.5
        rest = self.eta**2 * step.rise * (1 + step.decay) / (1 + k)  # 1 - k, without cancellation
        plan = Plan.of(
            schedule,
            a=k * step.sigma_s / step.sigma_t,
            b=step.alpha_s * (step.rise + step.decay * rest),
            c=self.eta * step.sigma_s * (step.rise * (1 + step.decay)) ** 0.5,
        )
        return plan if self.variance is None else fitted(plan, self.variance)
