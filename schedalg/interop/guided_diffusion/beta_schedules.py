"""The named schedules as lists of betas."""

from collections.abc import Callable

import numpy as np

from schedalg.checks import positive_integer, shown
from schedalg.schedule import Schedule


def get_named_beta_schedule(schedule_name: str, num_diffusion_timesteps: int) -> np.ndarray:
    """Return the betas of "linear" or "cosine" for any number of steps.

    Args:
        schedule_name: "linear", from 0.1 / N to 20 / N, so that any N destroys as much signal; or
            "cosine", whose β is at most 0.999.
        num_diffusion_timesteps: N.

    Returns:
        (N,), float64.

    Raises:
        TypeError: N is not an integer.
        ValueError: The name is unknown; N is below 1, or below 20 with "linear", whose last β
            would exceed 1.

    Example:
        >>> from schedalg.interop.guided_diffusion import get_named_beta_schedule
        >>> get_named_beta_schedule("linear", 1000)[[0, -1]].round(12)
        array([0.0001, 0.02  ])

    Source: Ho et al., arXiv 2006.11239, section 4; Nichol and Dhariwal, arXiv 2102.09672, equation
    17.
    """
    n = positive_integer("num_diffusion_timesteps", num_diffusion_timesteps)
    name = schedule_name if isinstance(schedule_name, str) else None
    if name == "cosine":
        return np.asarray(Schedule.cosine(n).to_betas())
    if name != "linear":
        raise ValueError(f"schedule_name must be 'linear' or 'cosine'; got {shown(schedule_name)}")
    if n < 20:
        raise ValueError(
            f"num_diffusion_timesteps is {n}: 'linear' needs at least 20 (its last beta is 20 / N)"
        )
    scale = 1000 / n
    return np.asarray(Schedule.linear(n, scale * 0.0001, scale * 0.02).to_betas())


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
