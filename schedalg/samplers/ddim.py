"""DDIM: the same marginals as DDPM, with any share of its noise, from none to all of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
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

    Raises:
        TypeError: `eta` is not a number.
        ValueError: `eta` is outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample
        >>> schedule = Schedule.linear(1000)
        >>> alpha = schedule.alpha
        >>> def model(x, timestep):  # the optimal network for data that are all 0.5
        ...     return (x - alpha[timestep, None] * 0.5) / schedule.sigma[timestep, None]
        >>> sample(model, schedule.subsample(steps=5), DDIM(), np.ones((1, 2))).round(12)
        array([[0.5, 0.5]])

    Source: Song et al., arXiv 2010.02502, equations 12 and 16.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", checked_eta(self.eta))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        The step to clean data returns the x0 prediction. In a step from pure noise, eps is
        x_t / sigma_t, whatever the network predicts.
        """
        step = Steps.of(schedule)
        if self.eta == 0:  # k = 1
            a, b = step.sigma_s / step.sigma_t, step.alpha_s * step.rise
            return Plan.of(schedule, a=a, b=b)
        # With the formula for eps: x_s = (k sigma_s/sigma_t) x_t + (alpha_s - k alpha_t
        # sigma_s/sigma_t) x0. At s, eps has the coefficient k sigma_s, k² = 1 - eta² (1 - decay²).
        k = ((1 - self.eta**2) + self.eta**2 * step.decay**2) ** 0.5
        rest = self.eta**2 * step.rise * (1 + step.decay) / (1 + k)  # 1 - k, without cancellation
        return Plan.of(
            schedule,
            a=k * step.sigma_s / step.sigma_t,
            b=step.alpha_s * (step.rise + step.decay * rest),
            c=self.eta * step.sigma_s * (step.rise * (1 + step.decay)) ** 0.5,
        )
