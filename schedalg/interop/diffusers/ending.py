"""Where the last step of a path arrives."""

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from schedalg.interop.diffusers.options import Options
from schedalg.schedule import Schedule

#: A last step of no length goes up by this share of the log-SNR: a schedule falls strictly.
_LEAST = 2e-12

#: At clean data, at the noise level of timestep 0, or where the last step starts.
End: TypeAlias = Literal["clean", "first", "stay"]


def final_alpha(options: Options) -> End:
    """Return what `set_alpha_to_one` asks for."""
    return "clean" if options.flag("set_alpha_to_one") else "first"


def final_sigma(options: Options, least: End) -> End:
    """Return what `final_sigmas_type` asks for.

    Args:
        options: The configuration.
        least: Where the class arrives with "sigma_min".
    """
    return options.meaning("final_sigmas_type", {"zero": "clean", "sigma_min": least})


def ended(schedule: Schedule, end: End, base: Schedule | None = None) -> Schedule:
    """Return a schedule, which so far ends at clean data, with its last step arriving elsewhere.

    Args:
        schedule: The schedule.
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
