"""Plans drawn by matplotlib."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from schedalg.arrays import has_values
from schedalg.checks import check_choice
from schedalg.plan import text
from schedalg.plan.weights import weights
from schedalg.plotting.axes import add_legend, checked_axes, new_panels, next_style, text_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from schedalg.plan.plan import Plan

Part: TypeAlias = Literal["coefficients", "weights"]


def plot(plan: "Plan", ax: "Axes | None" = None, *, quantity: Part | None = None) -> Any:
    """Draw the coefficients of a plan, and the weights of the result (needs matplotlib).

    The weights are those of `Plan.weights`: how much of each x0 prediction and of each draw of
    noise is in the result. Columns that are 0 in every row are left out.

    Args:
        plan: The plan.
        ax: Axes of matplotlib to draw on. None: those of a new figure.
        quantity: "coefficients": the numbers of each row by which x, the last memories and the
            noise are multiplied. "weights": those of the result. None: with `ax`, the coefficients;
            without, both, each on axes of its own, or the coefficients alone where the weights are
            not determined.

    Returns:
        The axes; of both quantities, a tuple of axes. Either has its figure as `.figure`.

    Raises:
        TypeError: An argument is of the wrong type, or the plan is traced by JAX.
        ValueError: `quantity` is unknown, or the plan has no rows. For "weights", also as
            `Plan.weights`.
        ImportError: matplotlib is not installed.

    Example:
        >>> from schedalg import DPMSolverPP, Schedule
        >>> plan = DPMSolverPP().plan(Schedule.linear(1000).subsample(steps=10))
        >>> axes = plan.plot(quantity="coefficients")
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['a', 'b0', 'b1']
    """
    if quantity is not None:
        check_choice("quantity", quantity, get_args(Part))
    if len(plan) == 0:
        raise ValueError("plan has no rows: there is nothing to draw")
    if not has_values(plan.a):
        raise TypeError("plan is traced, and has no values to draw: draw it outside of jax.jit")
    axes = checked_axes(ax)
    if axes is None and quantity is None:
        parts = ["coefficients"] + ["weights"] * _has_weights(plan)
    else:
        parts = [quantity or "coefficients"]
    series = [_coefficients(plan) if part == "coefficients" else _weights(plan) for part in parts]
    panels = new_panels(len(parts)) if axes is None else [axes]
    for panel, part, lines in zip(panels, parts, series, strict=True):
        panel.axhline(0, color=text_color(panel), linewidth=0.8, zorder=1.5)
        for label, (rows, values) in lines.items():
            panel.plot(rows, values, label=label, **next_style(panel))
        panel.set_xlabel("row")
        panel.set_ylabel("coefficient" if part == "coefficients" else "weight in the result")
        panel.xaxis.get_major_locator().set_params(integer=True)
        add_legend(panel, always=True)
    return panels if len(panels) > 1 else panels[0]


def _has_weights(plan: "Plan") -> bool:
    try:
        weights(plan)
    except ValueError:
        return False
    return True


def _coefficients(plan: "Plan") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows and values of each column that multiplies something, by its title."""
    rest = ("row", "step", "timestep", "alpha", "sigma", "log_variance0", "log_variance1")
    found = {name: values for name, values in text.columns(plan).items() if name not in rest}
    rows = np.arange(len(plan))
    return {name: (rows, values) for name, values in found.items() if values.any()}


def _weights(plan: "Plan") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows and values of the weights, by their names; row -1 is before the first."""
    x, predictions, noise = weights(plan)
    rows = np.arange(-1, len(plan))
    found = {"x0 predictions": (rows[1:], predictions)}
    if noise.any():
        drawn = noise != 0
        found["noise"] = rows[drawn], noise[drawn]
    found[f"x at the start: {x:.3g}"] = rows[:1], np.array([x])
    return found
