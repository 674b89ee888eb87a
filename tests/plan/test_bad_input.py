"""Bad input to plans is named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDPM, Evaluations, Plan
from tests.bad_input import LINEAR, PLAN, X, check_named


def plan_of(**columns: Any) -> Plan:
    return Plan.of(LINEAR, **{"a": np.ones(10), "b": np.ones(10), **columns})


def loaded(**changes: Any) -> Plan:
    return Plan.from_dict({**PLAN.to_dict(), **changes})


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "column short": (lambda: plan_of(a=np.ones(9)), ValueError, ["a", "(10,)", "(9,)"]),
    "b short": (lambda: plan_of(b=np.ones((9, 2))), ValueError, ["b", "(10, m)", "(9, 2)"]),
    "NaN in a plan": (
        lambda: plan_of(c=np.where(np.arange(10) == 3, np.nan, 1)),
        ValueError,
        ["c[3]", "nan", "finite"],
    ),
    "lists in lists": (
        lambda: loaded(b=[[[1.0]]] * 10),
        ValueError,
        ["b[0][0] must be a number", "list"],
    ),
    "lists of two lengths": (
        lambda: loaded(b=[[1.0], [1.0, 2.0]] * 5),
        ValueError,
        ["b must hold", "equal length"],
    ),
    "memory before the first row": (
        lambda: plan_of(b=np.ones((10, 3))),
        ValueError,
        ["b[0]", "only 0 rows"],
    ),
    "memory": (lambda: plan_of(memory="v"), ValueError, ["memory", "'v'"]),
    "steps fall": (lambda: plan_of(step=np.arange(10)[::-1]), ValueError, ["step", "rising"]),
    "clean data": (
        lambda: Plan.of(
            LINEAR,
            a=np.ones(1),
            b=np.ones(1),
            evaluations=Evaluations(np.zeros(1), np.ones(1), np.zeros(1)),
        ),
        ValueError,
        ["sigma[0]", "0.0"],
    ),
    "plan data": (lambda: Plan.from_dict([1]), TypeError, ["data", "list"]),
    "plan type": (lambda: loaded(type="x"), ValueError, ["type", "'x'"]),
    "plan version": (lambda: loaded(version=3), ValueError, ["version 3"]),
    "plan lacks": (
        lambda: Plan.from_dict({k: v for k, v in PLAN.to_dict().items() if k != "a"}),
        ValueError,
        ["lacks", "'a'"],
    ),
    "plan column": (lambda: loaded(a="text"), TypeError, ["a", "'text'"]),
    "plan number": (lambda: loaded(a=[*[1.0] * 9, "x"]), TypeError, ["a[9]", "'x'"]),
    "plan ragged": (lambda: loaded(b=[[1.0], [1.0, 2.0]]), ValueError, ["b", "equal length"]),
    "plan rows": (lambda: loaded(p=[1.0]), ValueError, ["p", "10 rows"]),
    "plan start": (lambda: loaded(start=[1.0]), ValueError, ["start", "(1.0,)"]),
    "reversed": (lambda: DDPM().plan(LINEAR).reversed(), ValueError, ["without noise"]),
    "plan for None": (lambda: Plan.of(None, a=X, b=X), TypeError, ["schedule", "NoneType"]),
    "words in a plan": (lambda: plan_of(a=["1"] * 10), TypeError, ["a", "real numbers"]),
    "complex in a plan": (lambda: plan_of(a=np.ones(10) * 1j), TypeError, ["a", "complex"]),
    "b without columns": (lambda: plan_of(b=np.ones((10, 0))), ValueError, ["b", "(10, m)"]),
    "b with three axes": (lambda: plan_of(b=np.ones((10, 1, 1))), ValueError, ["b", "(10, 1, 1)"]),
    "half steps": (lambda: plan_of(step=np.arange(10) / 2), TypeError, ["step", "float64"]),
    "start": (lambda: plan_of(start=None), TypeError, ["start", "None"]),
    "start NaN": (lambda: plan_of(start=(np.nan, 0.0)), ValueError, ["start[0]", "nan"]),
    "evaluations": (lambda: plan_of(evaluations=(1, 2, 3)), TypeError, ["evaluations", "tuple"]),
    "evaluations NaN": (
        lambda: plan_of(evaluations=Evaluations(np.full(10, np.nan), np.ones(10), np.ones(10))),
        ValueError,
        ["evaluations.timesteps[0]", "nan"],
    ),
    "alpha < 0": (
        lambda: plan_of(evaluations=Evaluations(np.ones(10), -np.ones(10), np.ones(10))),
        ValueError,
        ["alpha[0]", "-1.0"],
    ),
    "plan step NaN": (lambda: loaded(step=["nan"] * 10), TypeError, ["step", "integers"]),
    "plan p NaN": (lambda: loaded(p=["nan"] * 10), ValueError, ["p[0]", "nan"]),
    "plan bytes": (lambda: loaded(a=b"1234567890"), TypeError, ["a", "list"]),
    "plan version True": (lambda: loaded(version=True), ValueError, ["version True"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
