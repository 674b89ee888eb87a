"""A schedule as notebooks show it."""

from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import has_values, to_host
from schedalg.plotting.markup import block, code, curve, facts
from schedalg.schedule.curve import base_of

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule

#: Up to so many numbers, all are listed.
FEW = 6


def html(schedule: "Schedule") -> str:
    """Return the schedule as HTML: its log-SNR as a curve, and its numbers.

    The line is the schedule that it was chosen from, and its own points are marks on it. Of a
    schedule without points, or one that is traced, only the repr is shown.
    """
    if len(schedule) == 0 or not has_values(schedule.log_alpha_bar.high):
        return code(repr(schedule))
    base = base_of(schedule)
    listed = isinstance(schedule.timestep_rule, np.ndarray)
    log_snr = to_host(schedule.to_log_snr())
    pairs = [
        ("timesteps", schedule.timesteps),
        ("log SNR", log_snr),
        ("sigma / alpha", to_host(schedule.to_sigmas())),
    ]
    rows = [(name, code(_listed(values))) for name, values in pairs]
    if schedule.curve is not None:
        rows.append(("chosen from", code(f"{len(base)} points")))
    # Timesteps that follow from the noise are no axis: log-SNR would be drawn against itself.
    right, name = (schedule.timesteps, "timestep") if listed else (np.arange(len(base)), "point")
    line = np.stack([base.timesteps if listed else right, to_host(base.to_log_snr())])
    marks = np.stack([right, log_snr])
    return block(code(repr(schedule)), curve(line, marks, f"log SNR by {name}"), facts(rows))


def _listed(values: np.ndarray) -> str:
    """Return the first and the last of some numbers as text, or all if they are few."""
    if len(values) <= FEW:
        return ", ".join(f"{value:.6g}" for value in values)
    return f"{_listed(values[:3])}, …, {_listed(values[-2:])}"
