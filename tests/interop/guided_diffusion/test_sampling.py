"""Images of a seed are those of loops written from the papers, in float64."""

import sys
from typing import Any

import numpy as np
import pytest
import torch

from schedalg.interop.guided_diffusion import LossType, ModelMeanType, ModelVarType
from tests.interop.guided_diffusion.textbook import (
    DOUBLE,
    LEARNED,
    LINEAR,
    SHAPE,
    Plain,
    close,
    images,
    network,
    process,
    selected_by,
    start,
)


@pytest.mark.parametrize("spacing", ["250", "ddim25", "10,15,20"])
def test_ancestral_images_of_a_seed(spacing: str) -> None:
    model, x = network(), start()
    torch.manual_seed(11)
    image = process(spacing).p_sample_loop(model, SHAPE, noise=x)
    after = torch.rand(1)
    torch.manual_seed(11)
    with torch.no_grad():
        expected = Plain(selected_by(spacing)).ddpm(model, x)
    assert after == torch.rand(1)
    assert not image.requires_grad
    close(image, expected)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_images_of_a_seed(eta: float) -> None:
    model, x = network(), start()
    torch.manual_seed(12)
    image = process("ddim25").ddim_sample_loop(model, SHAPE, noise=x, eta=eta)
    after = torch.rand(1)
    torch.manual_seed(12)
    with torch.no_grad():
        expected = Plain(selected_by("ddim25")).ddim(model, x, eta)
    assert after == torch.rand(1)  # drawn also where eta is 0
    close(image, expected)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("mean", list(ModelMeanType))
@pytest.mark.parametrize("var", list(ModelVarType))
def test_every_kind_of_network(var: ModelVarType, mean: ModelMeanType, clip: bool) -> None:
    model, x = network(6 if var in LEARNED else 3), 0.3 * start()
    diffusion, plain = process("5,3", mean, var), Plain(selected_by("5,3"), mean, var)

    def brighter(x0: Any) -> Any:
        return 1.1 * x0 + 0.2

    torch.manual_seed(1)
    ours = diffusion.p_sample_loop(model, SHAPE, x, clip_denoised=clip, denoised_fn=brighter)
    deterministic = diffusion.ddim_sample_loop(
        model, SHAPE, x, clip_denoised=clip, denoised_fn=brighter
    )
    torch.manual_seed(1)
    with torch.no_grad():
        close(ours, plain.ddpm(model, x, clip, brighter), 1e-8)
        close(deterministic, plain.ddim(model, x, 0.0, clip, brighter), 1e-8)
        for k in (0, 4):
            t = torch.full((2,), k)
            out = diffusion.p_mean_variance(model, x, t, clip, brighter)
            expected = plain.gaussian(model, x, k, clip, brighter)
            names = ("mean", "log_variance", "pred_xstart")
            for name, values in zip(names, expected, strict=True):
                assert out[name].shape == x.shape
                close(out[name], values, 1e-8)
            variance = expected[1].exp()
            if var is ModelVarType.FIXED_SMALL and k == 0:
                variance = torch.zeros_like(x)
            close(out["variance"], variance)


def test_float32_and_a_start_drawn_from_the_seed() -> None:
    model = network(dtype=torch.float32)
    torch.manual_seed(2)
    image = process("ddim25").p_sample_loop(model, SHAPE)
    torch.manual_seed(2)
    with torch.no_grad():
        expected = Plain(selected_by("ddim25")).ddpm(model, torch.randn(*SHAPE))
    assert image.dtype == torch.float32
    close(image, expected, 1e-4)


def test_progressive_loops_leave_the_callers_autograd_alone() -> None:
    model, x, weight = network(), start(), torch.ones(1, requires_grad=True)
    for loop in (process("4").p_sample_loop_progressive, process("4").ddim_sample_loop_progressive):
        steps = []
        for out in loop(model, SHAPE, noise=x):
            assert set(out) == {"sample", "pred_xstart"}
            assert (weight * 2).requires_grad
            steps.append(out["sample"])
        assert len(steps) == 4
        close(steps[-1], out["pred_xstart"])  # no noise in the last step


def test_ddim_reversed_and_back() -> None:
    eps = start(8)
    diffusion = process("8", var=ModelVarType.FIXED_SMALL)

    def model(x: Any, t: Any) -> Any:
        return eps

    x, here, there = start(), torch.tensor([2, 5]), torch.tensor([3, 6])
    up = diffusion.ddim_reverse_sample(model, x, here, clip_denoised=False)["sample"]
    down = diffusion.ddim_sample(model, up, there, clip_denoised=False)["sample"]
    close(down, x)
    last = torch.tensor([7, 7])
    close(diffusion.ddim_reverse_sample(model, x, last, clip_denoised=False)["sample"], eps)


def test_a_schedule_of_one_step_and_one_that_ends_in_pure_noise() -> None:
    one = process([999], ModelMeanType.START_X, ModelVarType.FIXED_LARGE)
    model = network(3)
    out = one.p_mean_variance(model, start(), torch.tensor([0, 0]))
    assert torch.isfinite(out["log_variance"]).all()
    assert torch.isfinite(one.p_sample_loop(model, SHAPE, noise=start())).all()
    betas = np.append(LINEAR[:9], 1.0)
    zero = process(None, ModelMeanType.START_X, ModelVarType.FIXED_SMALL, betas=betas)
    assert torch.isfinite(zero.ddim_sample_loop(model, SHAPE, noise=start(), eta=0.5)).all()
    assert torch.isfinite(zero.p_sample_loop(model, SHAPE, noise=start())).all()
    inner = process(None, var=ModelVarType.FIXED_SMALL, betas=betas)
    inner.training_losses(model, images(), torch.tensor([9, 0]))  # needs no x0
    message = "EPSILON does not determine x0 where the last beta is 1"
    with pytest.raises(ValueError, match=message):
        inner.p_sample_loop(model, SHAPE, noise=start())
    with pytest.raises(ValueError, match=message):
        zero.condition_score(model, {}, start(), torch.tensor([1, 1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: Any) -> None:
    model = network(dtype=dtype)
    diffusion = process("5", loss=LossType.RESCALED_MSE)
    inside = diffusion.p_sample_loop(model, SHAPE, noise=start().float())  # half within alone
    assert inside.dtype == torch.float32
    dtypes = []

    def strict(x: Any, t: Any) -> Any:
        dtypes.append(x.dtype)
        return model(x, t)

    halves = diffusion.p_sample_loop(strict, SHAPE, noise=start().to(dtype))
    halves = diffusion.ddim_sample_loop(strict, SHAPE, noise=halves)
    assert set(dtypes) == {halves.dtype} == {dtype}
    assert torch.isfinite(halves).all()
    losses = diffusion.training_losses(strict, images().to(dtype), torch.tensor([0, 4]))
    assert losses["loss"].dtype == torch.float32
    losses["loss"].sum().backward()
    exact = network(dtype=DOUBLE)
    with torch.no_grad():
        x, t = start(), torch.tensor([1, 3])
        rounded = diffusion.p_mean_variance(lambda x, t: exact(x, t).to(dtype), x, t)
        close(rounded["mean"], diffusion.p_mean_variance(exact, x, t)["mean"], 0.02)


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    diffusion, model = process("5"), network()
    diffusion.p_sample_loop(model, SHAPE, noise=start(), progress=True)
    assert "5/5" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"pip install 'schedalg\[progress\]'"):
        diffusion.p_sample_loop(model, SHAPE, noise=start(), progress=True)
