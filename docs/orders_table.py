"""Measure the order of every sampler, and print the tables and draw the picture of docs/orders.md.

    python -m docs.orders_table            # prints them
    python -m docs.orders_table --write    # puts them into docs/orders.md, and draws

from the root of the repository, with the packages that the tests need, and matplotlib.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from docs.pages import markdown, print_or_write
from schedalg import Schedule, Tableau, sample
from schedalg.testing import Mixture, measured_order
from tests.registry.samplers import SAMPLERS

PAGE = Path(__file__).with_name("orders.md")
PICTURE = PAGE.parent / "images" / "orders.png"
PEAKS = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
DRAWN = (
    "DDIM",
    "Heun",
    "DPM-Solver-3",
    "DPM-Solver++ 2M",
    "DPM-Solver++ 3M",
    "DPM-Solver++ 3M exact",
    "UniPC-3",
    "LMS 4",
)
COLOURS = (
    "#444444",
    "#999999",
    "#6a1b9a",
    "#1e88e5",
    "#00897b",
    "#7cb342",
    "#d81b60",
    "#ffa000",
)
#: The grids that users have, from where they start to clean data, and the steps on them.
GRIDS: Mapping[str, Callable[[int], Schedule]] = {
    "flow": lambda n: Schedule.flow(n),
    "Karras": lambda n: Schedule.karras(n),
    "trailing": lambda n: Schedule.scaled_linear(1000).subsample(steps=n, spacing="trailing"),
}
COUNTS = (20, 40, 80)
#: Numbers of calls that users have, and samplers with one call a step, measured there.
FEW = (6, 8, 10, 12, 14, 16, 18, 20)
MEASURED_THERE = (
    "DDIM",
    "DPM-Solver-3",
    "DPM-Solver++ 2M",
    "DPM-Solver++ 3M exact",
    "UniPC-2",
    "UniPC-3",
    "DEIS 3",
    "LMS 2",
    "LMS 4",
    "IPNDM 3",
)


def written(sampler: Any) -> str:
    """Return the constructor call of a sampler, with the arguments that are not defaults."""
    arguments = [
        f"{field.name}={value!r}" if not isinstance(value, Tableau) else "Tableau(...)"
        for field in fields(sampler)
        if field.init and (value := getattr(sampler, field.name)) != field.default
    ]
    return f"{type(sampler).__name__}({', '.join(arguments)})"


def users_errors(sampler: Any, grid: str, counts: Sequence[int]) -> np.ndarray:
    """Return the error at clean data for each number of steps on a grid."""
    errors = []
    for steps in counts:
        schedule = GRIDS[grid](steps)
        x = PEAKS.marginal_std(schedule[-1]) * np.linspace(-2, 2, 41)[None, :]
        result = sample(PEAKS.denoiser(schedule), schedule, sampler, x)
        exact = PEAKS.flow(x, schedule[-1], schedule.origin)
        errors.append(np.sqrt(((result - exact) ** 2).mean()))
    return np.array(errors)


def slope(counts: Sequence[int], errors: np.ndarray) -> float:
    """Return the power of the number of steps with which errors fall."""
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


def few_rows() -> str:
    """Return the table of orders with few steps, as Markdown."""
    titles = ["sampler", "order", *GRIDS, *(f"{grid}, {FEW[0]} calls" for grid in GRIDS)]
    first = {grid: users_errors(SAMPLERS["DDIM"].sampler, grid, FEW) for grid in GRIDS}
    lines = []
    for name in MEASURED_THERE:
        entry = SAMPLERS[name]
        errors = {grid: users_errors(entry.sampler, grid, FEW) for grid in GRIDS}
        slopes = [f"{slope(FEW, errors[grid]):.1f}" for grid in GRIDS]
        ratios = [f"{errors[grid][0] / first[grid][0]:.2g}" for grid in GRIDS]
        lines.append([f"`{written(entry.sampler)}`", entry.order, *slopes, *ratios])
    return str(markdown(titles, lines))


def rows() -> str:
    """Return the table of all samplers without noise, as Markdown."""
    titles = ["method", "sampler", "order", "one peak", "two peaks", *GRIDS, "calls"]
    lines = []
    for name, entry in SAMPLERS.items():
        if entry.order is None:
            continue
        gaussian = measured_order(entry.sampler, counts=(180, 360))
        peaks = measured_order(entry.sampler, PEAKS, counts=(180, 360))
        cells = [name, f"`{written(entry.sampler)}`", entry.order]
        cells += [f"{gaussian:.2f}", f"{peaks:.2f}"]
        users = [slope(COUNTS, users_errors(entry.sampler, grid, COUNTS)) for grid in GRIDS]
        lines.append([*cells, *(f"{order:.1f}" for order in users), entry.calls])
    return str(markdown(titles, lines))


def error(sampler: Any, steps: int) -> tuple[int, float]:
    """Return the model calls and the largest error at a log-SNR of 2, from noise at -10."""
    schedule = Schedule.from_log_snr(np.linspace(2, -10, steps + 1))[1:]
    s, t = schedule.origin, schedule[-1]
    x = np.linspace(-2, 2, 41)[None, :]
    result = sample(PEAKS.denoiser(schedule), schedule, sampler, x)
    calls = sampler.plan(schedule).model_calls
    return calls, float(np.abs(result - PEAKS.flow(x, t, s)).max())


def draw() -> None:
    """Draw the error over the number of model calls."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for name, colour, mark in zip(DRAWN, COLOURS, "osv^DX*P", strict=True):
        entry = SAMPLERS[name]
        points = [error(entry.sampler, steps) for steps in (6, 12, 24, 48, 96, 192)]
        label = f"{name} (order {entry.order})"
        axes.loglog(*zip(*points, strict=True), f"{mark}-", color=colour, label=label, markersize=5)
    axes.set_xticks(
        [6, 12, 24, 48, 96, 192, 384], labels=["6", "12", "24", "48", "96", "192", "384"]
    )
    axes.set_xlabel("model calls")
    axes.set_ylabel("largest error of x")
    axes.set_title("Two Gaussian peaks, from noise to a log-SNR of 2", fontsize=10)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Print the tables, or write them into the page and draw the picture."""
    if print_or_write(PAGE, lambda: {"": rows(), "few": few_rows()}, __doc__):
        draw()


if __name__ == "__main__":
    main()
