"""Noise that fits a network: the variance of each step, with the error of the prediction in it.

A step x_s = a x_t + b x0 + c z, with the true x0, has the right law. A sampler has a prediction in
place of x0, whose error, E(x0 - prediction)² on average over the elements, is missing in the
variance of x_s. By the law of total variance, c² + b² error puts it back. It depends on the step's
length through b, so that a respaced schedule has its own; a step to clean data stays without noise.

Source: Bao et al., arXiv 2201.06503 (Analytic-DPM), whose optimum this is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.checks import described
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps, column_log_alpha_bar
from schedalg.schedule import Schedule, check_schedule, path
from schedalg.schedule.errors import checked_errors, errors_at, host_log_alpha_bar

#: A schedule, and the errors of a network along it: the mean over elements of E(x0 - prediction)²
#: at each point, the least noisy first.
ErrorCurve: TypeAlias = tuple[Schedule, Sequence[float] | Array]


def checked_curve(name: str, value: Any) -> ErrorCurve:
    """Return (schedule, errors) with the errors as a tuple, so that it is a value.

    Raises:
        TypeError: It is not a pair of a schedule and numbers.
        ValueError: The errors are not what `Schedule.step_costs` takes.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} must be (schedule, errors), got {described(value)}")
    schedule, errors = value
    check_schedule(schedule, f"{name}[0]")
    return schedule, tuple(checked_errors(schedule, errors, f"{name}[1]").tolist())


def fitted(plan: Plan, curve: ErrorCurve) -> Plan:
    """Return the plan with noise of c² + b² error in each step but one to clean data.

    Args:
        plan: A plan of one row for each step, whose memory is the x0 prediction.
        curve: The network's errors, looked up by noise level.

    Raises:
        ValueError: A point of the plan's schedule is outside of the noise levels of the curve.
    """
    known, errors = curve
    schedule = plan.schedule
    steps = Steps.of(schedule)
    noisy = to_host(steps.sigma_s) > 0
    levels = path.inner(column_log_alpha_bar(schedule))
    error = steps.xp.flip(errors_at(host_log_alpha_bar(known), np.array(errors), levels))
    c = steps.root(plan.c**2 + plan.b[:, 0] ** 2 * error * steps.array(noisy))
    return replace(plan, c=c)
