"""The named schedules as lists of betas."""

import math
import sys
from collections.abc import Callable

import numpy as np

from schedalg.checks import in_unit, positive_integer, positive_number, shown
from schedalg.schedule import Schedule


def get_named_beta_schedule(
    schedule_name: str, num_diffusion_timesteps: int, scale_betas: float = 1.0
) -> np.ndarray:
    """Return the betas of "linear" or "cosine" for any number of steps.

    Args:
        schedule_name: "linear", from 0.1 / N to 20 / N, so that any N destroys as much signal; or
            "cosine", whose β is at most 0.999, and which some call "squaredcos_cap_v2".
        num_diffusion_timesteps: N.
        scale_betas: A factor of the betas of "linear"; "cosine" has none.

    Returns:
        (N,), float64.

    Raises:
        TypeError: N is not an integer, or the factor not a number.
        ValueError: The name is unknown; N is below 1, or below 20 with "linear", whose last β
            would exceed 1; or the factor is not above 0, or not 1 with "cosine".

    Example:
        >>> from schedalg.interop.guided_diffusion import get_named_beta_schedule
        >>> get_named_beta_schedule("linear", 1000)[[0, -1]].round(12)
        array([0.0001, 0.02  ])

    Source: Ho et al., arXiv 2006.11239, section 4; Nichol and Dhariwal, arXiv 2102.09672, equation
    17.
    """
    n = positive_integer("num_diffusion_timesteps", num_diffusion_timesteps)
    factor = positive_number("scale_betas", scale_betas)
    name = schedule_name if isinstance(schedule_name, str) else None
    if name in ("cosine", "squaredcos_cap_v2"):
        if factor != 1:
            raise ValueError(
                f"scale_betas={shown(scale_betas)} is for 'linear', not {shown(schedule_name)}"
            )
        return np.asarray(Schedule.cosine(n).to_betas())
    if name != "linear":
        raise ValueError(
            "schedule_name must be 'linear', 'cosine' or 'squaredcos_cap_v2'; got "
            f"{shown(schedule_name)}"
        )
    least = 20 * factor
    if n < least:
        raise ValueError(
            f"num_diffusion_timesteps is {n}: 'linear' needs at least {least:g} (its last beta is "
            f"{least:g} / N)"
        )
    scale = factor * 1000 / n
    if scale * 0.0001 < sys.float_info.min:
        raise ValueError(f"scale_betas is {factor!r}: betas would be too small for float64")
    return np.asarray(Schedule.linear(n, scale * 0.0001, scale * 0.02).to_betas())


def get_beta_schedule(
    beta_schedule: str, *, beta_start: float, beta_end: float, num_diffusion_timesteps: int
) -> np.ndarray:
    """Return betas between two values, as the code of the first paper lists them.

    Args:
        beta_schedule: "linear"; "quad", linear in the square root; "warmup10" and "warmup50",
            linear in the first tenth or half of the steps and `beta_end` after them; "const",
            `beta_end`; "jsd", 1 / N, 1 / (N - 1), ..., 1, whatever the two values.
        beta_start: The first β.
        beta_end: The last β.
        num_diffusion_timesteps: N.

    Returns:
        (N,), float64.

    Raises:
        TypeError: N is not an integer, or a β not a number.
        ValueError: The name is unknown, N is below 1, or a β is outside (0, 1].

    Example:
        >>> from schedalg.interop.guided_diffusion import get_beta_schedule
        >>> get_beta_schedule("quad", beta_start=0.01, beta_end=0.09, num_diffusion_timesteps=3)
        array([0.01, 0.04, 0.09])

    Source: Ho et al., arXiv 2006.11239, and the code published with it.
    """
    n = positive_integer("num_diffusion_timesteps", num_diffusion_timesteps)
    start, end = in_unit("beta_start", beta_start), in_unit("beta_end", beta_end)
    name = beta_schedule if isinstance(beta_schedule, str) else None
    if name == "linear":
        return np.linspace(start, end, n)
    if name == "quad":
        return np.asarray(np.linspace(math.sqrt(start), math.sqrt(end), n) ** 2)
    if name == "jsd":
        return 1 / np.arange(n, 0, -1)
    rising = {"const": 0.0, "warmup10": 0.1, "warmup50": 0.5}
    if name not in rising:
        names = ", ".join(map(repr, ("linear", "quad", *rising, "jsd")))
        raise ValueError(f"beta_schedule must be one of {names}; got {shown(beta_schedule)}")
    betas = np.full(n, end)
    first = int(n * rising[name])
    betas[:first] = np.linspace(start, end, first)
    return betas


def betas_for_alpha_bar(
    num_diffusion_timesteps: int, alpha_bar: Callable[[float], float], max_beta: float = 0.999
) -> np.ndarray:
    """Return the betas that follow a function ᾱ(t) of time in [0, 1].

    β_i = min(1 - ᾱ((i+1)/N) / ᾱ(i/N), max_beta).

    Args:
        num_diffusion_timesteps: N.
        alpha_bar: ᾱ as a function of a float.
        max_beta: The largest β, which keeps the last step from destroying all signal.

    Returns:
        (N,), float64.

    Raises:
        TypeError: N is not an integer, or `alpha_bar` not a function.
        ValueError: N is below 1, `max_beta` is not in (0, 1], or ᾱ does not decrease.

    Example:
        >>> from schedalg.interop.guided_diffusion import betas_for_alpha_bar
        >>> betas_for_alpha_bar(3, lambda t: 1 - t).round(3)
        array([0.333, 0.5  , 0.999])

    Source: Nichol and Dhariwal, arXiv 2102.09672, section 3.2.
    """
    n = positive_integer("num_diffusion_timesteps", num_diffusion_timesteps)
    return np.asarray(Schedule.from_alpha_bar(alpha_bar, n, max_beta=max_beta).to_betas())
