"""Samplers of networks that were distilled to few steps: LCM and TCD."""

import math
from dataclasses import dataclass

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import positive_number, real_number
from schedalg.network.reading import scale_to
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps, step_change
from schedalg.schedule import Schedule, check_schedule


@dataclass(frozen=True)
class LCM:
    """Multistep consistency sampling: predict x0, and add noise up to the next noise level.

    x_s = alpha_s f + sigma_s z, with f the x0 prediction, or the boundary-conditioned
    f = c_skip x_t + c_out x0, c_skip = sd²/(T² + sd²), c_out = T/sqrt(T² + sd²), with T the
    timestep times `timestep_scaling`. One call of the network a step. The step to clean data adds
    no noise.

    Args:
        timestep_scaling: Factor of the timestep in the boundary condition, 10 in the authors' code.
            None: f is the x0 prediction; the difference is 1e-5 or less at timesteps above 20.
            (With the boundary condition, f is x itself at timestep 0 and the network's prediction
            is not used: use "trailing" spacing.)
        sigma_data: sd, the standard deviation of the data in the boundary condition.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is not between 1e-60 and 1e60.

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
        for name in ("timestep_scaling", "sigma_data"):
            if (value := getattr(self, name)) is None and name == "timestep_scaling":
                continue
            number = positive_number(name, value)
            if not 1e-60 < number < 1e60:
                raise ValueError(f"{name} must be between 1e-60 and 1e60, got {number!r}")
            object.__setattr__(self, name, number)

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule; one call a step."""
        steps = Steps.of(schedule)
        skip, out = np.zeros(len(schedule)), np.ones(len(schedule))
        if self.timestep_scaling is not None:
            scaled = self.timestep_scaling * schedule.timesteps[::-1]
            total = np.hypot(scaled, self.sigma_data)
            skip, out = (self.sigma_data / total) ** 2, scaled / total
        # The boundary condition is in the scale that the network was trained in.
        to_network = scale_to(schedule.network_kind, steps.alpha_t, steps.sigma_t)
        return Plan.of(
            schedule,
            a=steps.alpha_s * to_network * steps.array(skip),
            b=steps.alpha_s * steps.array(out),
            c=steps.sigma_s,
        )


@dataclass(frozen=True)
class TCD:
    """Trajectory consistency sampling: a DDIM step to u, below the next point s, and noise up to s.

    x_u = alpha_u x0 + sigma_u eps; x_s = (alpha_s/alpha_u) x_u + noise, with u between s and clean
    data. One call of the network a step. The step to clean data adds no noise.

    Args:
        gamma: Share of the way from s towards clean data, in [0, 1]: 0 is DDIM; 1, without
            `trained`, is `LCM`.
        trained: The schedule that the network was trained on, in which u is at the timestep
            floor((1 - gamma) s), as in the paper. None: u is where sigma/alpha is 1 - gamma times
            that at s, which does not need the trained schedule.

    Raises:
        TypeError: `gamma` is not a number, or `trained` is not a schedule.
        ValueError: `gamma` is outside [0, 1].

    Example:
        >>> from schedalg import TCD, Schedule
        >>> base = Schedule.scaled_linear(1000)
        >>> s = base.subsample(steps=4, spacing="trailing")
        >>> TCD(gamma=0.3, trained=base).plan(s).c.round(3)
        array([0.877, 0.673, 0.385, 0.   ])

    Source: Zheng et al., arXiv 2402.19159, algorithm 1 and equation 13.
    """

    gamma: float = 0.3
    trained: Schedule | None = None

    def __post_init__(self) -> None:
        gamma = real_number("gamma", self.gamma)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be in [0, 1], got {gamma!r}")
        object.__setattr__(self, "gamma", gamma)
        if self.trained is not None:
            check_schedule(self.trained, "trained")

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule; one call a step.

        Raises:
            ValueError: A timestep floor((1 - gamma) s) is not in the trained schedule, or its
                log-SNR there is not above that of s in this one.
        """
        steps = Steps.of(schedule)
        # k = (sigma_u/alpha_u) / (sigma_s/alpha_s) is the ratio of the noise levels at u and s.
        k, fresh = (steps.array(column) for column in self._changes(schedule).T)
        return Plan.of(
            schedule,
            a=k * steps.sigma_s / steps.sigma_t,
            b=steps.alpha_s * (steps.rise + steps.decay * fresh / (1 + k)),
            c=steps.sigma_s * steps.root(fresh),
        )

    def _changes(self, schedule: Schedule) -> np.ndarray:
        """Return k and 1 - k² for every step, (N, 2)."""
        if self.trained is None:
            return np.tile([1 - self.gamma, self.gamma * (2 - self.gamma)], (len(schedule), 1))
        reached = [*list(schedule)[-2::-1], schedule.origin] if len(schedule) else []
        known = {t: i for i, t in enumerate(self.trained.timesteps.tolist())}
        changes = np.tile([1.0, 0.0], (len(schedule), 1))
        for i, s in enumerate(reached):
            if s.timestep is None:  # clean data
                continue
            at = math.floor((1 - self.gamma) * s.timestep)
            if at not in known:
                raise ValueError(
                    f"step {i} reaches timestep {s.timestep}, and floor((1 - gamma) {s.timestep}) "
                    f"= {at} is not a timestep of the trained schedule"
                )
            if at == s.timestep:
                continue
            u = self.trained[known[at]]
            if not float(to_host(u.log_snr)) > float(to_host(s.log_snr)):
                raise ValueError(
                    f"step {i} reaches timestep {s.timestep}, with log SNR {s.log_snr:.6g}; at "
                    f"timestep {at} the trained schedule has {u.log_snr:.6g}, which must be more"
                )
            fresh, k = step_change(s, u)
            changes[i] = float(to_host(k)), float(to_host(fresh))
        return changes
