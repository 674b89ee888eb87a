"""Going back up the path: Restart and RePaint."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from schedalg.arrays import namespace
from schedalg.checks import integer, positive_integer
from schedalg.plan.columns import FLOATS
from schedalg.plan.plan import Plan, check_plan
from schedalg.plan.steps import step_change
from schedalg.samplers.ddpm import DDPM
from schedalg.samplers.protocols import TableSampler
from schedalg.schedule import Schedule

#: Walking a stretch more often than this is a mistake.
MOST_TIMES = 10_000


@dataclass(frozen=True)
class Restart:
    """A sampler that walks stretches of the path several times, with new noise before each time.

    Having arrived at point `low`, x is noised up to point `high`: (alpha_high/alpha_low) x + c z,
    c² = sigma_high² - (alpha_high/alpha_low)² sigma_low²; and the sampler starts afresh from there.
    The plan has (high - low) more steps a time; the order is the sampler's.

    Args:
        sampler: Any sampler with a table. (One that counts the steps, as `Heun` with churn does,
            counts those of each part.)
        stretches: (low, high, times) for each: points of the schedule, low < high, and how often
            the stretch is walked again. They must not overlap.

    Raises:
        TypeError: The sampler has no table, or a number is no integer.
        ValueError: A stretch is none, or two overlap.

    Example:
        >>> from schedalg import Heun, Restart, Schedule
        >>> Restart(Heun(), [(3, 6, 2)]).plan(Schedule.karras(10)).model_calls
        31

    Source: Xu et al., arXiv 2306.14878, algorithm 1.
    """

    sampler: TableSampler
    stretches: Sequence[tuple[int, int, int]]

    def __post_init__(self) -> None:
        _check_has_plan(self.sampler)
        if not isinstance(self.stretches, Sequence) or isinstance(self.stretches, str):
            raise TypeError(f"stretches must be a list, got {type(self.stretches).__name__}")
        checked = []
        for i, stretch in enumerate(self.stretches):
            if not isinstance(stretch, Sequence) or len(stretch) != 3:
                raise TypeError(f"stretches[{i}] must be (low, high, times), got {stretch!r}")
            low, high, times = (integer(f"stretches[{i}]", value) for value in stretch)
            if not 0 <= low < high or not 1 <= times <= MOST_TIMES:
                raise ValueError(
                    f"stretches[{i}] must be (low, high, times) with 0 <= low < high and times "
                    f"from 1 to {MOST_TIMES}; got {(low, high, times)}"
                )
            checked.append((low, high, times))
        checked.sort(reverse=True)
        for above, below in pairwise(checked):
            if below[1] > above[0]:
                raise ValueError(f"stretches {below} and {above} overlap")
        object.__setattr__(self, "stretches", tuple(checked))

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule.

        Raises:
            TypeError: The sampler's plan is none.
            ValueError: A stretch is outside the schedule, or a part too short for the sampler.
        """

        def plan(part: Schedule) -> Plan:
            return check_plan(self.sampler.plan(part), part)

        if len(schedule) == 0:
            return plan(schedule)
        top = len(schedule)
        plans = []
        for low, high, times in self.stretches:
            if high >= len(schedule):
                raise ValueError(
                    f"stretch {(low, high, times)} is outside a schedule of {len(schedule)} points"
                )
            down = plan(schedule[low + 1 : top])
            again = plan(schedule[low + 1 : high + 1])
            plans += [_noised(part, schedule, low, high) for part in [down, *[again] * (times - 1)]]
            plans.append(again)
            top = low + 1
        return joined(schedule, [*plans, plan(schedule[:top])])


