"""The parts of the command line that need no package: the curve, tables, comparisons and lists."""

import csv as stdlib
import math
from collections.abc import Iterator

import numpy as np
import pytest

from schedalg import DDPM, Heun, Schedule
from schedalg.command_line.comparing import differences
from schedalg.command_line.curve import ROWS, drawn
from schedalg.command_line.listing import sigma_list
from schedalg.command_line.tables import csv, fitted, quantities
from schedalg.plan.text import aligned, columns
from schedalg.testing.cases import FAMILIES


def marked(text: str) -> Iterator[tuple[int, int]]:
    """Yield the column and the height, in half rows, of each mark of a curve."""
    for row, line in enumerate(text.splitlines()[1 : ROWS + 1]):
        for column, mark in enumerate(line.partition("|")[2]):
            for height in {".": (0,), "'": (1,), ":": (0, 1)}.get(mark, ()):
                yield column, 2 * (ROWS - 1 - row) + height


@pytest.mark.parametrize(("n", "width"), [(24, 80), (7, 41), (500, 60), (1, 30)])
def test_a_curve_has_a_mark_for_each_value_and_fits(n: int, width: int) -> None:
    values = np.linspace(3.0, -2.0, n)
    text = drawn(values, "y", width)
    lines = text.splitlines()
    assert text.isascii()
    assert max(map(len, lines)) <= width
    assert len(lines) == ROWS + 3
    found = dict(marked(text))
    columns = len(lines[-2].partition("+")[2])
    expected = np.rint(np.linspace(0, columns - 1, n))
    assert sorted(found) == sorted(set(expected.tolist()))
    heights = [found[column] for column in sorted(found)]
    assert heights == sorted(heights, reverse=True)
    assert lines[1].split("|")[0].strip() == "3"
    if n > 1:
        assert (heights[0], heights[-1]) == (2 * ROWS - 1, 0)
        assert lines[ROWS].split("|")[0].strip() == "-2"
        assert lines[-1].split() == ["0", str(n - 1)]


def test_infinite_values_are_drawn_beyond_the_ends() -> None:
    lines = drawn(np.array([math.inf, 1.0, 0.0, -math.inf]), "y", 40).splitlines()
    assert lines[1].partition("|")[2].startswith("^")
    assert lines[ROWS].endswith("v")
    assert lines[1].split("|")[0].strip() == "1"


def test_a_narrow_table_has_fewer_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    table = quantities(Schedule.linear(1000)[::100])
    full, least = (len(aligned(table, digits)[0]) for digits in (6, 3))
    shown = []
    for width in range(full + 1, least - 1, -1):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = fitted(table).splitlines()
        assert len({len(line) for line in lines}) == 1
        assert len(lines[0]) <= width
        shown.append(next(d for d in (6, 5, 4, 3) if lines == aligned(table, d)))
    assert shown[:3] == [6, 6, 5]
    assert shown == sorted(shown, reverse=True)
    monkeypatch.setenv("COLUMNS", "200")
    assert len(fitted(quantities(Schedule.linear(1000))).splitlines()) == 1 + 10 + 1 + 10


@pytest.mark.parametrize("width", [1, 10, 22, 30])
def test_a_table_is_cut_where_the_terminal_is_too_narrow(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"point": np.arange(4), **quantities(Schedule.linear(1000)[::250])}
    monkeypatch.setenv("COLUMNS", str(width))
    parts = fitted(table).split("\n\n")
    titles = [part.splitlines()[0].split() for part in parts]
    assert len(parts) > 1
    assert {title[0] for title in titles} == {"point"}
    assert [name for title in titles for name in title[1:]] == list(table)[1:]
    assert all(len(part.splitlines()) == 5 for part in parts)
    for part, title in zip(parts, titles, strict=True):
        assert len(title) == 2 or max(map(len, part.splitlines())) <= width


