"""DDPM, ancestral sampling: each step draws from q(x_s | x_t, x0) with the predicted x0."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from schedalg.arrays import Array
from schedalg.checks import shown
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps, column_log_alpha_bar
from schedalg.samplers.fitted import ErrorCurve, checked_curve, fitted
from schedalg.schedule import path, posterior

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: The posterior's variance; the variance of the forward step; the network's log-variance; the
#: network's interpolation between the first two.
Variance: TypeAlias = Literal["fixed_small", "fixed_large", "learned", "learned_range"]


@dataclass(frozen=True)
class DDPM:
    """DDPM's sampler, on variance-preserving, variance-exploding and flow schedules.

    With r = 1 - SNR_t/SNR_s: x_s = alpha_s r x0 + sqrt(1 - r) (sigma_s/sigma_t) x_t + std z.
    The step to clean data adds no noise.

    Args:
        variance: "fixed_small" is the posterior's variance sigma_s² r, exact for data that are a
            single point. "fixed_large" is the variance β of the forward step, exact for data of
            unit variance; it is rescaled if the schedule is not variance-preserving. With "learned"
            the second half of the network's channels is the log-variance. With "learned_range" it
            is v in [-1, 1], and the log-variance lies (1 + v)/2 of the way from the posterior's
            log-variance to log β. Both are computed for the steps of the given schedule, so a
            respaced schedule has its own. (schedule, errors) are the network's errors along the
            schedule that it was trained on, as `Schedule.step_costs` takes them. The variance is
            then that of "fixed_small" plus what is lost because the predicted x0 is a mean. On
            Gaussian data the variance of x is exact at every point of every subset.

    Raises:
        TypeError: `variance` is a tuple, and not one of a schedule and numbers.
        ValueError: `variance` is unknown, or its errors are not those of x0 at each point.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, sample
        >>> fast = Schedule.linear(1000).subsample(steps=20)
        >>> model = lambda x, timestep: x  # "all of x is noise"
        >>> sample(model, fast, DDPM(), np.ones((2, 3)), noise=0).shape
        (2, 3)

    Source: Ho et al., arXiv 2006.11239, equations 6, 7 and section 3.2; Nichol and Dhariwal, arXiv
    2102.09672, equation 15; Bao et al., arXiv 2201.06503 (the variance from errors).
    """

    variance: Variance | ErrorCurve = "fixed_small"

    def __post_init__(self) -> None:
        if isinstance(self.variance, tuple):
            object.__setattr__(self, "variance", checked_curve("variance", self.variance))
        elif not isinstance(self.variance, str) or self.variance not in get_args(Variance):
            allowed = ", ".join(map(repr, get_args(Variance)))
            raise ValueError(
                f"variance must be one of {allowed}, or (schedule, errors); got "
                f"{shown(self.variance)}"
            )

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        The step to clean data returns the x0 prediction. A step from pure noise does not depend on
        x: it adds new noise to alpha_s x0.

        Raises:
            ValueError: A point is outside of the noise levels at which the errors are known.
        """
        step = Steps.of(schedule)
        drop = step.rise * (1 + step.decay)
        noisy = step.sigma_s > 0
        if self.variance == "fixed_small" or isinstance(self.variance, tuple):
            c = step.sigma_s * drop**0.5
        elif self.variance == "fixed_large":
            # beta = r sigma_t², in the variance-preserving scale.
            to_scale = _length(step.alpha_s, step.sigma_s) / _length(step.alpha_t, step.sigma_t)
            c = step.xp.where(noisy, to_scale * step.sigma_t * drop**0.5, 0.0)
        else:
            c = step.xp.astype(noisy, step.h.dtype)
        plan = Plan.of(
            schedule,
            a=step.decay * (step.sigma_s / step.sigma_t),
            b=step.alpha_s * drop,
            c=c,
            log_variance=self._log_variance(schedule, step),
        )
        return fitted(plan, self.variance) if isinstance(self.variance, tuple) else plan

    def _log_variance(self, schedule: "Schedule", step: Steps) -> Array | None:
        """Return the log-variance of each step at v = -1 and v = 1, (N, 2), noisiest step first."""
        if self.variance not in ("learned", "learned_range"):
            return None
        xp, log_alpha_bar = step.xp, column_log_alpha_bar(schedule)
        # The network predicts the variance on the variance-preserving path.
        to_scale = 2 * xp.log(step.alpha_s) - xp.flip(path.before(log_alpha_bar).high)
        if self.variance == "learned":
            return xp.stack([to_scale - 1, to_scale + 1], axis=1)
        low = xp.flip(posterior.log_variance_of(xp, log_alpha_bar, schedule.kind))
        return xp.stack([low, xp.log(xp.flip(path.betas(xp, log_alpha_bar))) + to_scale], axis=1)


def _length(alpha: Any, sigma: Any) -> Any:
    """Return the factor between this scale and the variance-preserving one."""
    return (alpha**2 + sigma**2) ** 0.5