@dataclass(frozen=True)
class RePaint:
    """RePaint's resampling: DDPM, in which every stretch of `jump_length` points is walked again.

    For inpainting, with `inpaint` around the network: each time, what is made fits what is known a
    little better.

    Args:
        jump_length: Points in a stretch, at least 1.
        times: How often each stretch is walked in all, at least 1.
        sampler: What walks; DDPM in the paper.

    Raises:
        TypeError: A number is no integer, or the sampler has no table.
        ValueError: A number is below 1.

    Example:
        >>> from schedalg import RePaint, Schedule
        >>> RePaint(jump_length=5, times=3).plan(Schedule.linear(10)).model_calls
        20

    Source: Lugmayr et al., arXiv 2201.09865, section 4.2 and algorithm 1.
    """

    jump_length: int = 10
    times: int = 10
    sampler: TableSampler = field(default_factory=DDPM)

    def __post_init__(self) -> None:
        _check_has_plan(self.sampler)
        for name in ("jump_length", "times"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))
        if self.times > MOST_TIMES:
            raise ValueError(f"times must be at most {MOST_TIMES}, got {self.times}")

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule; the stretch above the last whole jump is walked once."""
        lows = range(0, len(schedule) - self.jump_length, self.jump_length)
        if self.times == 1:
            lows = range(0)
        stretches = [(low, low + self.jump_length, self.times - 1) for low in lows]
        return Restart(self.sampler, stretches).plan(schedule)


def _check_has_plan(sampler: object) -> None:
    if isinstance(sampler, type) or not callable(getattr(sampler, "plan", None)):
        raise TypeError(f"sampler must be an object with a table, got {sampler!r}")


def joined(schedule: Schedule, plans: Sequence[Plan]) -> Plan:
    """Return the plans of parts of a schedule as one of the whole, each starting afresh."""
    walked = [plan for plan in plans if len(plan)]
    # What a part does to x before its first row is done in the last row of the part before.
    plans = [_continued(plan, *following.start) for plan, following in pairwise(walked)] + walked[
        -1:
    ]
    xp = namespace(plans[0].a)
    width = max(plan.b.shape[1] for plan in plans)

    def column(name: str) -> Any:
        parts = [getattr(plan, name) for plan in plans]
        if name == "b":
            empty = [xp.zeros_like(part[:, :1]) for part in parts]
            parts = [
                xp.concat([part, *[zero] * (width - part.shape[1])], axis=1)
                for part, zero in zip(parts, empty, strict=True)
            ]
        return xp.concat(parts) if parts[0] is not None else None

    steps = np.cumsum([0, *(plan.step[-1] + 1 for plan in plans)])
    changed = {name: column(name) for name in FLOATS}
    return replace(
        plans[0],
        schedule=schedule,
        step=np.concatenate([plan.step + n for plan, n in zip(plans, steps, strict=False)]),
        timesteps=np.concatenate([plan.timesteps for plan in plans]),
        **changed,
    )


def _noised(plan: Plan, schedule: Schedule, low: int, high: int) -> Plan:
    """Return the plan with its last row's x noised up from one point to another."""
    below, above = schedule[low], schedule[high]
    # sigma_high² - (ratio sigma_low)², as a share of the former: 1 - SNR_high/SNR_low.
    fresh, _ = step_change(above, below)
    return _continued(plan, above.alpha / below.alpha, above.sigma * fresh**0.5)


def _continued(plan: Plan, scale: Any, noise: Any) -> Plan:
    """Return the plan with x scaled, and noise added to it, in the last row.

    Raises:
        ValueError: There is noise to add to a learned variance.
    """
    if isinstance(noise, float) and (scale, noise) == (1.0, 0.0):
        return plan
    if plan.log_variance is not None:
        raise ValueError("no noise of another level can be added to a learned variance")
    xp = namespace(plan.a)

    def last(values: Any, value: Any) -> Any:
        return xp.concat([values[:-1, ...], xp.reshape(value, values[-1:, ...].shape)])

    return replace(
        plan,
        a=last(plan.a, scale * plan.a[-1]),
        b=last(plan.b, scale * plan.b[-1, :]),
        c=last(plan.c, ((scale * plan.c[-1]) ** 2 + noise**2) ** 0.5),
    )
