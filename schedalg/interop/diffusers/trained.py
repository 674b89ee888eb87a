"""The schedule of all training steps that the betas of a configuration describe."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from schedalg.arrays import namespace, to_host
from schedalg.checks import host_numbers
from schedalg.interop.diffusers.options import Options
from schedalg.schedule import Schedule, double_double, path
from schedalg.schedule.curve import base_of, covering

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
    """Return the schedule of all training steps: `trained_betas`, if they are set, has its length.

    Raises:
        TypeError: An option is of the wrong type.
        ValueError: An option has a wrong value, or contradicts another.
    """
    n = options.count("num_train_timesteps")
    if options.is_set("trained_betas"):
        betas = host_numbers("trained_betas", options["trained_betas"]).astype(np.float64)
        try:
            base = Schedule.from_betas(betas)
        except ValueError as error:
            raise ValueError(f"trained_betas of {options.name}: {error}") from None
    else:
        name = options.choice("beta_schedule", (*_BETWEEN, *_OF_LENGTH))
        if name in _OF_LENGTH:
            base = _OF_LENGTH[name](n)
        else:
            ends = (options.within(key, 0, 1) for key in ("beta_start", "beta_end"))
            base = _BETWEEN[name](n, *ends)
    return base.rescale_zero_terminal_snr() if options.flag("rescale_betas_zero_snr") else base


def sigmas_at(base: Schedule, timesteps: np.ndarray) -> np.ndarray:
    """Return sigma/alpha at timesteps, interpolated linearly between trained timesteps."""
    return np.asarray(np.interp(timesteps, np.arange(len(base)), _sigmas(base)))


def timesteps_at(base: Schedule, sigmas: np.ndarray) -> np.ndarray:
    """Return the timesteps at noise levels sigma/alpha, interpolated linearly in log sigma."""
    return np.asarray(np.interp(np.log(sigmas), np.log(_sigmas(base)), np.arange(len(base))))


def through(sigmas: np.ndarray, timesteps: np.ndarray | str) -> Schedule:
    """Return the schedule through rising sigma/alpha, with timesteps or a name of such."""
    return Schedule.from_log_snr(-2 * np.log(sigmas), timesteps=timesteps)


def on_curve(schedule: Schedule, base: Schedule) -> Schedule:
    """Return a schedule with what lies between its points on the trained one, if that covers it.

    Its noise levels need not be trained ones: those between two are between them on the curve.
    Those that are trained ones but for rounding become these.
    """
    base = base_of(base)
    rules = schedule.timestep_rule, base.timestep_rule
    if schedule.curve is not None or not all(isinstance(rule, np.ndarray) for rule in rules):
        return schedule
    known, own = (
        to_host(path.log_snr(namespace(s.log_alpha_bar.high), s.log_alpha_bar))
        for s in (base, schedule)
    )
    low = np.searchsorted(-known, -own, side="right") - 1
    follow = np.minimum(low + 1, len(base))
    at_low, at_next = _same(known[low], own), _same(known[follow], own)
    places = np.where(at_low, 2 * low, np.where(at_next, 2 * follow, 2 * low + 1))
    beyond = (low < 0) & ~at_next | (low == len(base)) & ~at_low
    repeats = (np.diff(places) == 0) & (places[1:] % 2 == 0)
    if beyond.any() or repeats.any() or (places[1:] < 2).any():
        return schedule
    # To the last bit, as files are read: a point of the curve is not next to it.
    levels = double_double.where(
        np,
        places % 2 == 0,
        double_double.gather(np, base.log_alpha_bar, places // 2),
        schedule.log_alpha_bar,
    )
    return replace(schedule, log_alpha_bar=levels, curve=covering(base, places))


def _same(level: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return where two log-SNRs are one but for rounding."""
    with np.errstate(invalid="ignore"):  # the difference of two infinities
        near = np.abs(level - own) <= 1e-13 * np.maximum(1, np.abs(own))
    return np.asarray((level == own) | near & np.isfinite(own))


def _sigmas(base: Schedule) -> np.ndarray:
    return np.asarray(to_host(base.to_sigmas()), dtype=np.float64)
