"""Samplers in diffusers' variants: `ClippedDDIM`, `LowerOrderFinal` and `LatePNDM`."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers import IPNDM
from schedalg.samplers.options import checked_eta
from schedalg.samplers.protocols import TableSampler
from schedalg.schedule import Schedule


@dataclass(frozen=True)
class ClippedDDIM:
    """DDIM as in diffusers: x0 is bounded, and eps is the network's own noise prediction.

    x_s = alpha_s clip(x0) + sqrt(sigma_s² - std²) eps + std z, with eps from the x0 prediction
    before it is bounded by the `clip` of `sample`. (`DDIM` computes eps from the bounded x0, as
    OpenAI's code and `use_clipped_model_output=True` do.) Without bounds, it is the same as `DDIM`.

    Args:
        eta: As in `DDIM`.

    Raises:
        TypeError: `eta` is not a number.
        ValueError: `eta` is outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, sample
        >>> from schedalg.interop.diffusers import ClippedDDIM
        >>> s = Schedule.linear(1000).subsample(steps=2)
        >>> model = lambda x, timesteps: 3 + 0 * x
        >>> sample(model, s, ClippedDDIM(), np.ones((1, 1)), prediction="x0", clip=(-1, 1))
        array([[1.]])

    Source: Song et al., arXiv 2010.02502, equation 12.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", checked_eta(self.eta))

    def plan(self, schedule: Schedule) -> Plan:
        """Return the plan for a schedule; one call a step."""
        steps = Steps.of(schedule)
        share = ((1 - self.eta**2) + self.eta**2 * steps.decay**2) ** 0.5
        ratio = share * steps.sigma_s / steps.sigma_t
        zeros = steps.xp.zeros_like(ratio)
        return Plan.of(
            schedule,
            a=ratio,
            b=steps.xp.ones_like(ratio),
            c=self.eta * steps.sigma_s * (steps.rise * (1 + steps.decay)) ** 0.5,
            # eps = (x - alpha_t x0) / sigma_t, with the x0 prediction before it is bounded.
            memory=(steps.alpha_s, zeros, -ratio * steps.alpha_t),
        )


@dataclass(frozen=True)
class LowerOrderFinal:
    """A multistep method whose order falls to 1 again towards the last step.

    Args:
        orders: The method with order 1, with order 2, and so on.

    Example:
        >>> from schedalg import DEIS, Schedule
        >>> from schedalg.interop.diffusers import LowerOrderFinal
        >>> s = Schedule.linear(1000).subsample(steps=5)[1:]
        >>> falling = LowerOrderFinal((DEIS(order=1), DEIS(order=2)))
        >>> (falling.plan(s).b[-1] == [*DEIS(order=1).plan(s).b[-1], 0]).all()
        np.True_
    """

    orders: tuple[TableSampler, ...]

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


@dataclass(frozen=True)
class LatePNDM:
    """PNDM in a pipeline that leaves its first steps out: iPNDM, with the calls that are left.

    The timesteps of a pipeline hold the extra call of `PNDM` at the second point of the whole
    schedule. A run that starts later has one call a step, and so starts with lower orders.

    Args:
        repeated: Whether it starts at that second point, where the pipeline calls the network
            twice. Nothing is known yet that a second call could correct, so x stays as it is in
            the first of the two.
    """

    repeated: bool = False

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule."""
        plan = IPNDM().plan(schedule)
        if not self.repeated:
            return plan
        columns: dict[str, Any] = {
            column.name: np.insert(value, 0, value[0], axis=0)
            for column in fields(plan)
            if isinstance(value := getattr(plan, column.name), np.ndarray)
        }
        for name in ("b", "c"):
            columns[name][0] = 0
        columns["a"][0] = 1
        return replace(plan, **columns)
