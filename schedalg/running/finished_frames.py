"""What the network is given for a frame that is finished: x as clean data, and a timestep."""

import numpy as np

from schedalg.network.reading import reading_at
from schedalg.plan.plan import Plan
from schedalg.running.state import Run
from schedalg.schedule.curve import base_of
from schedalg.schedule.timesteps import named


def timesteps_of_frames(plan: Plan, clean: float | None) -> np.ndarray:
    """Return the timestep of each row, and last that of a finished frame, (K + 1,).

    Raises:
        ValueError: The latter is not an integer, and the others are.
    """
    integral = plan.timesteps.dtype.kind == "i"
    if clean is None:
        clean = _timestep_of_clean(plan)
        clean = float(np.rint(clean)) if integral else clean  # those of the plan may be rounded
    if integral and not (clean == int(clean) and abs(clean) < 2**53):
        raise ValueError(
            f"clean_timestep is {clean}: it must be an integer, as the timesteps of the plan are"
        )
    return np.append(plan.timesteps, np.asarray(clean, dtype=plan.timesteps.dtype))


def _timestep_of_clean(plan: Plan) -> float:
    """Return the timestep where a plan ends, or the nearest that the schedule knows."""
    schedule = plan.schedule
    rule, origin = schedule.timestep_rule, schedule.origin.timestep
    if origin is not None:
        return origin
    if isinstance(rule, np.ndarray):
        return float(base_of(schedule).timesteps[0])
    if isinstance(rule, str) and named(rule).function != "log_sigma":
        return 0.0
    return float(plan.timesteps[-1])


def clean_scale(run: Run) -> float:
    """Return what multiplies x of a finished frame for the network."""
    schedule = run.plan.schedule
    origin = schedule.origin
    return float(reading_at(run.meaning, schedule, origin.alpha, origin.sigma).c_in)
