"""The points whose steps cost least: against all subsets, and laws."""

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import Schedule, choose
from tests.bad_input import LINEAR, check_named
from tests.libraries import Library, lib
from tests.schedule.test_errors import RISING, gaussian_errors

__all__ = ["lib"]

FOURTEEN = Schedule.linear(14)
BASE = Schedule.linear(1000)


def sum_of(costs: np.ndarray, kept: Any) -> float:
    return float(sum(costs[i, j] for i, j in pairwise(kept)))


@pytest.mark.parametrize("count", [2, 3, 4, 5, 13])
@given(seed=st.integers(0, 2**32))
def test_no_subset_costs_less(count: int, seed: int) -> None:
    costs = np.random.default_rng(seed).normal(size=(14, 14))
    kept = choose(FOURTEEN, count, costs).timesteps
    assert len(kept) == count
    assert (kept[0], kept[-1]) == (0, 13)
    least = min(sum_of(costs, [0, *inner, 13]) for inner in combinations(range(1, 13), count - 2))
    np.testing.assert_allclose(sum_of(costs, kept), least, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variance", [0.05, 1.0])
def test_errors_choose_the_points_that_lose_least(variance: float) -> None:
    errors = gaussian_errors(FOURTEEN, variance)
    for count in (3, 4, 5):
        chosen = FOURTEEN.subsample(steps=count, errors=errors)
        assert chosen == choose(FOURTEEN, count, FOURTEEN.kl_costs(errors))
        every = [
            FOURTEEN[[0, *inner, 13]].excess(errors, than=FOURTEEN)
            for inner in combinations(range(1, 13), count - 2)
        ]
        np.testing.assert_allclose(chosen.excess(errors, than=FOURTEEN), min(every), rtol=1e-12)


def test_more_points_never_lose_more_and_all_lose_nothing() -> None:
    base = Schedule.cosine(40)
    errors = gaussian_errors(base, 0.3)
    lost = [base.subsample(steps=k, errors=errors).excess(errors, than=base) for k in range(2, 41)]
    assert (np.diff(lost) < 0).all()
    assert lost[-1] == 0
    assert base.subsample(steps=40, errors=errors) == base


def test_choices_lose_less_than_any_spacing() -> None:
    errors = gaussian_errors(BASE, 0.25)
    for count in (5, 10, 20):
        least = BASE.subsample(steps=count, errors=errors).excess(errors, than=BASE)
        for spacing in ("trailing", "linspace", "quadratic", "log_snr", "karras"):
            other = BASE.subsample(steps=count, spacing=spacing)
            assert least < 0.5 * other.excess(errors, than=BASE), spacing


def test_choices_of_slices_keep_the_origin_and_the_ends() -> None:
    part = BASE[100:600]
    chosen = part.subsample(steps=5, errors=gaussian_errors(part, 1.0))
    assert chosen.origin == part.origin
    assert chosen.timesteps[[0, -1]].tolist() == [100, 599]


def test_a_function_of_indices_costs_as_its_matrix() -> None:
    snr = FOURTEEN.to_log_snr()
    matrix = (snr[:, None] - snr[None, :]) ** 2
    chosen = choose(FOURTEEN, 6, matrix)
    assert chosen == choose(FOURTEEN, 6, lambda i, j: matrix[i, j])
    assert chosen == choose(FOURTEEN, 6, matrix.tolist())
    assert chosen == choose(FOURTEEN, 6, np.where(np.tri(14, dtype=bool), np.nan, matrix))


def test_costs_of_any_library_are_taken(lib: Library) -> None:
    costs = np.random.default_rng(0).normal(size=(14, 14))
    assert choose(FOURTEEN, 5, lib.array(costs, lib.widest)) == choose(FOURTEEN, 5, costs)


def costs_with(value: float) -> np.ndarray:
    costs = np.zeros((10, 10))
    costs[2, 7] = value
    return costs


def in_words(i: int, j: int) -> Any:
    return "1"


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "sums that overflow": (
        lambda: choose(LINEAR, 4, np.full((10, 10), 1e308)),
        ValueError,
        ["cost[1, 2] is 1e+308", "sum", "float64"],
    ),
    "sums that overflow downwards": (
        lambda: choose(LINEAR, 4, np.full((10, 10), -1e308)),
        ValueError,
        ["cost[1, 2] is -1e+308", "sum", "float64"],
    ),
    "K of 1": (lambda: choose(LINEAR, 1, np.zeros((10, 10))), ValueError, ["steps", "2", "got 1"]),
    "K above N": (
        lambda: LINEAR.subsample(steps=11, errors=RISING),
        ValueError,
        ["steps", "10", "got 11"],
    ),
    "K of 1 by errors": (
        lambda: LINEAR.subsample(steps=1, errors=RISING),
        ValueError,
        ["steps", "from 2", "got 1"],
    ),
    "K of 2.5": (lambda: choose(LINEAR, 2.5, np.zeros((10, 10))), TypeError, ["steps", "2.5"]),
    "cost of another shape": (
        lambda: choose(LINEAR, 3, np.zeros((10, 9))),
        ValueError,
        ["cost", "(10, 10)", "(10, 9)"],
    ),
    "cost NaN": (
        lambda: choose(LINEAR, 3, costs_with(np.nan)),
        ValueError,
        ["cost[2, 7]", "nan", "i < j"],
    ),
    "cost infinite": (lambda: choose(LINEAR, 3, costs_with(np.inf)), ValueError, ["cost[2, 7]"]),
    "cost of words": (
        lambda: choose(LINEAR, 3, np.full((10, 10), "a")),
        TypeError,
        ["cost", "real numbers"],
    ),
    "cost of a class": (lambda: choose(LINEAR, 3, int), TypeError, ["cost", "class int"]),
    "cost None": (lambda: choose(LINEAR, 3, None), TypeError, ["cost", "NoneType"]),
    "cost of a function": (
        lambda: choose(LINEAR, 3, lambda i, j: np.inf if (i, j) == (1, 4) else 1.0),
        ValueError,
        ["cost(1, 4)", "inf"],
    ),
    "words of a function": (lambda: choose(LINEAR, 3, in_words), TypeError, ["cost(0, 1)", "'1'"]),
    "no schedule": (lambda: choose([1, 2], 2, np.zeros((2, 2))), TypeError, ["schedule", "list"]),
    "errors and a spacing": (
        lambda: LINEAR.subsample(steps=3, errors=RISING, spacing="karras"),
        ValueError,
        ["errors", "no spacing"],
    ),
    "errors without steps": (
        lambda: LINEAR.subsample(every=3, errors=RISING),
        ValueError,
        ["errors", "steps=", "every="],
    ),
    "errors short": (
        lambda: LINEAR.subsample(steps=3, errors=RISING[1:]),
        ValueError,
        ["errors", "10 points", "got 9"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
