"""Samplers as their name and options, and back."""

import json
import math
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import pytest

import schedalg
from schedalg import DDIM, Euler, Heun, Plan, Schedule, sampler_from_dict, sampler_to_dict
from schedalg.samplers.serialization import SAMPLERS as NAMED
from tests.bad_input import check_named
from tests.registry.samplers import SAMPLERS


@dataclass(frozen=True)
class Mine:
    """A sampler of one's own: a value."""

    inner: Any = field(default_factory=DDIM)
    schedule: Schedule | None = None
    numbers: tuple[Any, ...] = (1, 1.0, True, None, "a", math.inf, (-math.inf, -0.0))

    def plan(self, schedule: Schedule) -> Plan:
        plan: Plan = self.inner.plan(schedule)
        return plan


def through_json(sampler: Any, samplers: tuple[Any, ...] = ()) -> Any:
    text = json.dumps(sampler_to_dict(sampler), allow_nan=False)
    return sampler_from_dict(json.loads(text), samplers)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_read_as_it_was_written(name: str) -> None:
    sampler = SAMPLERS[name].sampler
    assert through_json(sampler) == sampler


def test_every_public_sampler_is_named() -> None:
    public = {
        name
        for name in schedalg.samplers.__all__
        if is_dataclass(kind := getattr(schedalg.samplers, name)) and hasattr(kind, "plan")
    }
    assert set(NAMED) == public


def test_a_value_of_ones_own_is_read_as_it_was_written() -> None:
    sampler = Mine(Mine(Heun(s_churn=1.0)), Schedule.karras(3))
    found = through_json(sampler, (Mine,))
    assert found == sampler
    kinds = [type(number) for number in found.numbers]
    assert kinds == [type(number) for number in sampler.numbers]
    assert math.copysign(1, found.numbers[-1][1]) == -1


def test_an_option_that_did_not_exist_has_its_default() -> None:
    data = sampler_to_dict(DDIM(0.5))
    del data["options"]["variance"]
    assert sampler_from_dict(data) == DDIM(0.5)


class Derived(DDIM):
    """Derived from a value, and none."""


def named(name: str, **options: Any) -> dict[str, Any]:
    return {"type": "schedalg.Sampler", "version": 1, "name": name, "options": options}


LATER = {**named("DDIM"), "version": 2}
SAME: type[Any] = dataclass(frozen=True)(type("DDIM", (), {"__module__": "mine"}))
EXTRA = DDIM()
object.__setattr__(EXTRA, "count", 3)

CASES = {
    "no sampler": (lambda: sampler_to_dict(3), TypeError, ["sampler", "3"]),
    "a class": (lambda: sampler_to_dict(DDIM), TypeError, ["sampler", "DDIM"]),
    "derived": (lambda: sampler_to_dict(Derived()), TypeError, ["frozen dataclass"]),
    "more than fields": (lambda: sampler_to_dict(EXTRA), TypeError, ["count", "DDIM"]),
    "a name that is taken": (lambda: sampler_to_dict(SAME()), ValueError, ["mine.DDIM"]),
    "a function": (lambda: sampler_to_dict(Mine(len)), TypeError, ["inner of Mine"]),
    "a list": (
        lambda: sampler_to_dict(Mine(numbers=(1, [2]))),
        TypeError,
        ["numbers of Mine[1]"],
    ),
    "NaN": (
        lambda: sampler_to_dict(Mine(numbers=(math.nan,))),
        ValueError,
        ["numbers of Mine[0]", "NaN"],
    ),
    "no mapping": (lambda: sampler_from_dict([]), TypeError, ["data", "mapping"]),
    "another type": (lambda: sampler_from_dict({}), ValueError, ["schedalg.Sampler", "None"]),
    "a later version": (lambda: sampler_from_dict(LATER), ValueError, ["version 2", "newer"]),
    "an unknown sampler": (
        lambda: sampler_from_dict(named("DPM++"), (Mine,)),
        ValueError,
        ["'DPM++'", "there are", "DDIM, DDPM", "Mine", "UniPC"],
    ),
    "an unknown option": (
        lambda: sampler_from_dict(named("DDIM", eat=1.0)),
        ValueError,
        ["'eat'", "DDIM", "eta, variance"],
    ),
    "a wrong option": (
        lambda: sampler_from_dict(named("DDIM", eta=2.0)),
        ValueError,
        ["DDIM", "eta", "2.0"],
    ),
    "no infinity": (
        lambda: sampler_from_dict(named("Euler", s_tmax={"float": ["inf"]})),
        ValueError,
        ["s_tmax"],
    ),
    "no options": (
        lambda: sampler_from_dict({**named("DDIM"), "options": 3}),
        TypeError,
        ["options of DDIM", "3"],
    ),
    "no class": (lambda: sampler_from_dict(named("DDIM"), [3]), TypeError, ["samplers[0]"]),
    "no classes": (lambda: sampler_from_dict(named("DDIM"), Mine), TypeError, ["samplers"]),
    "a class of a name that is taken": (
        lambda: sampler_from_dict(named("DDIM"), [SAME]),
        ValueError,
        ["samplers[0]", "DDIM"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case: str) -> None:
    check_named(*CASES[case])


def test_a_subclass_is_not_taken_for_its_base() -> None:
    assert type(through_json(Euler())) is Euler
