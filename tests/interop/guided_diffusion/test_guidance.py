"""Guidance by a classifier."""

import math
from typing import Any

import pytest
import torch

from schedalg.interop.guided_diffusion import ModelVarType
from tests.interop.guided_diffusion.textbook import (
    DOUBLE,
    LEARNED,
    SHAPE,
    Plain,
    close,
    network,
    process,
    selected_by,
    start,
)


def towards(x: Any, t: Any, y: Any) -> Any:
    return torch.sin(x * (1 + t[:, None, None, None] / 500)) + y[:, None, None, None]


@pytest.mark.parametrize("var", [ModelVarType.LEARNED_RANGE, ModelVarType.FIXED_SMALL])
def test_classifier_guidance_of_loops(var: ModelVarType) -> None:
    model, x = network(6 if var in LEARNED else 3), start()
    y = torch.tensor([0.5, -1.0], dtype=DOUBLE)
    diffusion, plain = process("8", var=var), Plain(selected_by("8"), var=var)
    kwargs: dict[str, Any] = {"cond_fn": towards, "model_kwargs": {"y": y}}
    torch.manual_seed(9)
    first = diffusion.p_sample_loop(model, SHAPE, x, **kwargs)
    second = diffusion.ddim_sample_loop(model, SHAPE, x, eta=0.3, **kwargs)
    torch.manual_seed(9)
    with torch.no_grad():
        close(first, plain.ddpm(model, x, cond=towards, y=y))
        close(second, plain.ddim(model, x, 0.3, cond=towards, y=y))


def test_condition_mean_and_score() -> None:
    diffusion, model, x, t = process("8"), network(), start(), torch.tensor([0, 5])
    y = torch.zeros(2, dtype=DOUBLE)
    out = diffusion.p_mean_variance(model, x, t, model_kwargs={"y": y})
    original = torch.tensor([0, selected_by("8")[5]])
    gradient = towards(x, original, y)
    mean = diffusion.condition_mean(towards, out, x, t, {"y": y})
    close(mean, out["mean"] + out["variance"] * gradient)
    guided = diffusion.condition_score(towards, out, x, t, {"y": y})
    bar = torch.tensor(diffusion.alphas_cumprod)[t][:, None, None, None]
    x0 = out["pred_xstart"] + (1 - bar) / bar.sqrt() * gradient
    close(guided["pred_xstart"], x0)
    assert (guided["pred_xstart"].abs() > 1).any()  # not clamped again
    close(guided["mean"], diffusion.q_posterior_mean_variance(x0, x, t)[0])
    assert guided["log_variance"] is out["log_variance"]
    assert out["pred_xstart"].abs().max() <= 1  # what was given is not changed


def test_random_numbers_of_a_classifier_come_where_they_came() -> None:
    def noisy(x: Any, t: Any) -> Any:
        return torch.randn_like(x)

    model, x, t = network(), start(), torch.tensor([3, 3])
    diffusion = process("8")
    out = diffusion.p_mean_variance(model, x, t)
    torch.manual_seed(0)
    sample = diffusion.p_sample(model, x, t, cond_fn=noisy)["sample"]
    torch.manual_seed(0)
    z, gradient = torch.randn_like(x), torch.randn_like(x)
    close(sample, out["mean"] + out["variance"] * gradient + out["variance"].sqrt() * z)
    torch.manual_seed(0)
    sample = diffusion.ddim_sample(model, x, t, cond_fn=noisy, eta=1.0)["sample"]
    torch.manual_seed(0)
    guided = diffusion.condition_score(noisy, out, x, t)
    std = math.sqrt(diffusion.posterior_variance[3])
    close(sample, guided["mean"] + std * torch.randn_like(x))  # with eta 1, DDIM is DDPM
