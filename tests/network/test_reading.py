"""How x0 is computed from a network's output."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Denoiser, Parameterization, Schedule, sample
from tests.registry.schedules import on_every_schedule


def readable(schedule: Schedule) -> list[int]:
    """Return the points with enough signal that x0 can be recovered from the rounded x."""
    enough = (schedule.alpha > 1e-4) & (schedule.sigma < 1e4) & (schedule.as_vp().alpha > 1e-4)
    return list(np.flatnonzero(enough))


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@on_every_schedule((1, 12), readable)
def test_a_perfect_network_is_read_right(schedule: Schedule, prediction: Any) -> None:
    """`Denoiser` recovers x0 from `target`, the training target of a network."""
    rng = np.random.default_rng(0)
    x0, eps = rng.standard_normal((2, 3, 2))
    for k in readable(schedule):
        point = schedule[k]
        output = schedule.target(x0, eps, k, prediction)
        x = schedule.add_noise(x0, eps, k)
        denoised = Denoiser(lambda x, t, y=output: y, schedule, prediction)(x, point)
        np.testing.assert_allclose(denoised, x0, rtol=1e-9, atol=1e-9)


def test_no_gradient_of_a_parameterization_is_lost() -> None:
    torch = pytest.importorskip("torch")
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    scaled = Parameterization(lambda alpha, sigma: 0.0, lambda alpha, sigma: scale)
    x = torch.ones(1, 2, dtype=torch.float64)
    schedule = Schedule.linear(4)
    with pytest.raises(TypeError, match="c_out of the parameterization requires a gradient"):
        sample(lambda x, t: x, schedule, DDIM(), x, prediction=scaled)
    denoised = Denoiser(lambda x, t: x, schedule, scaled)(x, schedule[2])
    (slope,) = torch.autograd.grad(denoised.sum(), scale)
    assert slope == 2
