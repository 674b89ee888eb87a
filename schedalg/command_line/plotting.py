"""Schedules as a plot in a file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from schedalg.arrays import to_host
from schedalg.plugins import imported
from schedalg.schedule import Schedule

#: A schedule of more points is drawn as a line alone.
MOST_MARKS = 100


def plot(schedules: Mapping[str, Schedule], path: Path) -> None:
    """Write a plot of log-SNR by timestep; the name of the file says its format.

    The same schedules make the same file. Points in pure noise are left out.

    Args:
        schedules: What is drawn, by the names of the legend.
        path: A name that ends in .svg, .png, .pdf or whatever else matplotlib writes.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: The file cannot be written.
        ValueError: matplotlib does not write such files.
    """
    figures = imported("matplotlib.figure", "plot", "plot")
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "schedalg"}):
        figure = figures.Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="timestep", ylabel="log SNR")
        for name, schedule in schedules.items():
            log_snr = to_host(schedule.to_log_snr())
            seen = np.isfinite(log_snr)
            marks = "." if len(log_snr) <= MOST_MARKS else ""
            axes.plot(schedule.timesteps[seen], log_snr[seen], marker=marks, label=name)
        axes.legend()
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
