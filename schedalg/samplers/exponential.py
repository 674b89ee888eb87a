"""Steps of exponential integrators in lambda, half the log-SNR: the linear part in x is exact.

    data:  x_s = (sigma_s/sigma_t) e^(-eta h) x_t + alpha_s Σ w_j x0_j + noise
    noise: x_s = (alpha_s/alpha_t) x_t - sigma_s Σ w_j eps_j

with h = lambda_s - lambda_t. The weights integrate q e^(-q(h - u)), q = 1 + eta, or e^(h - u),
times the polynomial through the predictions, over u from 0 to h. eta is the strength
of new noise: 0 for the ODE, 1 for the SDE.

Source: Lu et al., arXiv 2211.01095, proposition 4.1 and appendix B; Zhang and Chen, arXiv
2204.13902, equation 13.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from schedalg.arrays import Array, holds
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.phi import phis

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


def data_moments(steps: Steps, count: int, eta: float = 0.0) -> list[Array]:
    """Return ∫ q e^(-q(h - u)) (u/h)^k du for k = 0 … count - 1, of every step."""
    q, h = 1 + eta, steps.finite_h
    first = -steps.xp.expm1(-q * steps.h) if eta else steps.rise
    if count == 1:
        return [first]
    later = phis(steps.xp, range(2, count + 1), -q * h)
    return [first] + [q * h * math.factorial(k) * value for k, value in enumerate(later, 1)]


def noise_moments(steps: Steps, count: int) -> list[Array]:
    """Return ∫ e^(h - u) (u/h)^k du for k = 0 … count - 1, of every step."""
    h = steps.finite_h
    values = phis(steps.xp, range(1, count + 1), h)
    return [h * math.factorial(k) * value for k, value in enumerate(values)]


def x_coefficient(steps: Steps, eta: float) -> Array:
    """Return the coefficient of x_t in the data form: (sigma_s/sigma_t) e^(-eta h)."""
    ratio = steps.sigma_s / steps.sigma_t
    if eta <= 1:
        return ratio * steps.decay**eta if eta else ratio
    # A high power multiplies what decay was rounded by; the exponent of a short step is more exact.
    h = steps.finite_h
    return ratio * steps.where(
        steps.finite & holds(h < 1), steps.xp.exp(-eta * h), steps.decay**eta
    )


def new_noise(steps: Steps, eta: float) -> Array | None:
    """Return the coefficient of new noise, sigma_s sqrt(1 - e^(-2 eta h)), or None if eta is 0."""
    if eta == 0:
        return None
    return steps.sigma_s * (-steps.xp.expm1(-2 * eta * steps.h)) ** 0.5


def _signal_ratio(steps: Steps) -> Array:
    """Return alpha_s / alpha_t, the coefficient of x_t in the noise form; 1 if alpha_t is 0."""
    signal = holds(steps.alpha_t > 0)
    return steps.alpha_s / steps.where(signal, steps.alpha_t, steps.alpha_s)


def newest_alone(steps: Steps, width: int) -> Array:
    """Return coefficients that use the newest x0 prediction alone, for steps with infinite h."""
    return steps.alpha_s[:, None] * steps.array(np.eye(1, width))


def noise_form(schedule: "Schedule", steps: Steps, w: Array) -> Plan:
    """Return x_s = (alpha_s/alpha_t) x_t - sigma_s Σ w_j eps_j as a table.

    Steps with infinite h use the newest x0 prediction in place of the noise prediction.

    Args:
        schedule: The path.
        steps: Its steps.
        w: (N, m), weights of the last noise predictions, newest first.
    """
    b = -steps.sigma_s[:, None] * w
    return Plan.of(
        schedule,
        a=steps.where(steps.finite, _signal_ratio(steps), steps.sigma_s / steps.sigma_t),
        b=steps.where(steps.finite, b, newest_alone(steps, w.shape[1])),
        memory=(np.where(steps.finite, 0.0, 1.0), np.where(steps.finite, 1.0, 0.0)),
    )
