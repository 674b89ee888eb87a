"""What is drawn of schedules is what they say of themselves."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from schedalg import Schedule, plot_schedules
from schedalg.schedule.plotting import Quantity
from tests.bad_input import KARRAS, LINEAR, ZERO_SNR, check_named

pytest.importorskip("matplotlib")

from matplotlib import style
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

QUANTITIES = get_args(Quantity)
BASE = Schedule.linear(1000)
FAST = BASE.subsample(steps=20)


def series(axes: Any) -> dict[str, np.ndarray]:
    """Return what is drawn under each name of the legend."""
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): np.asarray(line.get_xydata()) for line in named}


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def points(schedule: Schedule, quantity: str) -> np.ndarray:
    return np.stack([schedule.timesteps, getattr(schedule, f"to_{quantity}")()], axis=1)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_points_lie_on_the_line_of_what_they_were_chosen_from(quantity: Any) -> None:
    axes = FAST.plot(quantity=quantity)
    drawn = series(axes)
    assert list(drawn) == legend(axes) == ["20 points", "1000 points"]
    np.testing.assert_array_equal(drawn["20 points"], points(FAST, quantity))
    np.testing.assert_array_equal(drawn["1000 points"], points(BASE, quantity))
    assert [line.get_linestyle() for line in axes.lines] == ["None", "-"]
    assert (axes.get_yscale() == "log") == (quantity == "sigmas")


def test_a_base_that_is_given_is_drawn() -> None:
    part = FAST[:3]  # whose own curve ends at its last point
    assert list(series(part.plot(quantity="betas"))) == ["3 points", "150 points"]
    assert list(series(part.plot(quantity="betas", base=BASE))) == ["3 points", "1000 points"]
    assert list(series(part.plot(quantity="betas", base=BASE, against="step"))) == ["3 points"]


def test_all_quantities_that_a_schedule_has_are_drawn_side_by_side() -> None:
    panels = LINEAR.plot()
    assert [list(series(axes)["10 points"][:, 1]) for axes in panels] == [
        list(points(LINEAR, quantity)[:, 1]) for quantity in QUANTITIES
    ]
    assert len(KARRAS.plot()) == len(plot_schedules([LINEAR, KARRAS])) == 2
    assert LINEAR.plot(Figure().subplots()).get_ylabel() == "log SNR"


def test_steps_are_counted_from_the_noisiest() -> None:
    drawn = series(KARRAS.plot(quantity="sigmas", against="step"))["10 points"]
    np.testing.assert_array_equal(drawn, np.stack([range(10), KARRAS.to_sigmas()[::-1]], 1)[::-1])


@pytest.mark.parametrize(("quantity", "edge"), [("log_snr", 0), ("sigmas", 1)])
def test_an_infinite_value_is_a_triangle_at_the_edge(quantity: Any, edge: int) -> None:
    axes = ZERO_SNR.plot(quantity=quantity)
    line, triangle = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), points(ZERO_SNR, quantity)[:-1])
    assert triangle.get_transform() == axes.get_xaxis_transform()
    assert triangle.get_xydata().tolist() == [[9, edge]]
    axes.figure.draw_without_rendering()
    assert axes.get_ylim()[0] < min(points(ZERO_SNR, quantity)[:-1, 1])


def test_schedules_are_told_apart_by_name() -> None:
    named = {"a $ sign": LINEAR, "linear(1000)": BASE}
    panels = plot_schedules(named)
    assert legend(panels[0]) == [r"a \$ sign", "linear(1000)"]
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for found, each in zip(series(axes).values(), named.values(), strict=True):
            np.testing.assert_array_equal(found, points(each, quantity))
    assert [line.get_marker() for line in panels[0].lines] == ["o", ""]
    listed = plot_schedules([LINEAR, BASE], quantity="betas")
    assert legend(listed) == ["schedules[0]", "schedules[1]"]


def test_schedules_drawn_one_by_one_differ() -> None:
    axes = LINEAR.plot(quantity="betas", label="first")
    assert BASE.plot(axes, quantity="betas", label="second") is axes
    assert legend(axes) == ["first", "second"]
    assert len({line.get_color() for line in axes.lines}) == 2


def test_the_line_of_a_base_has_the_colour_of_the_text() -> None:
    with style.context("dark_background"):
        assert to_rgb(FAST.plot(quantity="betas").lines[1].get_color()) == (1, 1, 1)
    assert to_rgb(FAST.plot(quantity="betas").lines[1].get_color()) == (0, 0, 0)


ONE_IS_NONE: Any = {"a": LINEAR, "b": 3}
NUMBERED: Any = {3: LINEAR}

#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "quantity": (lambda: LINEAR.plot(quantity="beta"), ValueError, ["quantity", "betas", "'beta'"]),
    "against": (lambda: LINEAR.plot(against="time"), ValueError, ["against", "timestep", "'time'"]),
    "beta of sigmas": (
        lambda: KARRAS.plot(quantity="betas"),
        ValueError,
        ["quantity", "'betas'", "'ve'", "as_vp()"],
    ),
    "base": (lambda: LINEAR.plot(base=10), TypeError, ["base", "Schedule", "int"]),
    "base of another kind": (
        lambda: LINEAR.plot(quantity="alphas_cumprod", base=KARRAS),
        ValueError,
        ["quantity", "'alphas_cumprod'", "'ve'"],
    ),
    "label": (lambda: LINEAR.plot(label=1), TypeError, ["label", "string", "1"]),
    "hidden label": (lambda: LINEAR.plot(label="_a"), ValueError, ["label", "'_a'", "legends"]),
    "empty": (lambda: LINEAR[:0].plot(), ValueError, ["schedule", "no points"]),
    "no schedules": (lambda: plot_schedules({}), ValueError, ["schedules", "empty"]),
    "one schedule": (lambda: plot_schedules(LINEAR), TypeError, ["schedules", "Schedule"]),
    "one is none": (
        lambda: plot_schedules(ONE_IS_NONE),
        TypeError,
        ["schedules['b']", "Schedule", "int"],
    ),
    "one of a list is empty": (
        lambda: plot_schedules([LINEAR, LINEAR[:0]]),
        ValueError,
        ["schedules[1]", "no points"],
    ),
    "name": (lambda: plot_schedules(NUMBERED), TypeError, ["name of schedules", "3"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case: str) -> None:
    check_named(*CASES[case])
