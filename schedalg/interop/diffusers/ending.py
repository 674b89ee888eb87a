"""Where the last step of a path arrives."""

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from schedalg.interop.diffusers.options import Options
from schedalg.schedule import Schedule

#: The log-SNR of a schedule must fall strictly. A step of no length changes it by this share.
_LEAST = 2e-12

#: Where the last step arrives: clean data, the noise level of timestep 0, or where it starts.
End: TypeAlias = Literal["clean", "first", "stay"]


def final_alpha(options: Options) -> End:
    """Return where the last step arrives, by `set_alpha_to_one`."""
    return "clean" if options.flag("set_alpha_to_one") else "first"


def final_sigma(options: Options, least: End) -> End:
    """Return where the last step arrives, by `final_sigmas_type`.

    Args:
        options: The configuration.
        least: Where it arrives with "sigma_min".
    """
    return options.meaning("final_sigmas_type", {"zero": "clean", "sigma_min": least})


def ended(schedule: Schedule, end: End, base: Schedule | None = None) -> Schedule:
    """Return the schedule with another end of its last step.

    Args:
        schedule: A schedule whose last step arrives at clean data.
        end: Where the last step arrives.
        base: The trained schedule, for `end="first"`.
    """
    if end == "clean":
        return schedule
    log_snr = np.asarray(schedule.to_log_snr())
    start = float(log_snr[0])
    arrival = start
    if end == "first" and base is not None:
        arrival = max(float(base.to_log_snr()[0]), start)
    if arrival <= start:
        arrival = start + _LEAST * max(1.0, abs(start))
    timesteps = schedule.timestep_rule
    if isinstance(timesteps, np.ndarray):
        timesteps = np.concatenate([timesteps[:1] if end == "stay" else np.zeros(1), timesteps])
    longer = Schedule.from_log_snr(
        np.concatenate([[arrival], log_snr]), kind=schedule.kind, timesteps=timesteps
    )
    return replace(longer, network_kind=schedule.network_kind)[1:]
