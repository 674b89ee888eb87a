"""Trajectories go through the states that were given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import plot_trajectories
from tests.bad_input import check_named
from tests.libraries import Library, lib

pytest.importorskip("matplotlib")

__all__ = ["lib"]

STATES = np.random.default_rng(0).standard_normal((4, 5, 2))


def test_each_sample_is_a_line_from_its_first_state_to_its_last() -> None:
    axes = plot_trajectories(STATES)
    (paths,) = axes.collections
    for k, path in enumerate(paths.get_segments()):
        np.testing.assert_array_equal(path, STATES[:, k])
    between, first, last = axes.lines
    np.testing.assert_array_equal(first.get_xydata(), STATES[0])
    np.testing.assert_array_equal(between.get_xydata(), STATES[1:-1].reshape(-1, 2))
    np.testing.assert_array_equal(last.get_xydata(), STATES[-1])
    axes.figure.draw_without_rendering()  # which makes both directions equally long
    for states, span in zip(
        STATES.reshape(-1, 2).T, (axes.get_xlim(), axes.get_ylim()), strict=True
    ):
        assert span[0] <= states.min() < states.max() <= span[1]
    assert axes.get_aspect() == 1


def test_panels_share_axes() -> None:
    from matplotlib.figure import Figure

    panels = Figure().subplots(1, 2, sharex=True, sharey=True)
    panels[0].set_xlim(-9, 9)
    for axes in panels:
        plot_trajectories(STATES, ax=axes)
    panels[0].figure.draw_without_rendering()
    assert [axes.get_xlim() for axes in panels] == [(-9, 9)] * 2


def test_one_state_is_drawn() -> None:
    assert plot_trajectories(STATES[:1]).has_data()


def test_states_of_any_library_are_drawn(lib: Library) -> None:
    expected = STATES.astype(lib.widest)
    for states in (lib.array(STATES), [lib.array(state) for state in STATES]):
        segments = plot_trajectories(states).collections[0].get_segments()
        np.testing.assert_array_equal(np.swapaxes(segments, 0, 1), expected)


@pytest.mark.parametrize("size", [1e300, 1e-320])
def test_whatever_is_allowed_can_be_seen(size: float) -> None:
    axes = plot_trajectories(size * np.sign(STATES - STATES.mean()))
    assert axes._repr_png_()[1:4] == b"PNG"


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "iterator": (lambda: plot_trajectories(iter(STATES)), TypeError, ["states", "pass list(...)"]),
    "one array": (lambda: plot_trajectories(STATES[0]), ValueError, ["states", "(5, 2)"]),
    "space": (
        lambda: plot_trajectories([STATES[0], np.ones((5, 3))]),
        ValueError,
        ["states[1]", "(5, 3)"],
    ),
    "samples": (
        lambda: plot_trajectories([STATES[0], STATES[1, :4]]),
        ValueError,
        ["states[1]", "(4, 2)", "(5, 2)"],
    ),
    "no states": (lambda: plot_trajectories([]), ValueError, ["states", "empty"]),
    "no samples": (lambda: plot_trajectories(STATES[:, :0]), ValueError, ["states[0]", "(0, 2)"]),
    "no array": (lambda: plot_trajectories(["x"]), TypeError, ["states[0]", "'x'"]),
    "not finite": (
        lambda: plot_trajectories([STATES[0], np.inf * STATES[0]]),
        ValueError,
        ["states[1]", "finite"],
    ),
    "far away": (
        lambda: plot_trajectories([STATES[0], np.full((5, 2), -1.5e300)]),
        ValueError,
        ["states[1]", "1.5e+300", "1e+300"],
    ),
    "beyond float64": (
        lambda: plot_trajectories(STATES.astype(np.longdouble) * np.longdouble("1e4000")),
        ValueError,
        ["states[0]", "1e+300"] if np.finfo(np.longdouble).max > 1e308 else ["finite"],
    ),
    "complex": (lambda: plot_trajectories(1j * STATES), TypeError, ["states[0]", "complex128"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case: str) -> None:
    check_named(*CASES[case])
