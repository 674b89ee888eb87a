"""The noise levels of a flow: sigma from 0 to 1, with alpha = 1 - sigma, and their shift."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from schedalg.checks import shown
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.request import Request
from schedalg.schedule import Schedule

#: Options of the solvers that also support flows, with their defaults.
FLOW: Final[Mapping[str, Any]] = {
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}


def check_off(options: Options) -> None:
    """Raise if an option of flows is set although `use_flow_sigmas` is off.

    Raises:
        ValueError: Such an option is set.
    """
    on = {
        "use_dynamic_shifting": options.flag("use_dynamic_shifting"),
        "flow_shift": options.number("flow_shift") != 1,
        "shift_terminal": options.is_set("shift_terminal"),
    }
    for key, asks in on.items():
        if asks:
            options.refuse(key, "it needs use_flow_sigmas=True")


def noise_levels(
    options: Options,
    request: Request,
    spacing: Callable[[int, int], np.ndarray],
    *,
    shift: str,
) -> np.ndarray:
    """Return the requested noise levels, rising, after the shift.

    Args:
        options: The configuration.
        request: The requested points. Its timesteps are those after the shift; its sigmas are noise
            levels before the shift.
        spacing: (trained steps, steps) -> the noise levels before the shift, rising.
        shift: The name of the option with the shift, if it is not dynamic.

    Raises:
        ValueError: An option, or the request, has a wrong value or contradicts another.
    """
    n, steps = options.count("num_train_timesteps"), request.steps
    factor = _factor(options, request, shift)
    if request.sigmas is not None:
        sigma = _shifted(request.sigmas[::-1], factor)
    elif request.timesteps is not None:
        sigma = request.timesteps[::-1] / n
    else:
        sigma = _shifted(np.arange(1, n + 1) / n if steps is None else spacing(n, steps), factor)
    if not ((sigma > 0) & (sigma <= 1)).all():
        k = 0 if sigma[-1] > 1 else len(sigma) - 1
        name = "timesteps" if request.sigmas is None else "sigmas"
        raise ValueError(
            f"{name}[{k}] is the noise level {sigma[-1 - k]:g} after the shift: those of a flow "
            "must be in (0, 1]"
        )
    if (np.diff(sigma) <= 0).any():
        raise ValueError(
            f"{shift}={factor:g} and num_train_timesteps={n} of {options.name}: "
            f"{len(sigma)} noise levels are not apart from each other"
        )
    if options.is_set("shift_terminal") and steps is not None:
        terminal = options.within("shift_terminal", 0, 1)
        if sigma[0] == 1:
            options.refuse("shift_terminal", "the only noise level is pure noise")
        sigma = 1 - (1 - sigma) * ((1 - terminal) / (1 - sigma[0]))
    return sigma


def through(sigma: np.ndarray, timesteps: np.ndarray | str) -> Schedule:
    """Return the flow through rising noise levels in (0, 1], with timesteps or a name of such."""
    return Schedule.from_log_snr(log_snr(sigma), kind="flow", timesteps=timesteps)


def log_snr(sigma: np.ndarray) -> np.ndarray:
    """Return the log-SNR at noise levels in (0, 1]."""
    with np.errstate(divide="ignore"):  # pure noise
        return np.asarray(2 * (np.log1p(-sigma) - np.log(sigma)))


def _factor(options: Options, request: Request, shift: str) -> float:
    if not options.flag("use_dynamic_shifting"):
        return options.number(shift)
    if request.mu is not None:
        kinds: Mapping[str, Callable[[float], float]] = {"exponential": math.exp, "linear": float}
        return options.meaning("time_shift_type", kinds)(request.mu)
    if request.steps is not None or request.sigmas is not None:
        raise ValueError("use_dynamic_shifting=True needs mu=")
    return 1.0


def _shifted(sigma: np.ndarray, shift: float) -> np.ndarray:
    if not shift > 0:
        raise ValueError(f"the shift of a flow must be above 0, got {shown(shift)}")
    return shift * sigma / (1 + (shift - 1) * sigma)
