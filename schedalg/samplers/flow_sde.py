"""Stochastic steps along a flow, for reinforcement learning: Flow-GRPO's and Flow-CPS's."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.checks import real_number
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.consistency import TCD
from schedalg.samplers.options import checked_eta

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


#: Up to so many times 1 - t, a step is that of Flow-GRPO's authors.
_LONGEST = 3.0


@dataclass(frozen=True)
class FlowSDE:
    """Flow-GRPO's sampler: Euler-Maruyama steps of an SDE with the marginals of the flow.

    With t = sigma/(alpha + sigma) and x in the scale of a flow, a step from t to s is

        x_s = x_t - (v + g²/(2t) eps) (t - s) + g sqrt(t - s) z,    g = a sqrt(t/(1 - t)),

    where v = eps - x0. On other schedules it is the same step in their scale. Such a step takes
    d = a² (t - s)/(2 (1 - t)) of the old noise away, and adds noise of variance 2 t d.

    What is not the authors': they start from t = 1, with s in place of t in 1 - t there, and take
    even steps, shifted; t - s is then at most 3 (1 - t) in all others that add noise. A longer step
    has (1 - s) - 3 (1 - t) in place of 1 - t, which goes over into their step from t = 1: with
    1 - t itself, a start close to pure noise would have no bounds. Where d is above s, which is all
    of the noise that there is, it is s here: more would change the noise's sign. And no noise is
    added in the step to clean data, which returns the x0 prediction; in the authors' code that
    noise stays in the image.

    A step leaves more noise than the flow has at s, by 2 d (t - s) + d² in variance; `FlowCPS` does
    not.

    Args:
        noise_level: a, from 0 to 1000. 0 is `DDIM()`.

    Raises:
        TypeError: `noise_level` is not a number.
        ValueError: `noise_level` is out of range.

    Example:
        >>> from schedalg import FlowSDE, Schedule
        >>> FlowSDE(0.7).plan(Schedule.flow(4)).c.round(3)
        array([0.7  , 0.606, 0.35 , 0.   ])

    Source: Liu et al., arXiv 2505.05470.
    """

    noise_level: float = 0.7

    def __post_init__(self) -> None:
        level = real_number("noise_level", self.noise_level)
        if not 0 <= level <= 1000:
            raise ValueError(f"noise_level must be between 0 and 1000, got {level!r}")
        object.__setattr__(self, "noise_level", level)

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step."""
        step, square = Steps.of(schedule), self.noise_level**2
        unit_t, unit_s = step.alpha_t + step.sigma_t, step.alpha_s + step.sigma_s
        t, signal_t, signal_s = step.sigma_t / unit_t, step.alpha_t / unit_t, step.alpha_s / unit_s
        length = t * signal_s * step.rise  # t - s, without cancellation
        guarded = step.xp.maximum(signal_t, signal_s - _LONGEST * signal_t)
        # x_s = (1 - s) x0 + (s - drift) eps + std z, and eps = (x - (1 - t) x0) / t.
        drift = step.xp.minimum(unit_s * square * length / (2 * guarded), step.sigma_s)
        return Plan.of(
            schedule,
            a=(step.sigma_s - drift) / step.sigma_t,
            b=step.alpha_s * step.rise + drift * signal_t / t,
            c=unit_s * step.root(2 * t * drift / unit_s),
        )


@dataclass(frozen=True)
class FlowCPS:
    """Flow-CPS, coefficients-preserving sampling: a share of the noise is replaced in each step.

        x_s = alpha_s x0 + sigma_s (cos(θ) eps + sin(θ) z),    θ = eta π / 2,

    so that the coefficients of the signal and of all noise are those of the schedule. The share
    does not depend on the length of the step: with more steps at the same eta, more noise is
    replaced in all, and the variance of data that are not points does not converge. It is the table
    of `TCD`, with gamma = 1 - cos(θ). The step to clean data adds no noise.

    Args:
        eta: From 0, which is `DDIM()`, to 1, where all of the noise is new, as in `LCM`.

    Raises:
        TypeError: `eta` is not a number.
        ValueError: `eta` is outside [0, 1].

    Example:
        >>> from schedalg import FlowCPS, Schedule
        >>> FlowCPS(eta=0.5).plan(Schedule.flow(4)).c.round(3)
        array([0.53 , 0.354, 0.177, 0.   ])

    Source: Wang and Yu, arXiv 2509.05952.
    """

    eta: float = 0.7

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", checked_eta(self.eta))

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step."""
        angle = self.eta * math.pi / 2
        share = math.sin(angle) ** 2 / (1 + math.cos(angle))  # 1 - cos, without cancellation
        return TCD(gamma=share).plan(schedule)
