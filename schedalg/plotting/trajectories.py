"""`plot_trajectories`: points of the plane on their way from noise to data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import Array, is_array, to_host
from schedalg.checks import check_numeric, shown
from schedalg.plotting.axes import axes_or_new, text_color
from schedalg.plotting.marks import BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: With more states, those between the first and the last have no dots.
MOST_DOTS = 60
#: Coordinates are at most this far from 0: matplotlib multiplies them while it looks for ticks.
FARTHEST = 1e300


def plot_trajectories(states: Array | Sequence[Array], ax: "Axes | None" = None) -> Any:
    """Draw how samples in the plane move from step to step (needs matplotlib).

    Each sample is a line with a dot for each state, which begins in a circle and ends in a square.

    Args:
        states: x before the first step and after each: arrays (B, 2) of any library, or one array
            (states, B, 2).
        ax: Axes of matplotlib to draw on. None: those of a new figure.

    Returns:
        The axes; `axes.figure` is the figure.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The states are not all of one shape (B, 2), there are none, or one is not
            within ±1e300.
        ImportError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, plot_trajectories, sample_steps
        >>> x = np.random.default_rng(0).standard_normal((20, 2))
        >>> s = Schedule.linear(1000).subsample(steps=10)
        >>> steps = sample_steps(lambda x, t: x, s, DDIM(), x)  # data that are a point
        >>> axes = plot_trajectories([x, *steps])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['first', 'last']
    """
    path = _checked(states)
    axes = axes_or_new(ax)
    from matplotlib.collections import LineCollection

    lines = LineCollection(
        list(path.swapaxes(0, 1)), colors=[text_color(axes)], alpha=0.35, linewidths=0.8
    )
    axes.add_collection(lines)
    if len(path) <= MOST_DOTS:
        between = path[1:-1].reshape(-1, 2).T
        axes.plot(*between, marker=".", markersize=2, linestyle="", color=text_color(axes))
    for label, points, marker, color, filled in (
        ("first", path[0], "o", BLUE, "none"),
        ("last", path[-1], "s", VERMILLION, VERMILLION),
    ):
        axes.plot(
            *points.T,
            label=label,
            marker=marker,
            markersize=4,
            linestyle="",
            color=color,
            markerfacecolor=filled,
        )
    axes.set_aspect("equal")  # of the box: limits that are shared, or set before, stay
    axes.autoscale_view()
    axes.legend()
    return axes


def _checked(states: Any) -> np.ndarray:
    """Return the states as one array, (states, B, 2).

    Raises:
        TypeError: They are not arrays of real numbers.
        ValueError: There are none, a shape is wrong or differs, or one is too large to draw.
    """
    whole = is_array(states)
    if not whole and (not isinstance(states, Sequence) or isinstance(states, str | bytes)):
        raise TypeError(
            "states must be an array (states, B, 2) or a list of arrays (B, 2); of an iterator, "
            f"pass list(...); got {shown(states)}"
        )
    if whole:
        check_numeric("states", states)
        if states.ndim != 3:
            raise ValueError(
                f"states must be (states, B, 2), or a list of arrays (B, 2), got shape "
                f"{tuple(states.shape)}"
            )
        states = to_host(states)
    if len(states) == 0:
        raise ValueError("states is empty: there is nothing to draw")
    host: list[np.ndarray] = []
    for k, state in enumerate(states):
        if not is_array(state):
            raise TypeError(f"states[{k}] must be an array, (B, 2), got {shown(state)}")
        check_numeric(f"states[{k}]", state)
        shape = tuple(state.shape)
        if len(shape) != 2 or shape[1] != 2 or shape[0] == 0:
            raise ValueError(f"states[{k}] must be (B, 2), points of the plane, got shape {shape}")
        if host and shape != host[0].shape:
            raise ValueError(f"states[{k}] has shape {shape}, and states[0] {host[0].shape}")
        values = to_host(state)
        if values.dtype.kind == "c":
            raise TypeError(f"states[{k}] must hold real numbers, got dtype {values.dtype}")
        if not np.isfinite(values).all():
            raise ValueError(f"states[{k}] is not finite")
        if (farthest := float(np.abs(values).max())) > FARTHEST:
            raise ValueError(
                f"states[{k}] has a coordinate of size {farthest:.3g}: at most {FARTHEST:g} can be "
                "drawn"
            )
        host.append(values.astype(np.float64))
    return np.stack(host)
