"""Stochastic steps along a flow, for reinforcement learning: Flow-GRPO's and Flow-CPS's."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.arrays import holds
from schedalg.checks import real_number
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.consistency import TCD
from schedalg.samplers.options import checked_eta

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class FlowSDE:
    """Flow-GRPO's sampler: Euler-Maruyama steps of an SDE with the marginals of the flow.

    With t = sigma/(alpha + sigma) and x in the scale of a flow, a step from t to s is

        x_s = x_t - (v + g²/(2t) eps) (t - s) + g sqrt(t - s) z,    g = a sqrt(t/(1 - t)),

    where v = eps - x0. On other schedules it is the same step in their scale. Where it leaves pure
    noise, s takes the place of t in 1 - t, as in the authors' code. The step to clean data adds no
    noise, and returns the x0 prediction; the authors' code adds noise there, which stays in the
    image. A step adds more noise than the flow has at s, by the square of its length; `FlowCPS`
    does not.

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
        from_noise = ~holds(step.alpha_t > 0)
        guarded = step.where(from_noise, signal_s, signal_t)
        noisy = step.xp.astype(step.sigma_s > 0, length.dtype)
        # x_s = (1 - s) x0 + (s - drift) eps + std z, and eps = (x - (1 - t) x0) / t.
        drift = noisy * square * length / (2 * guarded)
        return Plan.of(
            schedule,
            a=(step.sigma_s - unit_s * drift) / step.sigma_t,
            b=step.alpha_s * step.rise + unit_s * drift * signal_t / t,
            c=noisy * unit_s * self.noise_level * (t * length / guarded) ** 0.5,
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
