"""Schedule matrices: what offsets make of a plan, and what is said of bad ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import DDIM, Heun, Schedule, frames
from tests.bad_input import check_named

PLAN = DDIM().plan(Schedule.linear(1000).subsample(steps=4))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=5))
def test_each_column_waits_walks_and_stays(walks: list[tuple[int, int]]) -> None:
    offsets, first = zip(*walks, strict=True)
    matrix = frames(PLAN, offsets, first=first)
    sweeps = max([offset + 4 - row for offset, row in walks if row < 4], default=1)
    assert matrix.shape == (sweeps, len(walks))
    assert matrix.dtype == np.int64
    for column, (offset, row) in zip(matrix.T.tolist(), walks, strict=True):
        walk = [-1] * offset * (row < 4) + list(range(row, 4))
        assert column == walk + [4] * (sweeps - len(walk))


def test_rows_are_calls_of_the_network() -> None:
    plan = Heun().plan(Schedule.linear(1000).subsample(steps=3))
    assert frames(plan, [0, 2]).tolist() == [
        [0, -1],
        [1, -1],
        [2, 0],
        [3, 1],
        [4, 2],
        [5, 3],
        [5, 4],
    ]


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "no plan": (lambda: frames(PLAN.schedule, [0]), TypeError, ["plan", "Schedule"]),
    "negative": (lambda: frames(PLAN, [0, 2, -1]), ValueError, ["offsets[2] is -1", "0 or more"]),
    "floats": (lambda: frames(PLAN, [1, 0.5]), TypeError, ["offsets[1]", "integer", "0.5"]),
    "NaN": (lambda: frames(PLAN, [np.nan]), TypeError, ["offsets[0]", "integer", "nan"]),
    "an array of floats": (
        lambda: frames(PLAN, np.array([0.5, 1.0])),
        TypeError,
        ["offsets[0] is 0.5", "integer"],
    ),
    "beyond int64": (
        lambda: frames(PLAN, [0, 2**63]),
        ValueError,
        ["offsets[1] is 9223372036854775808", "64 bits"],
    ),
    "far beyond int64": (
        lambda: frames(PLAN, [0, 1], first=[2**70, 0]),
        ValueError,
        ["first[0] is 1180591620717411303424", "64 bits"],
    ),
    "flags": (lambda: frames(PLAN, np.array([True])), TypeError, ["offsets", "bool"]),
    "one": (lambda: frames(PLAN, 3), ValueError, ["offsets", "each frame", "()"]),
    "none": (lambda: frames(PLAN, []), ValueError, ["offsets", "each frame", "(0,)"]),
    "a matrix": (lambda: frames(PLAN, [[0, 1]]), ValueError, ["offsets", "(1, 2)"]),
    "too late": (lambda: frames(PLAN, [10**12, 0]), ValueError, ["offsets", "1000000000000"]),
    "row below": (
        lambda: frames(PLAN, [0, 1], first=[0, -1]),
        ValueError,
        ["first[1] is -1", "0 to 3", "4 is a finished frame"],
    ),
    "row beyond": (lambda: frames(PLAN, [0, 1], first=5), ValueError, ["first is 5", "0 to 3"]),
    "row float": (lambda: frames(PLAN, [0, 1], first=1.0), TypeError, ["first", "1.0"]),
    "rows too many": (
        lambda: frames(PLAN, [0, 1], first=[0, 0, 0]),
        ValueError,
        ["first", "2", "(3,)"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