def test_a_table_for_no_terminal_has_all_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda *args: (_ for _ in ()).throw(OSError))
    table = {name: np.array([1 / 3]) for name in map(str, range(30))}
    assert len(fitted(table).splitlines()) == 2
    assert fitted(table).count("0.333333") == 30


@pytest.mark.parametrize("family", FAMILIES)
def test_csv_holds_every_number_to_its_last_bit(family: str) -> None:
    s = FAMILIES[family](9)
    table = quantities(s) | columns(DDPM("learned").plan(s)) if s.kind == "vp" else quantities(s)
    rows = list(stdlib.DictReader(csv(table).splitlines()))
    assert list(rows[0]) == list(table)
    for name, values in table.items():
        assert [float(row[name]) for row in rows] == values.tolist()


def test_csv_of_a_plan_has_the_columns_of_its_table() -> None:
    plan = Heun().plan(Schedule.flow(3))
    head = csv(columns(plan, "flow")).splitlines()[0]
    assert head.split(",") == plan.table("flow").splitlines()[1].split()


def test_differences_are_the_largest_and_say_where() -> None:
    a = Schedule.from_betas([0.1, 0.2, 0.3])
    b = Schedule.from_betas([0.1, 0.25, 0.3])
    found = {each.quantity: each for each in differences(a, b)}
    beta = found["beta"]
    assert (beta.point, beta.a, beta.b) == (1, a.to_betas()[1], b.to_betas()[1])
    assert beta.largest == pytest.approx(0.2, rel=1e-13)
    assert found["timestep"].largest == 0
    ratio = found["sigma/alpha"]
    assert ratio.point == 1
    assert found["log_snr"].largest == pytest.approx(2 * math.log(ratio.b / ratio.a), rel=1e-13)
    assert [each.largest for each in differences(a, a)] == [0] * 6


def test_infinite_quantities_are_equal_or_infinitely_different() -> None:
    zero = Schedule.linear(10).rescale_zero_terminal_snr()
    assert {each.largest for each in differences(zero, zero)} == {0}
    found = {each.quantity: each for each in differences(Schedule.linear(10), zero)}
    for name in ("sigma/alpha", "log_snr"):
        assert (found[name].largest, found[name].point) == (math.inf, 9)


def test_unequal_counts_are_compared_at_equal_timesteps() -> None:
    base = Schedule.linear(100)
    found = differences(base.shift(2.0), base[10::20])
    assert "beta" not in {each.quantity for each in found}
    shift = next(each for each in found if each.quantity == "log_snr")
    assert shift.largest == pytest.approx(2 * math.log(2), rel=1e-12)
    assert shift.point in range(10, 100, 20)
    for other in (Schedule.flow(3)[:2], base[:0]):
        with pytest.raises(ValueError, match="nothing can be compared"):
            differences(base, other)
    with pytest.raises(ValueError, match="nothing can be compared"):
        differences(base[:0], base[:0])


@pytest.mark.parametrize("family", FAMILIES)
def test_sigmas_are_noisiest_first_with_the_last_0_and_read_back(family: str) -> None:
    s = FAMILIES[family](8)
    if not np.isfinite(s.to_sigmas()).all() and s.kind != "flow":
        with pytest.raises(ValueError, match=r"infinite: leave out its last point, \[:-1\]"):
            sigma_list(s)
        s = s[:-1]
    values = sigma_list(s)
    assert values[-1] == 0
    assert values == sorted(values, reverse=True)
    read = Schedule.from_flow_times if s.kind == "flow" else Schedule.from_sigmas
    back = read(", ".join(map(repr, values)))
    expected = s.sigma if s.kind == "flow" else s.to_sigmas()
    np.testing.assert_allclose(back.sigma, expected, rtol=1e-15)


def test_sigmas_of_a_slice_end_where_it_starts() -> None:
    s = Schedule.karras(8)
    assert sigma_list(s[3:])[-1] == s.to_sigmas()[2]
    with pytest.raises(ValueError, match="no points"):
        sigma_list(s[:0])
