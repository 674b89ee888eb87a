"""Training: what is said of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.bad_input import LINEAR, X, check_named


def test_an_int_counts_from_the_end_as_in_the_schedule() -> None:
    """An array does not: of training's random positions, -1 is one too few."""
    schedule, x0, noise = LINEAR, X, 2 * X
    last = schedule.add_noise(x0, noise, 9)
    np.testing.assert_array_equal(schedule.add_noise(x0, noise, -1), last)
    np.testing.assert_array_equal(schedule.add_noise(x0, noise, np.int64(-1)), last)
    np.testing.assert_array_equal(
        schedule.target(x0, noise, -10, "v"), schedule.target(x0, noise, 0, "v")
    )


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "k out of range": (
        lambda: LINEAR.add_noise(X, X, np.array([0, 10])),
        ValueError,
        ["k[1]", "10", "0 to 9"],
    ),
    "k negative of a sample": (
        lambda: LINEAR.add_noise(X, X, np.array([3, -1])),
        ValueError,
        ["k[1] is -1", "0 to 9"],
    ),
    "k negative": (lambda: LINEAR.add_noise(X, X, -11), ValueError, ["k is -11", "0 to 9"]),
    "k float": (lambda: LINEAR.add_noise(X, X, 1.0), TypeError, ["k", "integers"]),
    "k too many": (lambda: LINEAR.add_noise(X, X, np.arange(3)), ValueError, ["k", "2", "(3,)"]),
    "noise shape": (
        lambda: LINEAR.add_noise(X, X[:1], 0),
        ValueError,
        ["noise", "(2, 3)", "(1, 3)"],
    ),
    "noise dtype": (
        lambda: LINEAR.add_noise(X, X.astype(np.float32), 0),
        ValueError,
        ["noise", "float64", "float32"],
    ),
    "x0 integer": (
        lambda: LINEAR.add_noise(X.astype(int), X.astype(int), 0),
        TypeError,
        ["x0", "int64"],
    ),
    "target unknown": (
        lambda: LINEAR.target(X, X, 0, "noise"),
        ValueError,
        ["prediction", "'noise'", "'epsilon'"],
    ),
    "x0 0-D": (lambda: LINEAR.add_noise(np.array(1.0), np.array(1.0), 0), ValueError, ["x0", "()"]),
    "noise None": (lambda: LINEAR.add_noise(X, None, 0), TypeError, ["noise", "NoneType"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
