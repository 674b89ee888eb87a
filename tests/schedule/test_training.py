"""Training: what is said of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.bad_input import LINEAR, X, check_named

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
    "k negative": (
        lambda: LINEAR.add_noise(X, X, -1),
        ValueError,
        ["k is -1", "0 to 9", "9 is the noisiest", "strength"],
    ),
    "k negative of a target": (
        lambda: LINEAR.target(X, X, np.int64(-1)),
        ValueError,
        ["k is -1", "0 to 9", "9 is the noisiest"],
    ),
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
