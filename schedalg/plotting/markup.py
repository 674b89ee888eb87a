"""HTML of notebooks: tables, and curves as SVG, without matplotlib.

Text and lines take the colour of the page's text, so that they are legible on dark and on light
pages. All text is escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

import numpy as np

from schedalg.plotting.marks import BLUE

#: Size of a curve in pixels, and what its numbers take at the left and below.
WIDTH, HEIGHT, LEFT, BELOW = 360, 150, 52, 18
#: Half the size of a mark.
RADIUS = 3
#: The most points that a line is drawn through, and the most marks.
MOST_POINTS, MOST_MARKS = 250, 100


def code(text: str) -> str:
    """Return a line of text as HTML that shows each of its characters.

    Example:
        >>> from schedalg.plotting.markup import code
        >>> code("<Plan>")
        '<code>&lt;Plan&gt;</code>'
    """
    whole = text.encode("utf-8", "backslashreplace").decode()  # a user's repr may hold anything
    return f"<code>{escape(whole)}</code>"


def block(*parts: str) -> str:
    """Return pieces of HTML one below the other; what is wider than the page is scrolled."""
    return f'<div style="overflow-x:auto">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: Literal["left", "right"],
    gap: tuple[int, str] | None = None,
) -> str:
    """Return a table of text.

    Args:
        titles: The titles of the columns.
        rows: The cells of each row.
        align: The alignment of the cells: "right" for numbers.
        gap: (index, text), where rows are left out: the index of the row that follows, and the text
            that stands in their place.
    """
    cell = f'style="text-align:{align};padding:0 .5em"'
    lines = ["".join(f"<td {cell}>{escape(each)}</td>" for each in row) for row in rows]
    if gap is not None:
        middle = f'style="text-align:center" colspan="{len(titles)}"'
        lines.insert(gap[0], f"<td {middle}>{escape(gap[1])}</td>")
    head = "".join(f'<th scope="col" {cell}>{escape(title)}</th>' for title in titles)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values. The values are HTML, and are not escaped."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;vertical-align:top;padding:0 .5em">'
        f'{escape(name)}</th><td style="text-align:left">{value}</td></tr>'
        for name, value in pairs
    )
    return f"<table><tbody>{rows}</tbody></table>"


def curve(line: np.ndarray, marks: np.ndarray, title: str) -> str:
    """Return a line and marks as SVG, with the numbers at the ends of both axes.

    A mark whose vertical coordinate is infinite is a triangle at the edge.

    Args:
        line: (2, N), horizontal and vertical coordinates; at most `MOST_POINTS` of them are used.
        marks: (2, M), likewise; more than `MOST_MARKS` are not drawn.
        title: The text above the curve, and its description for screen readers.
    """
    both = np.concatenate([line, marks], axis=1)
    up = both[1, np.isfinite(both[1])]
    if not up.size:
        return ""
    low, high = np.array([both[0].min(), up.min()]), np.array([both[0].max(), up.max()])
    size = np.array([WIDTH - LEFT - RADIUS, HEIGHT - BELOW - BELOW])
    place = np.array([LEFT, HEIGHT - BELOW])
    # In halves, since the difference of two floats may be none.
    span = high / 2 - low / 2
    span = np.where(span > 0, span, 1.0)

    def placed(points: np.ndarray) -> list[tuple[float, float]]:
        x, y = (points / 2 - low[:, None] / 2) / span[:, None] * size[:, None]
        return [(place[0] + a, place[1] - b) for a, b in zip(x, y, strict=True)]

    finite = line[:, np.isfinite(line[1])]
    if finite.shape[1] > MOST_POINTS:
        finite = finite[:, np.linspace(0, finite.shape[1] - 1, MOST_POINTS).round().astype(int)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed(finite))
    drawn = [f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1"/>']
    if marks.shape[1] <= MOST_MARKS:
        drawn += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{BLUE}"/>'
            for x, y in placed(marks[:, np.isfinite(marks[1])])
        ]
        for edge, end, tip in ((np.inf, high[1], -2 * RADIUS), (-np.inf, low[1], 2 * RADIUS)):
            at = marks[0, marks[1] == edge]
            for x, y in placed(np.stack([at, np.full_like(at, end)])):
                corners = f"{x - RADIUS:.1f},{y:.1f} {x + RADIUS:.1f},{y:.1f} {x:.1f},{y + tip:.1f}"
                drawn.append(f'<polygon points="{corners}" fill="{BLUE}"/>')
    for x, y, anchor, number in (
        (LEFT - 6, HEIGHT - BELOW, "end", low[1]),
        (LEFT - 6, BELOW + 8, "end", high[1]),
        (LEFT, HEIGHT - 2, "start", low[0]),
        (WIDTH, HEIGHT - 2, "end", high[0]),
    ):
        drawn.append(_text(x, y, anchor, f"{number:.4g}"))
    drawn.append(_text(LEFT, 12, "start", title))
    name = escape(f"{title}: from {low[1]:.4g} to {high[1]:.4g}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{"".join(drawn)}</svg>'
    )


def _text(x: int, y: int, anchor: str, text: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11" fill="currentColor">'
        f"{escape(text)}</text>"
    )
