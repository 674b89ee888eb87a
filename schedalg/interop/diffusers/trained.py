"""The schedule of all training steps that the betas of a configuration describe."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from schedalg.arrays import to_host
from schedalg.interop.diffusers.options import Options
from schedalg.schedule import Schedule

#: Options of every class whose networks were trained on betas, with their defaults.
TRAINED: Final[Mapping[str, Any]] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
#: The betas of Stable Diffusion, which are the default of some classes.
STABLE_DIFFUSION: Final[Mapping[str, Any]] = {"beta_start": 0.00085, "beta_end": 0.012}

#: `beta_schedule`: those with `beta_start` and `beta_end`, and those that depend on the length
#: alone.
_BETWEEN: Final[Mapping[str, Callable[[int, float, float], Schedule]]] = {
    "linear": Schedule.linear,
    "scaled_linear": Schedule.scaled_linear,
    "sigmoid": Schedule.sigmoid,
}
_OF_LENGTH: Final[Mapping[str, Callable[[int], Schedule]]] = {
    "squaredcos_cap_v2": Schedule.cosine,
    "laplace": Schedule.laplace,
    "exp": Schedule.exp,
}


def trained(options: Options) -> Schedule:
    """Return the schedule of all training steps.

    Raises:
        TypeError: An option is of the wrong type.
        ValueError: An option has a wrong value, or contradicts another.
    """
    n = options.count("num_train_timesteps")
    if options.is_set("trained_betas"):
        base = Schedule.from_betas(np.asarray(options["trained_betas"], dtype=np.float64))
        if len(base) != n:
            options.refuse("num_train_timesteps", f"trained_betas holds {len(base)} values")
    else:
        name = options.choice("beta_schedule", (*_BETWEEN, *_OF_LENGTH))
        if name in _OF_LENGTH:
            base = _OF_LENGTH[name](n)
        else:
            base = _BETWEEN[name](n, options.number("beta_start"), options.number("beta_end"))
    return base.rescale_zero_terminal_snr() if options.flag("rescale_betas_zero_snr") else base


def sigmas_at(base: Schedule, timesteps: np.ndarray) -> np.ndarray:
    """Return sigma/alpha at timesteps, interpolated linearly between trained timesteps."""
    return np.asarray(np.interp(timesteps, np.arange(len(base)), _sigmas(base)))


def timesteps_at(base: Schedule, sigmas: np.ndarray) -> np.ndarray:
    """Return the timesteps at noise levels sigma/alpha, interpolated linearly in log sigma."""
    return np.asarray(np.interp(np.log(sigmas), np.log(_sigmas(base)), np.arange(len(base))))


def through(sigmas: np.ndarray, timesteps: np.ndarray) -> Schedule:
    """Return the schedule through rising noise levels sigma/alpha, with these timesteps."""
    return Schedule.from_log_snr(-2 * np.log(sigmas), timesteps=timesteps)


def _sigmas(base: Schedule) -> np.ndarray:
    return np.asarray(to_host(base.to_sigmas()), dtype=np.float64)
