"""A network, and the few samplers that running is tried with.

`exact_network` is of Gaussian data N(mean, spread²), for which the optimal network and the exact
flow are known.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schedalg import DDIM, DDPM, DPMSolverPP, Euler, Plan, Sampler, Schedule, UniPC
from tests.registry.references import StepDDIM, StepDDPM

STEPPERS: dict[str, StepDDPM | StepDDIM] = {
    "DDPM, steps": StepDDPM(),
    "DDPM large, steps": StepDDPM("fixed_large"),
    "DDIM, steps": StepDDIM(),
    "DDIM 0.5, steps": StepDDIM(0.5),
    "DDIM 1, steps": StepDDIM(1.0),
}
SAMPLERS: dict[str, Sampler] = {
    "DDPM": DDPM(),
    "DDPM large": DDPM("fixed_large"),
    "DDIM": DDIM(),
    "DDIM 0.5": DDIM(0.5),
    "DDIM 1": DDIM(1.0),
    **STEPPERS,
}
EVERY_SAMPLER = pytest.mark.parametrize(
    "sampler", [pytest.param(sampler, id=name) for name, sampler in SAMPLERS.items()]
)
EVERY_STEPPER = pytest.mark.parametrize(
    "sampler", [pytest.param(sampler, id=name) for name, sampler in STEPPERS.items()]
)


def plans_of_all_kinds(fast: Schedule) -> list[Plan]:
    """Plans whose samples share a pool: memories, noise, learned variance, scaled inputs, churn."""
    learned = DDPM("learned_range").plan(fast[:3])
    return [
        UniPC(3).plan(fast),
        DDIM().plan(fast.as_ve()),
        replace(learned, c=0.5 * learned.c),
        DPMSolverPP(2, eta=1.0).plan(fast),
        DDPM().plan(fast),
        Euler(s_churn=2.0).plan(fast).round_timesteps(),
        UniPC(2).plan(fast[:3]),
    ]


def network(x: Any, timesteps: Any) -> Any:
    """Any smooth function of x, in any library."""
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


def exact_network(schedule: Schedule, mean: float, spread: float) -> Callable[..., Any]:
    """Return E[x0 | x] for Gaussian data, at the timesteps of a schedule."""
    table = {p.timestep: (p.alpha, p.sigma) for p in schedule}

    def model(x: Any, timesteps: Any) -> Any:
        alpha, sigma = table[timesteps[0].item()]
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        return mean + gain * (x - alpha * mean)

    return model
