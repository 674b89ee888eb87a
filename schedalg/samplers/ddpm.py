"""Ancestral sampling: each step draws from q(x_s | x_t, x0), with x0 as the network predicts it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from schedalg.arrays import Array
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps, column_log_alpha_bar
from schedalg.schedule import path, posterior

if TYPE_CHECKING:
    from schedalg.schedule import Schedule

#: The posterior's own variance; that of the whole forward step; what the network says, as its
#: logarithm or as a place between the two.
Variance: TypeAlias = Literal["fixed_small", "fixed_large", "learned", "learned_range"]


@dataclass(frozen=True)
class DDPM:
    """The sampler of DDPM, on the path of any scale.

    With r = 1 - SNR_t/SNR_s: x_s = alpha_s r x0 + sqrt(1 - r) (sigma_s/sigma_t) x_t + std z.
    No noise is added in a step that arrives at clean data.

    Args:
        variance: "fixed_small", the posterior's sigma_s² r, right for data that are a point;
            "fixed_large", the variance β of the whole forward step on the variance-preserving path,
            brought to the scale of this one, and right for data of unit variance; "learned", where
            the second half of the network's channels is the log-variance; or "learned_range", where
            it is v in [-1, 1] and the log-variance is (1 + v)/2 of the way from the posterior's to
            log β. Both bounds are those of the schedule that is walked: a respaced one has its own.

    Raises:
        ValueError: `variance` is unknown.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, sample
        >>> fast = Schedule.linear(1000).subsample(steps=20)
        >>> model = lambda x, timestep: x  # "all of x is noise"
        >>> sample(model, fast, DDPM(), np.ones((2, 3)), noise=0).shape
        (2, 3)

    Source: Ho et al., arXiv 2006.11239, equations 6, 7 and section 3.2; Nichol and Dhariwal, arXiv
    2102.09672, equation 15.
    """

    variance: Variance = "fixed_small"

    def __post_init__(self) -> None:
        if not isinstance(self.variance, str) or self.variance not in get_args(Variance):
            allowed = ", ".join(map(repr, get_args(Variance)))
            raise ValueError(f"variance must be one of {allowed}; got {self.variance!r}")

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        A step that arrives at clean data returns the prediction. One that leaves pure noise is a
        new draw around the prediction.
        """
        step = Steps.of(schedule)
        drop = step.rise * (1 + step.decay)
        noisy = step.sigma_s > 0
        if self.variance == "fixed_small":
            c = step.sigma_s * drop**0.5
        elif self.variance == "fixed_large":
            # beta = r sigma_t², in the variance-preserving scale.
            to_scale = _length(step.alpha_s, step.sigma_s) / _length(step.alpha_t, step.sigma_t)
            c = step.xp.where(noisy, to_scale * step.sigma_t * drop**0.5, 0.0)
        else:
            c = step.xp.astype(noisy, step.h.dtype)
        return Plan.of(
            schedule,
            a=step.decay * (step.sigma_s / step.sigma_t),
            b=step.alpha_s * drop,
            c=c,
            log_variance=self._log_variance(schedule, step),
        )

    def _log_variance(self, schedule: "Schedule", step: Steps) -> Array | None:
        """Return the log-variances that v = -1 and v = 1 stand for, noisiest step first."""
        if not self.variance.startswith("learned"):
            return None
        xp, log_alpha_bar = step.xp, column_log_alpha_bar(schedule)
        # What the network knows is the variance on the variance-preserving path.
        to_scale = 2 * xp.log(step.alpha_s) - xp.flip(path.before(log_alpha_bar).high)
        if self.variance == "learned":
            return xp.stack([to_scale - 1, to_scale + 1], axis=1)
        low = xp.flip(posterior.log_variance_of(xp, log_alpha_bar, schedule.kind))
        return xp.stack([low, xp.log(xp.flip(path.betas(xp, log_alpha_bar))) + to_scale], axis=1)


def _length(alpha: Any, sigma: Any) -> Any:
    """Return by how much the scale of a level exceeds the variance-preserving one."""
    return (alpha**2 + sigma**2) ** 0.5
