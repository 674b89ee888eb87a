"""Sampling distilled networks in few steps: LCM and TCD."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import positive_number, real_number, to_host
from schedalg.model import scale_to
from schedalg.plan import Plan
from schedalg.steps import Steps

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class LCM:
    """Multistep consistency sampling: predict clean data, and noise them again to the next level.

    x_s = alpha_s f + sigma_s z, with f the x0 prediction, or the boundary-conditioned
    f = c_skip x_t + c_out x0, c_skip = sd²/(T² + sd²), c_out = T/sqrt(T² + sd²), with T the
    timestep times `timestep_scaling`. One call a step; no noise is added in a step that arrives at
    clean data.

    Args:
        timestep_scaling: That of the boundary condition, 10 in the authors' code; None: f is the x0
            prediction, which differs by 1e-5 or less at timesteps above 20.
        sigma_data: sd, the standard deviation of the data in the boundary condition.

    Raises:
        TypeError: An argument is no number.
        ValueError: One is not above 0.

    Example:
        >>> from schedalg import LCM, Schedule
        >>> s = Schedule.scaled_linear(1000).subsample(steps=4, spacing="trailing")
        >>> LCM().plan(s).c.round(3)
        array([0.971, 0.85 , 0.57 , 0.   ])

    Source: Song et al., arXiv 2303.01469, algorithm 1; Luo et al., arXiv 2310.04378, algorithm 3
    and equation 9.
    """

    timestep_scaling: float | None = None
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if self.timestep_scaling is not None:
            scaling = positive_number("timestep_scaling", self.timestep_scaling)
            object.__setattr__(self, "timestep_scaling", scaling)
        data = positive_number("sigma_data", self.sigma_data)
        object.__setattr__(self, "sigma_data", data)

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step."""
        steps = Steps.of(schedule)
        skip, out = np.zeros(len(schedule)), np.ones(len(schedule))
        if self.timestep_scaling is not None:
            scaled = self.timestep_scaling * schedule.timesteps[::-1] / self.sigma_data
            skip, out = 1 / (scaled**2 + 1), scaled / np.sqrt(scaled**2 + 1)
        # x as the network sees it, whatever the scale of the path.
        seen = scale_to(schedule.network_kind, steps.alpha_t, steps.sigma_t)
        return Plan.of(
            schedule,
            a=steps.alpha_s * seen * steps.array(skip),
            b=steps.alpha_s * steps.array(out),
            c=steps.sigma_s,
        )


@dataclass(frozen=True)
class TCD:
    """Trajectory consistency sampling: DDIM to a level below the next, then noise back up to it.

    x_u = alpha_u x0 + sigma_u eps; x_s = (alpha_s/alpha_u) x_u + noise, with u between s and clean
    data. One call a step; no noise is added in a step that arrives at clean data.

    Args:
        gamma: Share of the way from s to clean data, in [0, 1]: 0 is DDIM, 1 is `LCM`.
        trained: The schedule that the network was trained on, in which u is at the timestep
            floor((1 - gamma) s), as in the paper. None: u is where sigma/alpha is 1 - gamma times
            that at s, which a short schedule knows by itself.

    Raises:
        TypeError: `gamma` is no number, or `trained` no schedule.
        ValueError: `gamma` is out of range.

    Example:
        >>> from schedalg import TCD, Schedule
        >>> base = Schedule.scaled_linear(1000)
        >>> s = base.subsample(steps=4, spacing="trailing")
        >>> TCD(gamma=0.3, trained=base).plan(s).c.round(3)
        array([0.877, 0.673, 0.385, 0.   ])

    Source: Zheng et al., arXiv 2402.19159, algorithm 1 and equation 13.
    """

    gamma: float = 0.3
    trained: "Schedule | None" = None

    def __post_init__(self) -> None:
        gamma = real_number("gamma", self.gamma)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be in [0, 1], got {gamma!r}")
        object.__setattr__(self, "gamma", gamma)
        if self.trained is not None and not hasattr(self.trained, "levels"):
            raise TypeError(f"trained must be a Schedule, got {type(self.trained).__name__}")

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: A timestep (1 - gamma) s is not one of the trained schedule's.
        """
        steps = Steps.of(schedule)
        # k = (sigma_u/alpha_u) / (sigma_s/alpha_s), the share of the noise at s that x_u has.
        k = steps.array(self._kept(schedule, steps))
        return Plan.of(
            schedule,
            a=k * steps.sigma_s / steps.sigma_t,
            b=steps.alpha_s * (steps.rise + steps.decay * (1 - k)),
            c=steps.sigma_s * ((1 - k) * (1 + k)) ** 0.5,
        )

    def _kept(self, schedule: "Schedule", steps: Steps) -> np.ndarray:
        """Return which share of the noise at s there is at u, for every step."""
        if self.trained is None or len(schedule) == 0:
            return np.full(len(schedule), 1 - self.gamma)
        origin = schedule.origin.timestep
        reached = [*schedule.timesteps[-2::-1].tolist(), 0 if origin is None else origin]
        at = np.floor((1 - self.gamma) * np.array(reached)).tolist()
        known = {t: i for i, t in enumerate(self.trained.timesteps.tolist())}
        rho = to_host(self.trained.to_sigmas())
        here = to_host(steps.sigma_s) / to_host(steps.alpha_s)
        result = np.zeros(len(schedule))
        for i, (t, s) in enumerate(zip(at, reached, strict=True)):
            if here[i] == 0:
                continue
            if t not in known:
                raise ValueError(
                    f"step {i} reaches timestep {s}, and floor((1 - gamma) {s}) = {t:g} is not a "
                    "timestep of the trained schedule"
                )
            result[i] = min(rho[known[t]] / here[i], 1.0)
        return result
