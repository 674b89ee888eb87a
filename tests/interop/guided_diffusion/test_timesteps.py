"""The timesteps that networks and classifiers are called with."""

from typing import Any

import pytest
import torch

from schedalg.interop.guided_diffusion import get_named_beta_schedule
from tests.interop.guided_diffusion.textbook import DOUBLE, process, start


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("spacing", [None, "ddim25"])
def test_timesteps_of_the_network_and_the_classifier(spacing: str | None, rescale: bool) -> None:
    betas = get_named_beta_schedule("linear", 4000 if spacing is None else 2000)
    diffusion = process(spacing, betas=betas, rescale=rescale)
    scale = (0.25 if spacing is None else 0.5) if rescale else 1
    passed: list[Any] = []

    def model(x: Any, t: Any, **kwargs: Any) -> Any:
        passed.append(t)
        return torch.cat([x, x], dim=1)

    def gradient(x: Any, t: Any) -> Any:
        passed.append(t)
        return x

    x, t = start().float(), torch.tensor([24, 7])
    out = diffusion.p_mean_variance(model, x, t)
    diffusion.training_losses(model, x, t)
    diffusion.condition_mean(gradient, out, x, t)
    diffusion.condition_score(gradient, out, x, t)
    diffusion.p_sample(model, x, t, cond_fn=gradient)
    step = 80 if spacing else 1
    assert len(passed) == 6
    for timesteps in passed:
        assert timesteps.dtype == (torch.float32 if rescale else torch.int64)
        assert timesteps.tolist() == [24 * step * scale, 7 * step * scale]


def test_rescaled_timesteps_are_float32_whatever_x_is() -> None:
    passed: list[Any] = []

    def model(x: Any, t: Any) -> Any:
        passed.append(t.dtype)
        return torch.cat([x, x], dim=1)

    for dtype in (torch.float16, torch.float32, DOUBLE):
        process("5", rescale=True).p_sample(model, start().to(dtype), torch.tensor([1, 2]))
    assert set(passed) == {torch.float32}
