"""Rounding in float32."""

from typing import Any

import numpy as np
import pytest

from schedalg import Schedule, sample
from schedalg.testing import Mixture
from tests.registry.samplers import SAMPLERS


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_loses_no_more_than_the_path_does(name: str) -> None:
    """From sigma 80 and for a network that puts out the noise: no method amplifies rounding.

    Stages start from the x before them and remembered slopes; were the start of the step recovered
    by dividing by sigma_s/sigma_t, the error would grow by its inverse in the steps near 0.
    """
    schedule = Schedule.karras(18)
    data = Mixture([0.2], [0.5])
    table = {float(np.float32(p.timestep)): p for p in schedule}

    def eps(x: Any, sigma: Any) -> Any:
        told = min(table, key=lambda t: abs(t - float(sigma[0])))
        level = table[told].sigma if abs(told - float(sigma[0])) < 1e-6 * told else float(sigma[0])
        gain = 0.25 / (0.25 + level**2)
        # The noise itself, without the difference x - x0 that would round.
        return (x - 0.2) * ((1 - gain) / level)

    x = np.random.default_rng(2).standard_normal((64, 8)) * 80
    sampler = SAMPLERS[name].sampler
    exact = sample(eps, schedule, sampler, x.astype(np.float32).astype(np.float64), noise=3)
    result = sample(eps, schedule, sampler, x.astype(np.float32), noise=3)
    assert result.dtype == np.float32
    scale = float(data.marginal_std(schedule[0]))
    assert np.abs(result - exact).max() < 2e-5 * scale
