"""The timesteps that a configuration of diffusers visits, and its grids of noise levels.

Everything here runs from least to most noisy, like a schedule.
"""

import math

import numpy as np

from schedalg.interop.diffusers.config import Options
from schedalg.schedule import Schedule

_SPACINGS = ("leading", "trailing", "linspace")
#: Their timesteps are fractional with "linspace".
FRACTIONAL = frozenset(
    {
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "HeunDiscreteScheduler",
        "LMSDiscreteScheduler",
    }
)
#: They space one point more than there are steps, and leave out the least noisy.
ONE_MORE = frozenset(
    {"DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler"}
)
#: They take theirs from the steps of the distillation.
DISTILLED = frozenset({"LCMScheduler", "TCDScheduler"})

_GRIDS = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
}


def spaced(options: Options, base: Schedule, steps: int) -> np.ndarray:
    """Return the timesteps, rising.

    Raises:
        ValueError: The options place a timestep outside the trained ones, or one twice.
    """
    n = len(base)
    if options.name in DISTILLED:
        return _distilled(options, n, steps)
    name = options.choice("timestep_spacing", _SPACINGS)
    offset = options["steps_offset"] if name == "leading" else 0
    last = _last(options, base, name)
    if name == "trailing":
        told = base.subsample(steps=_at_most(steps, n), spacing="trailing").timesteps
    elif name == "leading":
        parts = steps + (options.name in ONE_MORE)
        told = np.arange(parts)[parts - steps :] * (last // parts) + offset
    elif options.name in ONE_MORE:
        told = np.linspace(0, last - 1, steps + 1).round()[1:]
    else:
        told = np.linspace(0, last - 1, steps)
        told = told if options.name in FRACTIONAL else told.round()
    if (np.diff(told) <= 0).any():
        raise ValueError(
            f"steps={steps}: timestep_spacing={name!r} of {options.name} visits a timestep twice, "
            f"with {last} of them to choose from"
        )
    if told[0] < 0 or told[-1] > n - 1:
        options.refuse(
            "steps_offset",
            f"{steps} steps would run to timestep {told[-1]:g}, and the last trained one is "
            f"{n - 1}",
        )
    return told


def _at_most(steps: int, n: int) -> int:
    if steps > n:
        raise ValueError(f"steps must be at most num_train_timesteps={n}, got {steps}")
    return steps


def _last(options: Options, base: Schedule, spacing: str) -> int:
    """Return how many of the trained steps `lambda_min_clipped` leaves."""
    if "lambda_min_clipped" not in options or options["lambda_min_clipped"] == -math.inf:
        return len(base)
    if spacing == "trailing":
        options.refuse("lambda_min_clipped", "it does not go with timestep_spacing='trailing'")
    least = options.number("lambda_min_clipped")
    kept = int((base.to_log_snr() / 2 >= least).sum())
    if kept == 0:
        options.refuse("lambda_min_clipped", "no trained step has so large a log(alpha/sigma)")
    return kept


def _distilled(options: Options, n: int, steps: int) -> np.ndarray:
    original = options.count("original_inference_steps")
    if original > n:
        options.refuse("original_inference_steps", f"there are {n} training steps")
    if steps > original:
        raise ValueError(f"steps must be at most original_inference_steps={original}, got {steps}")
    of_distillation = np.arange(1, original + 1) * (n // original) - 1
    place = np.floor(np.linspace(0, original, steps, endpoint=False)).astype(np.int64)
    return of_distillation[original - 1 - place][::-1]


def grid(options: Options) -> str | None:
    """Return the name of the grid of noise levels that is asked for, if any.

    Raises:
        ValueError: Two are.
    """
    chosen = [key for key in _GRIDS if options.flag(key)]
    if len(chosen) > 1:
        options.refuse(chosen[0], f"it contradicts {chosen[1]}=True")
    return _GRIDS[chosen[0]] if chosen else None


def levels(name: str, low: float, high: float, steps: int) -> np.ndarray:
    """Return the noise levels of a grid from low to high, rising; the highest if there is one.

    Raises:
        ImportError: "beta" is asked for, and SciPy is not installed.
    """
    u = np.linspace(0, 1, steps) if steps > 1 else np.ones(1)
    if name == "karras":
        values = (low ** (1 / 7) + u * (high ** (1 / 7) - low ** (1 / 7))) ** 7
    elif name in ("exponential", "lu"):
        values = np.exp(math.log(low) + u * math.log(high / low))
    else:
        try:
            from scipy.stats import beta
        except ImportError:
            raise ImportError(
                "use_beta_sigmas needs SciPy: pip install 'schedalg[scipy]'"
            ) from None
        values = low + beta.ppf(u, 0.6, 0.6) * (high - low)
    values[-1] = high
    if steps > 1:
        values[0] = low
    return np.asarray(values, dtype=np.float64)


def timesteps_of(sigma: np.ndarray, base_sigma: np.ndarray) -> np.ndarray:
    """Return the timesteps at noise levels: piecewise linear in log sigma."""
    return np.asarray(np.interp(np.log(sigma), np.log(base_sigma), np.arange(len(base_sigma))))


def whole(told: np.ndarray) -> np.ndarray:
    """Return timesteps cut off to integers; one that is an integer but for rounding stays it."""
    nearest = np.rint(told)
    return np.asarray(np.where(np.abs(told - nearest) < 1e-6, nearest, np.floor(told)))
