"""Figures of matplotlib that are not pyplot's: imported when a picture is drawn, not before."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure


class ShownAxes(Axes):
    """Axes that notebooks show by themselves, since pyplot does not know their figure."""

    def _repr_png_(self) -> bytes:
        return png(self.figure)  # type: ignore[arg-type]  # which is the whole figure


def panels(count: int) -> list[Axes]:
    """Return `count` axes of a new figure, at most two in a row."""
    columns = min(count, 2)
    rows = -(-count // columns)
    size = (6.4, 4.0) if count == 1 else (9.0, 3.2 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    return [
        figure.add_subplot(grid[k // columns, k % columns], axes_class=ShownAxes)
        for k in range(count)
    ]


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
