"""Samplers that go back to a higher noise level and denoise again: Restart and RePaint."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from schedalg.arrays import namespace, requires_gradient
from schedalg.checks import integer, positive_integer, shown
from schedalg.plan.columns import FLOATS
from schedalg.plan.plan import Plan, check_plan
from schedalg.plan.steps import array_like, step_change
from schedalg.samplers.ddpm import DDPM
from schedalg.samplers.protocols import TableSampler
from schedalg.schedule import Schedule

#: Limit of the number of times, to catch mistakes.
MOST_TIMES = 10_000


@dataclass(frozen=True)
class Restart:
    """A sampler that repeats stretches of the schedule, with new noise before each repetition.

    When x reaches point `low`, noise is added up to point `high`: (alpha_high/alpha_low) x + c z,
    c² = sigma_high² - (alpha_high/alpha_low)² sigma_low². From there the sampler starts anew,
    without memory of earlier steps. Each repetition adds high - low steps. The order is that of the
    sampler.

    Args:
        sampler: Any sampler with a table. (If it depends on the number of steps, as `Heun` with
            churn does, it uses the number in each part.)
        stretches: A list of (low, high, times): two indices of points of the schedule, low < high,
            and how often the stretch is repeated. Stretches must not overlap.

    Raises:
        TypeError: `sampler` has no `plan` method, or a stretch is not three integers.
        ValueError: A stretch is out of range, or two overlap.

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
                raise TypeError(f"stretches[{i}] must be (low, high, times), got {shown(stretch)}")
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
            TypeError: The sampler's `plan` method does not return a plan.
            ValueError: A stretch is outside the schedule, or a part is too short for the sampler.
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
    """RePaint's resampling: DDPM, with every stretch of `jump_length` points repeated.

    For inpainting, with `inpaint` around the network. Each repetition makes the generated part
    agree better with the known part.

    Args:
        jump_length: Number of points in a stretch, at least 1.
        times: How often each stretch is walked in all, from 1 to 10,000.
        sampler: The sampler of each stretch; DDPM in the paper.

    Raises:
        TypeError: A number is not an integer, or `sampler` has no `plan` method.
        ValueError: A number is out of range.

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
        """Return the table for a schedule; points above the last whole stretch are visited once."""
        lows = range(0, len(schedule) - self.jump_length, self.jump_length)
        if self.times == 1:
            lows = range(0)
        stretches = [(low, low + self.jump_length, self.times - 1) for low in lows]
        return Restart(self.sampler, stretches).plan(schedule)


def _check_has_plan(sampler: object) -> None:
    if isinstance(sampler, type) or not callable(getattr(sampler, "plan", None)):
        raise TypeError(f"sampler must be an object with a plan method, got {shown(sampler)}")


def joined(schedule: Schedule, plans: Sequence[Plan]) -> Plan:
    """Return the plans of parts of a schedule as one plan; no part uses the memory of another."""
    walked = [plan for plan in plans if len(plan)]
    # A part's `start`, applied to x before its first row, moves into the last row before it.
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
        timesteps=_timesteps(plans),
        **changed,
    )


def _timesteps(plans: Sequence[Plan]) -> Any:
    columns = [plan.timesteps for plan in plans]
    if not any(map(requires_gradient, columns)):
        return np.concatenate(columns)
    like = plans[0].a
    columns = [array_like(like, c) if isinstance(c, np.ndarray) else c for c in columns]
    return namespace(like).concat(columns)


def _noised(plan: Plan, schedule: Schedule, low: int, high: int) -> Plan:
    """Return the plan whose last row also adds noise, up from point `low` to point `high`."""
    below, above = schedule[low], schedule[high]
    # sigma_high² - (ratio sigma_low)² = sigma_high² (1 - SNR_high/SNR_low).
    fresh, _ = step_change(above, below)
    return _continued(plan, above.alpha / below.alpha, above.sigma * fresh**0.5)


def _continued(plan: Plan, scale: Any, noise: Any) -> Plan:
    """Return the plan whose last row also multiplies x by `scale` and adds `noise` times z.

    Raises:
        ValueError: The plan has a learned variance, to which no other noise can be added.
    """
    if isinstance(noise, float) and (scale, noise) == (1.0, 0.0):
        return plan
    if plan.log_variance is not None:
        raise ValueError("a learned variance cannot be combined with the noise of a restart")
    xp = namespace(plan.a)

    def last(values: Any, value: Any) -> Any:
        return xp.concat([values[:-1, ...], xp.reshape(value, values[-1:, ...].shape)])

    return replace(
        plan,
        a=last(plan.a, scale * plan.a[-1]),
        b=last(plan.b, scale * plan.b[-1, :]),
        c=last(plan.c, ((scale * plan.c[-1]) ** 2 + noise**2) ** 0.5),
    )
