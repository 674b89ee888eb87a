"""Axes are the user's or new ones, and series on them are told apart without colours."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from schedalg import plot_samples, plot_schedules, plot_trajectories
from schedalg.plotting.marks import COLORS, legend_text, series_style
from tests.bad_input import LINEAR, PLAN, check_named
from tests.test_package import run

pytest.importorskip("matplotlib")

from matplotlib import rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

IMAGES = np.zeros((3, 4, 4))
STATES = np.random.default_rng(0).standard_normal((4, 5, 2))

#: Every function, on axes that are given or on new ones.
DRAWN: dict[str, Callable[..., Any]] = {
    "schedule": LINEAR.plot,
    "schedules": lambda ax=None: plot_schedules([LINEAR, LINEAR[:3]], ax),
    "plan": PLAN.plot,
    "samples": lambda ax=None: plot_samples(IMAGES, ax),
    "trajectories": lambda ax=None: plot_trajectories(STATES, ax),
}


@pytest.mark.parametrize("name", DRAWN)
def test_axes_are_returned_and_nothing_global_changes(name: str) -> None:
    before, axes = dict(rcParams), Figure().subplots()
    assert DRAWN[name](axes) is axes
    assert axes.has_data()
    assert isinstance(DRAWN[name]().figure, Figure)
    assert dict(rcParams) == before


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_no_axes_is_named(name: str) -> None:
    for wrong in (Figure(), Figure().subplots(2), "ax", 1):
        check_named(partial(DRAWN[name], wrong), TypeError, ["ax must be axes"])


@pytest.mark.parametrize("name", DRAWN)
def test_axes_on_which_nothing_would_be_seen_are_named(name: str) -> None:
    removed = Figure().subplots()
    removed.remove()
    check_named(partial(DRAWN[name], removed), ValueError, ["ax", "removed"])
    for projection in ("polar", "3d"):
        axes = Figure().add_subplot(projection=projection)
        check_named(partial(DRAWN[name], axes), ValueError, ["ax", projection, "rectilinear"])


def test_half_a_character_is_named() -> None:
    for text in ("\ud800", "ab\udfff"):
        check_named(partial(legend_text, "label", text), ValueError, ["label", "surrogate"])
    assert legend_text("label", "\U0001f600 漢") == "\U0001f600 漢"


def test_pyplot_is_not_loaded_and_notebooks_show_what_is_returned() -> None:
    code = """
import sys
from schedalg import Schedule
for axes in (Schedule.linear(9).plot(), Schedule.linear(9).plot(quantity="betas")):
    print(axes._repr_png_()[1:4].decode(), "matplotlib.pyplot" in sys.modules)
"""
    assert run(code).split() == ["PNG", "False"] * 2


def luminance(color: Any) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("color", COLORS)
def test_colors_stand_out_from_white_and_from_dark_pages(color: str) -> None:
    for page in ("#ffffff", "#131416"):
        low, high = sorted(map(luminance, (color, page)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_no_two_series_look_alike() -> None:
    looks = [series_style(k) for k in range(140)]
    assert len({(look["color"], look["linestyle"], look["marker"]) for look in looks}) == 140
    for name in ("color", "linestyle", "marker"):
        assert all(a[name] != b[name] for a, b in pairwise(looks))
