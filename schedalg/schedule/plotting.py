"""Schedules drawn by matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from schedalg.arrays import has_values, to_host
from schedalg.checks import check_choice, shown
from schedalg.plotting.axes import add_legend, checked_axes, new_panels, next_style, text_color
from schedalg.plotting.marks import legend_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from schedalg.schedule.schedule import Schedule

Quantity: TypeAlias = Literal["alphas_cumprod", "betas", "sigmas", "log_snr"]
Against: TypeAlias = Literal["timestep", "step"]

#: How the axis of each quantity is named.
NAMES: dict[str, str] = {
    "alphas_cumprod": r"$\bar{\alpha}$",
    "betas": r"$\beta$",
    "sigmas": r"$\sigma\,/\,\alpha$",
    "log_snr": "log SNR",
}
#: The quantities that only variance-preserving schedules have.
OF_VP = ("alphas_cumprod", "betas")
#: A schedule of more points is drawn as a line alone.
MOST_MARKS = 100


class _Line(NamedTuple):
    """One schedule of a picture.

    Attributes:
        schedule: The schedule.
        label: Its name in the legend, if it is there.
        base: What it was chosen from, which is drawn as a line, and the schedule as marks on it.
    """

    schedule: "Schedule"
    label: str | None = None
    base: "Schedule | None" = None


def plot(
    schedule: "Schedule",
    ax: "Axes | None" = None,
    *,
    quantity: Quantity | None = None,
    against: Against = "timestep",
    base: "Schedule | None" = None,
    label: str | None = None,
) -> Any:
    """Draw ᾱ, β, sigma / alpha (on a log axis) and log-SNR of a schedule (needs matplotlib).

    The points of a schedule that was chosen from another are marks, on the line of what they were
    chosen from; β of a chosen step is that of the whole step, and lies above the line. Where a
    quantity is infinite, a triangle at the edge shows it.

    Args:
        schedule: The schedule.
        ax: Axes of matplotlib to draw on. None: those of a new figure.
        quantity: "alphas_cumprod", "betas", "sigmas" or "log_snr", as the `to_` methods name them.
            None: with `ax`, "log_snr"; without, all that the schedule has, each on axes of its own.
            ᾱ and β are those of variance-preserving schedules.
        against: The horizontal axis: the "timestep", from least to most noisy; or the "step" that
            leaves the point, in the order of sampling, from 0 for the noisiest.
        base: The schedule that this one was chosen from, drawn as a line. None: the base of
            `schedule.curve`, if there is one. It is not drawn against steps, since it has others.
        label: The schedule's name in the legend.

    Returns:
        The axes; of several quantities, a tuple of axes. Either has its figure as `.figure`.

    Raises:
        TypeError: An argument is of the wrong type, or the schedule is traced by JAX.
        ValueError: `quantity` or `against` is unknown, the schedule is empty, or it has no such
            quantity.
        ImportError: matplotlib is not installed.

    Example:
        >>> from schedalg import Schedule
        >>> fast = Schedule.linear(1000).subsample(steps=20)
        >>> axes = fast.plot(quantity="log_snr")
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('timestep', 'log SNR')
        >>> len(fast.plot())  # ᾱ, β, sigma / alpha, log SNR
        4
    """
    _check_drawable("schedule", schedule)
    if base is not None:
        _check_drawable("base", base)
    elif schedule.curve is not None:
        base = schedule.curve.base
    name = None if label is None else legend_text("label", label)
    return _drawn([_Line(schedule, name, base)], ax, quantity, against)


def plot_schedules(
    schedules: "Mapping[str, Schedule] | Sequence[Schedule]",
    ax: "Axes | None" = None,
    *,
    quantity: Quantity | None = None,
    against: Against = "timestep",
) -> Any:
    """Draw several schedules on the same axes, with a legend (needs matplotlib).

    Schedules of at most 100 points have a mark at each of them.

    Args:
        schedules: The schedules, by the names of the legend; or a list of them.
        ax: As in `Schedule.plot`.
        quantity: As in `Schedule.plot`. None, without `ax`: each quantity that all of them have.
        against: As in `Schedule.plot`.

    Returns:
        As `Schedule.plot`.

    Raises:
        TypeError: An argument is of the wrong type, or a schedule is traced by JAX.
        ValueError: `quantity` or `against` is unknown, there are no schedules, or one of them is
            empty or has no such quantity.
        ImportError: matplotlib is not installed.

    Example:
        >>> from schedalg import Schedule, plot_schedules
        >>> spaced = {
        ...     spacing: Schedule.linear(1000).subsample(steps=10, spacing=spacing)
        ...     for spacing in ("trailing", "log_snr")
        ... }
        >>> axes = plot_schedules(spaced, quantity="log_snr", against="step")
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['trailing', 'log_snr']
    """
    if isinstance(schedules, Mapping):
        named = [(f"schedules[{shown(key)}]", key, each) for key, each in schedules.items()]
    elif isinstance(schedules, Sequence) and not isinstance(schedules, str | bytes):
        named = [(f"schedules[{k}]", f"schedules[{k}]", each) for k, each in enumerate(schedules)]
    else:
        raise TypeError(
            f"schedules must be a mapping from names to schedules or a list of them, got "
            f"{shown(schedules)}"
        )
    if not named:
        raise ValueError("schedules is empty: there is nothing to draw")
    lines = []
    for place, key, each in named:
        _check_drawable(place, each)
        lines.append(_Line(each, legend_text("a name of schedules", key)))
    return _drawn(lines, ax, quantity, against)


def _check_drawable(name: str, schedule: Any) -> None:
    """Raise unless a value is a schedule that can be drawn.

    Raises:
        TypeError: It is not a schedule, or is traced.
        ValueError: It is empty.
    """
    from schedalg.schedule.schedule import check_schedule  # which imports this module

    check_schedule(schedule, name)
    if len(schedule) == 0:
        raise ValueError(f"{name} has no points: there is nothing to draw")
    if not has_values(schedule.log_alpha_bar.high):
        raise TypeError(f"{name} is traced, and has no values to draw: draw it outside of jax.jit")


def _drawn(lines: Sequence[_Line], ax: Any, quantity: Any, against: Any) -> Any:
    """Return the axes of one quantity, or of all, with the lines on them."""
    if quantity is not None:
        check_choice("quantity", quantity, get_args(Quantity))
    check_choice("against", against, get_args(Against))
    axes = checked_axes(ax)
    drawn = [each for line in lines for each in (line.schedule, line.base) if each is not None]
    others = [each.kind for each in drawn if each.kind != "vp"]
    if quantity in OF_VP and others:
        raise ValueError(
            f"quantity is {quantity!r}, which only variance-preserving schedules have, and one "
            f"is of kind {others[0]!r}: call as_vp() first"
        )
    if quantity is None and axes is None:
        all_of = [each for each in get_args(Quantity) if each not in OF_VP or not others]
    else:
        all_of = [quantity or "log_snr"]
    panels = new_panels(len(all_of)) if axes is None else [axes]
    for panel, each in zip(panels, all_of, strict=True):
        for line in lines:
            _draw(panel, line, each, against)
        panel.set_xlabel(against)
        panel.set_ylabel(NAMES[each])
        if each == "sigmas":
            panel.set_yscale("log")
    add_legend(panels[0], always=any(line.label for line in lines))
    return panels if len(panels) > 1 else panels[0]


def _draw(axes: "Axes", line: _Line, quantity: str, against: str) -> None:
    schedule, label, base = line
    has_base = base is not None and against == "timestep"
    x, y = _points(schedule, quantity, against)
    seen = np.isfinite(y)
    style = next_style(axes)
    if has_base:
        style |= {"linestyle": "", "markersize": 4 if len(schedule) <= MOST_MARKS else 2}
    elif len(schedule) > MOST_MARKS:
        style["marker"] = ""
    axes.plot(x[seen], y[seen], label=label or f"{len(schedule)} points", **style)
    for edge, place, marker in ((np.inf, 1, "^"), (-np.inf, 0, "v")):
        for at in x[y == edge]:
            axes.plot(
                [at],
                [place],
                marker=marker,
                color=style["color"],
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
    if base is not None and has_base:
        x, y = _points(base, quantity, against)
        seen = np.isfinite(y)
        color, name = text_color(axes), f"{len(base)} points"
        axes.plot(x[seen], y[seen], color=color, linewidth=0.8, zorder=1.5, label=name)


def _points(schedule: "Schedule", quantity: str, against: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the horizontal and vertical coordinates of a schedule's points."""
    y = to_host(getattr(schedule, f"to_{quantity}")())
    return schedule.timesteps if against == "timestep" else np.arange(len(y))[::-1], y
