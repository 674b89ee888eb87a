"""The steps of DDIM and DDPM as their papers write them, for the step protocol."""

from dataclasses import dataclass
from typing import Any

from schedalg.arrays import Array
from schedalg.plan.steps import step_change
from schedalg.samplers.protocols import Denoise, Noise
from schedalg.schedule import Point, Schedule


@dataclass(frozen=True)
class StepDDIM:
    """DDIM, by steps."""

    eta: float = 0.0

    def init(self, x: Array, schedule: Schedule) -> None:
        """Return None: a step needs no past."""

    def step(
        self, x: Array, t: Point, s: Point, denoise: Denoise, noise: Noise, state: None
    ) -> tuple[Array, None]:
        """Return x at point s."""
        x0 = denoise(x, t)
        if s.sigma == 0:
            return s.alpha * x0, None
        eps = (x - t.alpha * x0) / t.sigma
        if self.eta == 0:
            return s.alpha * x0 + s.sigma * eps, None
        drop, root = step_change(t, s)
        std = self.eta * s.sigma * drop**0.5
        # 1 - eta² (1 - root²), as a sum; 0 where all of the noise is new.
        kept = (1 - self.eta**2) + self.eta**2 * root**2
        mean = s.alpha * x0 + (s.sigma * kept**0.5) * eps if kept > 0 else s.alpha * x0
        return mean + std * noise(x), None


@dataclass(frozen=True)
class StepDDPM:
    """DDPM, by steps."""

    variance: str = "fixed_small"

    def init(self, x: Array, schedule: Schedule) -> None:
        """Return None: a step needs no past."""

    def step(
        self, x: Array, t: Point, s: Point, denoise: Denoise, noise: Noise, state: None
    ) -> tuple[Array, None]:
        """Return a draw of x at point s."""
        x0 = denoise(x, t)
        if s.sigma == 0:
            return s.alpha * x0, None
        drop, root = step_change(t, s)
        if self.variance == "fixed_small":
            std = s.sigma * drop**0.5
        else:
            to_scale = _length(s.alpha, s.sigma) / _length(t.alpha, t.sigma)
            std = to_scale * t.sigma * drop**0.5
        mean = (s.alpha * drop) * x0 + (root * (s.sigma / t.sigma)) * x
        return mean + std * noise(x), None


def _length(alpha: Any, sigma: Any) -> Any:
    """Return by how much the scale of a level exceeds the variance-preserving one."""
    return (alpha**2 + sigma**2) ** 0.5
