"""`Point`, one noise level of a schedule."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schedalg.arrays import namespace, requires_gradient
from schedalg.frozen import without_assignment
from schedalg.schedule import path
from schedalg.schedule.double_double import DoubleDouble


@without_assignment
@dataclass(frozen=True, slots=True)
class Point:
    """One noise level: `x = alpha * x0 + sigma * eps`.

    Attributes:
        alpha: Signal scale: a float, or a 0-d array where a gradient flows through the schedule.
        sigma: Noise scale, likewise.
        timestep: The timestep passed to the network here; None for clean data.
        level: log ᾱ in double-double precision, from which samplers find what a short step
            changes; None in a point made by hand.

    Example:
        >>> from schedalg import Schedule
        >>> point = Schedule.linear(1000)[999]
        >>> round(point.alpha, 6), round(point.sigma, 6), point.timestep
        (0.006353, 0.99998, 999)
    """

    alpha: Any
    sigma: Any
    timestep: int | float | None
    level: DoubleDouble | None = field(default=None, repr=False, compare=False)

    @property
    def log_snr(self) -> Any:
        """log(alpha² / sigma²): `inf` for clean data, `-inf` for pure noise."""
        if self.level is None and requires_gradient(self.alpha):
            return 2 * namespace(self.alpha).log(self.alpha / self.sigma)
        if self.level is None:
            ratio = math.inf if self.sigma == 0 else self.alpha / self.sigma
            return 2 * math.log(ratio) if ratio else -math.inf
        if isinstance(self.level.high, float):
            return float(path.log_snr(np, self.level))
        return path.log_snr(namespace(self.level.high), self.level)
