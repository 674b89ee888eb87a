"""What notebooks show is well-formed HTML that holds the values' numbers, and escapes texts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Plan, Recipe, Schedule, backends
from schedalg.plotting.markup import LEFT, WIDTH, code, curve
from schedalg.running import backend
from schedalg.running.backend import BackendStatus, _Statuses
from tests.bad_input import KARRAS, LINEAR, PLAN, ZERO_SNR

BASE = Schedule.linear(1000)
FAST = BASE.subsample(steps=5)
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Odd:
    """A sampler with a text in it."""

    name: str

    def plan(self, schedule: Schedule) -> Plan:
        return DDIM().plan(schedule)


@dataclass(frozen=True)
class Walking:
    """A sampler without a plan."""

    def init(self, x: Any, schedule: Schedule) -> None: ...

    def step(self, x: Any, *rest: Any) -> Any:
        return x, None


SHOWN: dict[str, Callable[[], Any]] = {
    "schedule": lambda: BASE,
    "respaced": lambda: FAST,
    "pure noise": lambda: ZERO_SNR,
    "continuous": lambda: KARRAS,
    "flow": lambda: Schedule.flow(3),
    "one point": lambda: LINEAR[4:5],
    "no points": lambda: LINEAR[:0],
    "plan": lambda: PLAN,
    "long plan": lambda: DDPM().plan(BASE),
    "empty plan": lambda: DDIM().plan(LINEAR[:0]),
    "backends": lambda: _Statuses([BackendStatus("cupy", "1", False, "no <driver>")]),
    "recipe": lambda: Recipe(schedule=FAST, sampler=Odd("<b>&"), shape=(3,), clip=(-1, 1)),
    "recipe of a plan": lambda: Recipe(plan=PLAN, shape=(3,)),
}


def parsed(value: Any) -> ElementTree.Element:
    return ElementTree.fromstring(value._repr_html_())


def texts(value: Any, kind: str) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(value).iter(kind)]


@pytest.mark.parametrize("name", SHOWN)
def test_it_is_well_formed_and_short(name: str) -> None:
    value = SHOWN[name]()
    assert parsed(value).tag in ("div", "code")
    assert len(value._repr_html_()) < 20_000


def test_a_schedule_says_its_figures_and_marks_its_points() -> None:
    text = " ".join(texts(FAST, "code"))
    assert repr(FAST) in text
    assert "199, 399, 599, 799, 999" in text
    assert "1000 points" in text
    assert len(list(parsed(FAST).iter(f"{SVG}circle"))) == 5
    (line,) = parsed(FAST).iter(f"{SVG}polyline")
    points = np.array([pair.split(",") for pair in line.attrib["points"].split()], dtype=float)
    circles = [
        (float(c.attrib["cx"]), float(c.attrib["cy"])) for c in parsed(FAST).iter(f"{SVG}circle")
    ]
    for x, y in circles:
        assert abs(np.interp(x, *points.T) - y) < 1
    (drawn,) = parsed(FAST).iter(f"{SVG}svg")
    assert drawn.attrib["aria-label"].startswith("log SNR by timestep")


def test_pure_noise_is_a_triangle_below_its_timestep() -> None:
    (triangle,) = parsed(ZERO_SNR).iter(f"{SVG}polygon")
    corners = [pair.split(",") for pair in triangle.attrib["points"].split()]
    assert float(corners[2][0]) == WIDTH - 3
    assert float(corners[2][1]) > float(corners[0][1])
    assert len(list(parsed(ZERO_SNR).iter(f"{SVG}circle"))) == len(ZERO_SNR) - 1


def test_a_curve_goes_from_edge_to_edge() -> None:
    line = np.array([[2.0, 3.0, 4.0], [5.0, 7.0, 9.0]])
    (drawn,) = ElementTree.fromstring(curve(line, line[:, :0], "a<b")).iter(f"{SVG}polyline")
    assert drawn.attrib["points"] == f"{LEFT}.0,132.0 204.5,75.0 {WIDTH - 3}.0,18.0"
    assert curve(np.array([[1.0], [np.inf]]), line[:, :0], "nothing") == ""


def test_the_widest_span_is_drawn_from_edge_to_edge() -> None:
    largest = np.finfo(np.float64).max
    line = np.array([[-largest, 0.0, largest], [-1.0, 0.0, 1.0]])
    drawn = curve(line, line, "widest")
    assert f'points="{LEFT}.0,' in drawn
    assert "nan" not in drawn


def test_a_plan_has_the_cells_of_its_printed_table() -> None:
    for plan in (PLAN, DDPM().plan(BASE)):
        head, titles, *rows = str(plan).splitlines()
        assert texts(plan, "code") == [head]
        assert texts(plan, "th") == titles.split()
        cells = [[cell.strip() for cell in row.split()] for row in rows]
        gaps = [row for row in rows if "…" in row]
        expected = [[" ".join(row)] if "…" in row else row for row in cells]
        assert texts(plan, "td") == [cell for row in expected for cell in row]
        assert len(gaps) == (len(plan) > 50)


def test_backends_are_a_table_and_still_a_tuple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "entries", dict)  # so that no library is imported
    found = backends()
    assert found == tuple(found)
    assert texts(found, "td")[:3] == ["array-api", found[0].version, "yes"]
    assert texts(SHOWN["backends"](), "td") == ["cupy", "1", "no", "no <driver>"]


def test_a_recipe_shows_what_it_consists_of() -> None:
    recipe = SHOWN["recipe"]()
    text = texts(recipe, "code")
    assert text[0] == f"Recipe {recipe.fingerprint}"
    assert {"Odd(name='<b>&')", "(3,)", "(-1.0, 1.0)", "5", repr(FAST)} <= set(text)
    assert "prediction" not in texts(recipe, "th")
    stepped = Recipe(schedule=FAST, sampler=Walking(), shape=(3,))
    assert "not a fixed number" in texts(stepped, "code")


def test_a_repr_that_cannot_be_sent_is_shown_by_its_codes() -> None:
    assert code("\ud800 <b>").encode() == rb"<code>\ud800 &lt;b&gt;</code>"


def test_a_schedule_of_another_library_is_shown() -> None:
    strict = pytest.importorskip("array_api_strict")
    schedule = Schedule.from_sigmas(strict.asarray([0.5, 1.0, 2.0]))
    assert repr(schedule) in " ".join(texts(schedule, "code"))
    assert texts(DDIM().plan(schedule), "td")


def test_what_is_traced_is_shown_by_its_name_and_not_drawn() -> None:
    jax = pytest.importorskip("jax")

    def traced(sigmas: Any) -> Any:
        schedule = Schedule.from_sigmas(sigmas)
        for value in (schedule, DDIM().plan(schedule)):
            assert parsed(value).tag == "code"
            with pytest.raises((TypeError, ImportError), match=r"is traced|needs matplotlib"):
                value.plot()
        return sigmas

    jax.eval_shape(traced, jax.numpy.asarray([0.5, 1.0, 2.0]))
