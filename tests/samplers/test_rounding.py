"""Rounding in float32."""

from typing import Any

import numpy as np
import pytest

from schedalg import Schedule, sample
from schedalg.testing import Mixture
from tests.registry.samplers import SAMPLERS


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_loses_no_more_than_the_path_does(name: str) -> None:
    """From sigma 80 and for a network that predicts the noise, no method amplifies rounding.

    A stage starts from the x of the stage before. If it recovered the x at the start of the step
    by a division by sigma_s/sigma_t, the error would grow by the inverse in the steps near 0.
    """
    schedule = Schedule.karras(18)
    data = Mixture([0.2], [0.5])
    points = {float(np.float32(p.timestep)): p for p in schedule}

    def eps(x: Any, sigma: Any) -> Any:
        nearest = min(points, key=lambda t: abs(t - float(sigma[0])))
        level = float(sigma[0])
        if abs(nearest - level) < 1e-6 * nearest:
            level = points[nearest].sigma
        gain = 0.25 / (0.25 + level**2)
        # eps directly, without the rounding of the difference x - x0.
        return (x - 0.2) * ((1 - gain) / level)

    x = np.random.default_rng(2).standard_normal((64, 8)) * 80
    sampler = SAMPLERS[name].sampler
    exact = sample(eps, schedule, sampler, x.astype(np.float32).astype(np.float64), noise=3)
    result = sample(eps, schedule, sampler, x.astype(np.float32), noise=3)
    assert result.dtype == np.float32
    scale = float(data.marginal_std(schedule[0]))
    assert np.abs(result - exact).max() < 2e-5 * scale
