"""Samplers as diffusers runs them: `ClippedDDIM` and `LowerOrderFinal`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schedalg.network.bounds import Clip, bounding
from schedalg.plan.plan import Plan
from schedalg.plan.steps import step_change
from schedalg.samplers.options import checked_eta
from schedalg.samplers.protocols import Denoise, Noise, Planner
from schedalg.schedule import Point, Schedule


@dataclass(frozen=True)
class ClippedDDIM:
    """DDIM as diffusers runs it: x0 is bounded, and the noise stays what the network said it is.

    x_s = alpha_s clip(x0) + sqrt(sigma_s² - std²) eps + std z, with eps from the x0 prediction that
    is not bounded. (`DDIM` with `sample(..., clip=)` finds eps anew from the bounded one, as
    OpenAI's code and `use_clipped_model_output=True` do.) Give `sample` no `clip` with it.

    Args:
        eta: As in `DDIM`.
        clip: (low, high), or a function of x0.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `eta` is outside [0, 1], or `clip` is no interval.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, sample
        >>> from schedalg.interop.diffusers import ClippedDDIM
        >>> s = Schedule.linear(1000).subsample(steps=2)
        >>> model = lambda x, timesteps: 3 + 0 * x
        >>> sample(model, s, ClippedDDIM(clip=(-1, 1)), np.ones((1, 1)), prediction="x0")
        array([[1.]])

    Source: Song et al., arXiv 2010.02502, equation 12.
    """

    eta: float = 0.0
    clip: Clip | None = (-1.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", checked_eta(self.eta))
        bounding(self.clip)

    def init(self, x: Any, schedule: Schedule) -> None:
        """Return None: a step needs no past."""

    def step(
        self, x: Any, t: Point, s: Point, denoise: Denoise, noise: Noise, state: None
    ) -> tuple[Any, None]:
        """Return x at point s."""
        x0 = denoise(x, t)
        bound = bounding(self.clip)
        bounded = x0 if bound is None else bound(x0)
        if s.sigma == 0:
            return s.alpha * bounded, None
        eps = (x - t.alpha * x0) / t.sigma
        if self.eta == 0:
            return s.alpha * bounded + s.sigma * eps, None
        drop, root = step_change(t, s)
        kept = ((1 - self.eta**2) + self.eta**2 * root**2) ** 0.5
        mean = s.alpha * bounded + (s.sigma * kept) * eps
        return mean + (self.eta * s.sigma * drop**0.5) * noise(x), None


@dataclass(frozen=True)
class LowerOrderFinal:
    """A multistep method whose order falls to 1 again towards the last step.

    Args:
        orders: The method in order 1, 2, ….

    Example:
        >>> from schedalg import DEIS, Schedule
        >>> from schedalg.interop.diffusers import LowerOrderFinal
        >>> s = Schedule.linear(1000).subsample(steps=5)[1:]
        >>> falling = LowerOrderFinal((DEIS(order=1), DEIS(order=2)))
        >>> (falling.plan(s).b[-1] == [*DEIS(order=1).plan(s).b[-1], 0]).all()
        np.True_
    """

    orders: tuple[Planner, ...]

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule; one call a step."""
        highest = min(len(self.orders), max(len(schedule), 1))
        plan = self.orders[highest - 1].plan(schedule)
        b = np.array(plan.b)
        for left in range(1, highest):
            row = len(b) - left
            if row >= 0:
                lower = np.asarray(self.orders[left - 1].plan(schedule).b)[row]
                b[row] = 0
                b[row, : len(lower)] = lower
        return replace(plan, b=b)
