"""The grids of noise levels: `use_karras_sigmas` and its like."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.trained import sigmas_at
from schedalg.schedule import Schedule

#: Options of a grid, with their defaults.
GRIDS: Final[Mapping[str, Any]] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}

_NAMES: Final[Mapping[str, str]] = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
}


def asked(options: Options) -> str | None:
    """Return the name of the grid that the options ask for, or None.

    Raises:
        ValueError: They ask for two grids, or for a grid on a schedule with zero terminal SNR.
    """
    keys = [key for key in _NAMES if options.flag(key)]
    if not keys:
        return None
    name = _NAMES[keys[0]]
    if len(keys) > 1:
        options.refuse(keys[0], f"it contradicts {keys[1]}=True")
    if options.flag("rescale_betas_zero_snr"):
        options.refuse("rescale_betas_zero_snr", f"a {name} grid has no infinite largest sigma")
    return name


def between(
    options: Options, base: Schedule, name: str, steps: int, ends: np.ndarray
) -> np.ndarray:
    """Return the noise levels sigma/alpha of a grid, rising.

    Args:
        options: The configuration; its `sigma_min` and `sigma_max`, if set, are the ends of the
            grid.
        base: The trained schedule.
        name: The grid.
        steps: The number of noise levels.
        ends: The first and the last timestep, for the ends that the options do not set.

    Raises:
        ValueError: The lowest noise level is not above 0, or not below the highest, or that is
            infinite.
        ImportError: The grid is "beta", and SciPy is not installed.
    """
    keys = ("sigma_min", "sigma_max")
    low, high = (
        options.number(key) if options.is_set(key) else float(sigma)
        for key, sigma in zip(keys, sigmas_at(base, ends), strict=True)
    )
    if high == math.inf:
        raise ValueError(
            f"trained_betas of {options.name}: the last is 1, where the grid {name!r} would be "
            "infinite"
        )
    if not 0 < low < high and steps > 1:
        raise ValueError(f"sigma_min must be above 0 and below sigma_max, got {low!r} and {high!r}")
    return grid(name, low, high, steps)


def grid(name: str, low: float, high: float, steps: int) -> np.ndarray:
    """Return the values of a grid from low to high, rising; `high` alone if `steps` is 1.

    Raises:
        ImportError: The grid is "beta", and SciPy is not installed.
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
