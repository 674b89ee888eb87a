"""The axes that pictures are drawn on: the user's, or new ones that notebooks show.

Figures are made without pyplot, so that no display is needed and nothing global changes.
"""

from typing import TYPE_CHECKING, Any

from schedalg.checks import shown
from schedalg.plotting.marks import series_style
from schedalg.plugins import imported

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Panels(tuple[Any, ...]):
    """The axes of a figure with several panels, from the top left to the bottom right.

    A notebook shows the figure if they are the last line of a cell.

    Example:
        >>> from schedalg import Schedule
        >>> panels = Schedule.linear(1000).subsample(steps=20).plot()
        >>> panels[3].get_ylabel()
        'log SNR'
    """

    __slots__ = ()

    @property
    def figure(self) -> "Figure":
        """The figure: `panels.figure.savefig("schedule.svg")` saves it."""
        figure: Figure = self[0].figure
        return figure

    def _repr_png_(self) -> bytes:
        from schedalg.plotting.figures import png

        return png(self.figure)


def checked_axes(ax: object) -> "Axes | None":
    """Return the axes that a user gave, if any.

    Raises:
        TypeError: `ax` is something else.
        ValueError: They are in no figure, or do not run to the right and up.
        ImportError: matplotlib is not installed.
    """
    kind: Any = imported("matplotlib.axes", "plot", "plot").Axes
    if ax is None:
        return None
    if not isinstance(ax, kind):
        raise TypeError(
            f"ax must be axes of matplotlib, as plt.subplots() returns them, got {shown(ax)}"
        )
    axes: Axes = ax
    if axes.figure is None:
        raise ValueError("ax was removed from its figure: nothing would be seen")
    if axes.name != "rectilinear":
        raise ValueError(
            f"ax has the projection {axes.name!r}, and must be in the plane: 'rectilinear', as "
            "plt.subplots() returns them"
        )
    return axes


def axes_or_new(ax: object) -> "Axes":
    """Return the axes that a user gave, or those of a new figure.

    Raises:
        TypeError: `ax` is something else.
        ValueError: As `checked_axes`.
        ImportError: matplotlib is not installed.
    """
    axes = checked_axes(ax)
    return new_panels(1)[0] if axes is None else axes


def new_panels(count: int) -> Panels:
    """Return the axes of a new figure: one, a row of two, or two rows.

    Raises:
        ImportError: matplotlib is not installed.
    """
    imported("matplotlib.figure", "plot", "plot")
    from schedalg.plotting.figures import panels

    return Panels(panels(count))


def text_color(axes: "Axes") -> Any:
    """Return the colour of the text on axes: dark on white, and light where the page is dark."""
    return axes.xaxis.label.get_color()


def next_style(axes: "Axes") -> dict[str, Any]:
    """Return the style of the next series on axes, unlike those of the labelled ones there."""
    return series_style(len(_labelled(axes)))


def add_legend(axes: "Axes", *, always: bool) -> None:
    """Add or update a legend; for a single series only if `always`."""
    if always or len(_labelled(axes)) > 1:
        axes.legend()


def _labelled(axes: "Axes") -> list[Any]:
    return [line for line in axes.lines if not str(line.get_label()).startswith("_")]
