"""The plan of a sampler for a schedule: made, or cached, or a constant where a call is traced."""

import sys
from dataclasses import fields
from typing import Any

from schedalg.arrays import (
    Array,
    compiling,
)
from schedalg.cache import Cache
from schedalg.checks import require_whole, shown
from schedalg.libraries import constant
from schedalg.plan.plan import Plan, check_plan
from schedalg.running.cache import key_of
from schedalg.schedule import Schedule, check_schedule


def plan_of(schedule: Schedule, sampler: Any) -> Plan | None:
    """Return the sampler's plan for a schedule; None if it has none.

    Plans of samplers that are values are cached: a second call with an equal schedule and sampler
    makes nothing anew.

    Raises:
        TypeError: `schedule` is not a Schedule, or `sampler` is not a sampler.
        ValueError: The plan is for another schedule.
    """
    if type(schedule) is not Schedule:
        check_schedule(schedule)
    if isinstance(sampler, Plan):
        return check_plan(sampler, schedule)
    if isinstance(sampler, type):
        raise TypeError(f"sampler must be an object, such as {sampler.__name__}(), not a class")
    if not callable(getattr(sampler, "plan", None)):
        _check_steps(sampler)
        return None
    key = key_of((sampler, schedule))
    return _PLANS.get(key, lambda: _planned(sampler, schedule))


def _planned(sampler: Any, schedule: Schedule) -> Plan:
    """Return what a sampler makes; that of a sampler of this library is made of the schedule."""
    plan = sampler.plan(schedule)
    mere = type(plan) is Plan and plan.schedule is schedule
    return plan if mere else check_plan(plan, schedule)


def plan_for(schedule: Schedule, sampler: Any, x: Array) -> Plan | None:
    """Return the sampler's plan, as a constant where a call is traced.

    A sampler may be made in the traced function if it is a value: its fields are passed one by one.
    """
    if not compiling(x):
        return plan_of(schedule, sampler)
    kind = type(sampler)
    names = None if kind is Plan else _value_fields(kind)
    if names is not None:
        values = [getattr(sampler, name) for name in names]
        if not any(isinstance(value, tuple) and _holds_schedule(value) for value in values):
            return _constant_plan_of(schedule, kind, names, *values)
        return _constant_plan(schedule, sampler)  # torch passes no schedule within a tuple
    return _constant_plan(
        schedule, sampler, *[getattr(sampler, name) for name in _plain_attributes(sampler)]
    )


def _holds_schedule(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Schedule) for value in values)


@constant
def _value_fields(kind: type[Any]) -> tuple[str, ...] | None:
    """Return the fields that the constructor of a frozen dataclass takes; None if it is not one."""
    if "__dataclass_params__" not in vars(kind) or not kind.__dataclass_params__.frozen:
        return None
    return tuple(field.name for field in fields(kind) if field.init)


@constant
def _plain_attributes(sampler: Any) -> tuple[str, ...]:
    """Return those attributes of a sampler that are values, where it is not a value itself."""
    require_whole("sampler", sampler)
    attributes = getattr(sampler, "__dict__", {})
    return tuple(name for name, value in attributes.items() if key_of(value) is not None)


@constant
def _constant_plan(schedule: Schedule, sampler: Any, *attributes: Any) -> Plan | None:
    # The attributes are passed so that torch compares them: the sampler is the same object when
    # they have changed.
    require_whole("schedule", schedule)
    return plan_of(schedule, sampler)


@constant
def _constant_plan_of(
    schedule: Schedule, kind: type[Any], names: tuple[str, ...], *values: Any
) -> Plan | None:
    require_whole("schedule", schedule)
    for name, value in zip(names, values, strict=True):
        require_whole(name, value)
    return plan_of(schedule, kind(**dict(zip(names, values, strict=True))))


def _size(plan: Plan) -> int:
    """Return about how many bytes a plan takes, with its schedule."""
    # The columns are held once more in what the plan is equal by.
    return 2000 + sys.getsizeof(plan.schedule) + len(plan) * 2 * (100 + 8 * int(plan.b.shape[1]))


_PLANS: Cache[Plan] = Cache(2**26, _size)


def _check_steps(sampler: object) -> None:
    for method in ("init", "step"):
        if not callable(getattr(sampler, method, None)):
            raise TypeError(
                "sampler must be a sampler, such as DDIM(): an object with a method plan, or with "
                f"the methods init and step; got {shown(sampler)}, which has no {method}"
            )


@constant
def constant_plan(plan: Plan) -> Plan:
    """Return the plan, which is a constant where a call is traced: given another, it is another."""
    return plan
