"""Colours, markers and lines that distinguish series.

The colours are those of Okabe and Ito that have a contrast of 3 to white and to black pages alike.
Series also differ by marker and by line, so that no one needs the colours.
"""

from typing import Any

from schedalg.checks import shown

BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLORS = (BLUE, VERMILLION, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))


def series_style(index: int) -> dict[str, Any]:
    """Return how the series of this index looks, as keywords of matplotlib's `plot`.

    No two of the first 140 look alike.
    """
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4,
    }


def legend_text(name: str, value: object) -> str:
    """Return a name, escaped so that matplotlib's legend shows each of its characters.

    Raises:
        TypeError: It is not a string.
        ValueError: It begins with "_", which matplotlib leaves out of legends; or it holds half a
            character, which no font has.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)}")
    if value.startswith("_"):
        raise ValueError(
            f"{name} is {shown(value)}: matplotlib's legends leave out names that begin with '_'"
        )
    halves = [k for k, each in enumerate(value) if "\ud800" <= each <= "\udfff"]
    if halves:
        raise ValueError(
            f"{name} is {shown(value)}: character {halves[0]} is half of a pair (a surrogate), "
            "which cannot be drawn"
        )
    return value.replace("$", r"\$")  # which would begin a formula
