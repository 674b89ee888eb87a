"""What is drawn of plans are their numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, DPMSolverPP, Schedule
from tests.bad_input import PLAN, check_named

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

PATH = Schedule.linear(1000).subsample(steps=6)[1:]  # whose end is noisy


def series(axes: Any) -> dict[str, np.ndarray]:
    """Return what is drawn under each name of the legend."""
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        line.get_label() for line in named
    ]
    return {line.get_label(): np.asarray(line.get_xydata()) for line in named}


def rows(values: np.ndarray, first: int = 0) -> np.ndarray:
    return np.stack([np.arange(first, first + len(values)), values], axis=1)


def test_coefficients_are_those_of_the_table() -> None:
    plan = DPMSolverPP().plan(PATH)
    drawn = series(plan.plot(quantity="coefficients"))
    assert list(drawn) == ["a", "b0", "b1"]
    for name, column in {"a": plan.a, "b0": plan.b[:, 0], "b1": plan.b[:, 1]}.items():
        np.testing.assert_array_equal(drawn[name], rows(column))
    assert list(series(DDPM().plan(PATH).plot(quantity="coefficients"))) == ["a", "b0", "c"]


def test_weights_are_those_of_the_result() -> None:
    plan = DDPM().plan(PATH)
    x, predictions, noise = plan.weights()
    drawn = series(plan.plot(quantity="weights"))
    assert list(drawn) == ["x0 predictions", "noise", f"x at the start: {x:.3g}"]
    np.testing.assert_array_equal(drawn["x0 predictions"], rows(predictions))
    np.testing.assert_array_equal(drawn["noise"], rows(noise[1:]))
    assert drawn[f"x at the start: {x:.3g}"].tolist() == [[-1, x]]


def test_both_are_drawn_where_the_weights_are_determined() -> None:
    panels = PLAN.plot()
    assert [axes.get_ylabel() for axes in panels] == ["coefficient", "weight in the result"]
    learned = DDPM(variance="learned_range").plan(PATH)
    assert learned.plot().get_ylabel() == "coefficient"
    assert PLAN.plot(Figure().subplots()).get_ylabel() == "coefficient"


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "quantity": (lambda: PLAN.plot(quantity="a"), ValueError, ["quantity", "weights", "'a'"]),
    "no rows": (
        lambda: DDIM().plan(PATH[:0]).plot(),
        ValueError,
        ["plan", "no rows"],
    ),
    "learned": (
        lambda: DDPM(variance="learned_range").plan(PATH).plot(quantity="weights"),
        ValueError,
        ["learned"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case: str) -> None:
    check_named(*CASES[case])
