"""Schedules as a plot in a file."""

from collections.abc import Mapping
from pathlib import Path

from schedalg.schedule import Schedule
from schedalg.schedule.plotting import plot_schedules


def plot(schedules: Mapping[str, Schedule], path: Path) -> None:
    """Write a plot of log-SNR by timestep; the name of the file says its format.

    The same schedules make the same file.

    Args:
        schedules: What is drawn, by the names of the legend.
        path: A name that ends in .svg, .png, .pdf or whatever else matplotlib writes.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: The file cannot be written.
        ValueError: matplotlib does not write such files, or a schedule has no points.
    """
    figure = plot_schedules(schedules, quantity="log_snr").figure
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "schedalg"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
