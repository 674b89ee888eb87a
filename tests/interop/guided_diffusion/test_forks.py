"""What repositories with copies of OpenAI's code add to it, or have of their own in its place."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from schedalg.interop.guided_diffusion import (
    GaussianDiffusion,
    LossType,
    ModelMeanType,
    ModelVarType,
    SpacedDiffusion,
    get_beta_schedule,
    get_named_beta_schedule,
    space_timesteps,
)
from schedalg.interop.guided_diffusion import gaussian_diffusion as gd
from tests.interop.guided_diffusion.textbook import (
    DOUBLE,
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

KINDS: dict[str, Any] = {
    "betas": LINEAR,
    "model_mean_type": ModelMeanType.EPSILON,
    "model_var_type": ModelVarType.LEARNED_RANGE,
    "loss_type": LossType.MSE,
}


def test_the_cosine_schedule_by_its_other_name() -> None:
    betas = get_named_beta_schedule("squaredcos_cap_v2", 50)
    np.testing.assert_array_equal(betas, get_named_beta_schedule("cosine", 50))


def test_a_scale_of_the_linear_betas() -> None:
    betas = get_named_beta_schedule("linear", 1000, 0.5)
    np.testing.assert_allclose(betas, np.linspace(0.5e-4, 0.01, 1000), rtol=1e-12)
    named = get_named_beta_schedule("linear", 1000, scale_betas=0.5)
    np.testing.assert_array_equal(betas, named)
    assert len(get_named_beta_schedule("linear", 10, 0.5)) == 10
    with pytest.raises(ValueError, match="'linear' needs at least 40"):
        get_named_beta_schedule("linear", 39, 2.0)
    with pytest.raises(ValueError, match=r"scale_betas=2\.0 is for 'linear', not 'cosine'"):
        get_named_beta_schedule("cosine", 39, 2.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [0.1, 0.2, 0.3, 0.4]),
        ("quad", [(math.sqrt(0.1) * (3 - k) / 3 + math.sqrt(0.4) * k / 3) ** 2 for k in range(4)]),
        ("const", [0.4] * 4),
        ("warmup50", [0.1, 0.4, 0.4, 0.4]),
        ("warmup10", [0.4] * 4),
        ("jsd", [1 / 4, 1 / 3, 1 / 2, 1.0]),
    ],
)
def test_betas_between_two_values(name: str, expected: list[float]) -> None:
    betas = get_beta_schedule(name, beta_start=0.1, beta_end=0.4, num_diffusion_timesteps=4)
    np.testing.assert_allclose(betas, expected, rtol=1e-14)
    assert GaussianDiffusion(**{**KINDS, "betas": betas}).num_timesteps == 4
    with pytest.raises(ValueError, match="beta_schedule must be one of 'linear', 'quad'"):
        get_beta_schedule("cubic", beta_start=0.1, beta_end=0.4, num_diffusion_timesteps=4)
    with pytest.raises(ValueError, match="beta_end must be in"):
        get_beta_schedule(name, beta_start=0.1, beta_end=1.4, num_diffusion_timesteps=4)


def test_the_spacing_fast27() -> None:
    """Sections of 10, 10, 3, 2 and 2, with the noisiest timestep moved by two."""
    chosen = space_timesteps(1000, "fast27")
    assert len(chosen) == 27
    assert chosen == space_timesteps(1000, "10,10,3,2,2") - {999} | {997}
    with pytest.raises(ValueError, match="section_counts is 'fast28'"):
        space_timesteps(1000, "fast28")


def test_names_that_others_have_in_one_module() -> None:
    assert gd.SpacedDiffusion is SpacedDiffusion
    from schedalg.interop.guided_diffusion.gaussian_diffusion import space_timesteps as beside

    assert beside is space_timesteps
    close(gd.mean_flat(tensor=images()), images().mean(dim=(1, 2, 3)))
    with pytest.raises(AttributeError, match="no attribute 'Spaced'"):
        gd.Spaced  # noqa: B018


def test_kinds_by_their_names() -> None:
    spelt = {"model_mean_type": "x_start", "model_var_type": "fixed_large", "loss_type": "kl"}
    diffusion = GaussianDiffusion(betas=LINEAR, **spelt)
    assert diffusion.model_mean_type is ModelMeanType.START_X
    assert diffusion.model_var_type is ModelVarType.FIXED_LARGE
    assert diffusion.loss_type is LossType.KL
    for name, member in (("epsilon", "EPSILON"), ("x_prev", "PREVIOUS_X"), ("v", "VELOCITY")):
        kinds = {**KINDS, "model_mean_type": name}
        assert GaussianDiffusion(**kinds).model_mean_type is ModelMeanType[member]


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0, 2.5])
def test_temperature_multiplies_the_noise(temperature: float) -> None:
    diffusion, plain, model = process("12"), Plain(selected_by("12")), network()
    torch.manual_seed(2)
    result = diffusion.p_sample_loop(model, SHAPE, noise=start(), temperature=temperature)
    torch.manual_seed(2)
    x = start()
    for k in reversed(range(12)):
        mean, log_var, _ = plain.gaussian(model, x, k, clip=True)
        noise = torch.randn_like(x)
        x = mean + (k > 0) * temperature * torch.exp(log_var / 2) * noise
    close(result, x, 1e-8)
    with pytest.raises(ValueError, match=r"temperature must be at least 0, got -0\.5"):
        diffusion.p_sample(model, x, torch.tensor([1, 1]), temperature=-0.5)


def test_ddim_in_reverse_with_the_gradient_of_a_classifier() -> None:
    diffusion, plain, model = process("12"), Plain(selected_by("12")), network()
    x, t = start(), torch.tensor([3, 3])

    def gradient(x: Any, t: Any) -> Any:
        return 0.2 * torch.sin(x) + t.view(-1, 1, 1, 1) / 1000

    result = diffusion.ddim_reverse_sample(model, x, t, clip_denoised=False, cond_fn=gradient)
    bar, after = plain.bar[3], plain.bar[4]
    x0 = plain.gaussian(model, x, 3, clip=False)[2]
    told = torch.full((2,), plain.selected[3])
    eps = (x - math.sqrt(bar) * x0) / math.sqrt(1 - bar) - math.sqrt(1 - bar) * gradient(x, told)
    x0 = (x - math.sqrt(1 - bar) * eps) / math.sqrt(bar)
    close(result["sample"], math.sqrt(after) * x0 + math.sqrt(1 - after) * eps, 1e-8)
    close(result["pred_xstart"], x0, 1e-8)


@pytest.mark.parametrize("kind", ["epsilon", "start_x", "velocity"])
def test_weights_by_the_signal_to_noise_ratio(kind: str) -> None:
    """The squared error of x0 has the weight min(SNR, γ), whatever the network predicts."""
    plain = GaussianDiffusion(**{**KINDS, "model_mean_type": kind})
    weighted = GaussianDiffusion(**{**KINDS, "model_mean_type": kind}, min_snr=5.0)
    model, t = network(), torch.tensor([20, 700])
    torch.manual_seed(0)
    before = plain.training_losses(model, images(), t)
    torch.manual_seed(0)
    after = weighted.training_losses(model, images(), t)
    snr = plain.schedule.alpha[t] ** 2 / plain.schedule.sigma[t] ** 2
    assert snr[0] > 5 > snr[1]
    capped = np.minimum(snr, 5)
    weight = {"epsilon": capped / snr, "start_x": capped, "velocity": capped / (snr + 1)}[kind]
    close(after["mse"], before["mse"] * torch.tensor(weight))
    close(after["vb"], before["vb"])
    close(after["loss"], after["mse"] + after["vb"])


def test_what_is_not_supported_is_refused_by_name() -> None:
    GaussianDiffusion(**KINDS, snr=False, return_startx=False)
    for name in ("snr", "return_startx"):
        with pytest.raises(ValueError, match=rf"{name}=True is not supported"):
            SpacedDiffusion([0, 500], **KINDS, **{name: True})
    with pytest.raises(ValueError, match="min_snr does not go with PREVIOUS_X"):
        GaussianDiffusion(**{**KINDS, "model_mean_type": "previous_x"}, min_snr=5)
    with pytest.raises(TypeError, match="lambda_vel"):
        GaussianDiffusion(**KINDS, **{"lambda_vel": 1.0})
    diffusion, model = process("5"), network()
    for name in ("skip_timesteps", "init_image", "randomize_class", "postprocess_fn"):
        with pytest.raises(TypeError, match=name):
            diffusion.p_sample_loop(model, SHAPE, device="cpu", **{name: 1})


@pytest.mark.parametrize("frames", [3, 4])
def test_video_with_its_channels_on_either_axis(frames: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, frames, 4, 4, generator=generator, dtype=DOUBLE)

    def first(x: Any, t: Any) -> Any:
        return torch.cat([0.3 * x + x.roll(1, 2) / 9, torch.tanh(x)], dim=1)

    def second(x: Any, t: Any) -> Any:
        return first(x.transpose(1, 2), t).transpose(1, 2)

    diffusion, t = process("8"), torch.tensor([2, 5])
    runs: list[Callable[[Any, Any], Any]] = [
        lambda model, x: diffusion.p_sample_loop(model, x.shape, noise=x, temperature=0.0),
        lambda model, x: diffusion.ddim_sample_loop(model, x.shape, noise=x),
        lambda model, x: diffusion.training_losses(model, x, t, noise=x.cos())["loss"],
    ]
    for run in runs:
        expected, result = run(first, x), run(second, x.transpose(1, 2))
        close(result.transpose(1, 2) if result.ndim > 1 else result, expected)
    with pytest.raises(ValueError, match="the model's output must have shape"):
        diffusion.p_mean_variance(lambda x, t: torch.cat([x, x], dim=3), x, t)


def test_what_a_network_returns_beside_its_output() -> None:
    diffusion, model, t = process("8"), network(), torch.tensor([2, 5])
    expected = diffusion.p_mean_variance(model, start(), t)
    result = diffusion.p_mean_variance(lambda x, t: (model(x, t), "maps"), start(), t)
    assert result.pop("extra") == "maps"
    assert set(expected) == set(result)
    close(result["mean"], expected["mean"])
    both = [
        diffusion.training_losses(network, images(), t, noise=start())["loss"]
        for network in (model, lambda x, t: (model(x, t), "maps"))
    ]
    close(*both)


def test_helpers_can_be_called_and_imported() -> None:
    diffusion, t = process("8"), torch.tensor([2, 5])
    bar = torch.tensor(diffusion.alphas_cumprod)[t].view(-1, 1, 1, 1)
    x, eps = start(), start(9)
    x0 = diffusion._predict_xstart_from_eps(x_t=x, t=t, eps=eps)
    close(x0, (x - (1 - bar).sqrt() * eps) / bar.sqrt())
    close(diffusion._predict_eps_from_xstart(x, t, x0), eps, 1e-8)
    previous = diffusion.q_posterior_mean_variance(x0, x, t)[0]
    close(diffusion._predict_xstart_from_xprev(x_t=x, t=t, xprev=previous), x0, 1e-8)
    values = gd._extract_into_tensor(diffusion.alphas_cumprod, t, x.shape)
    assert values.shape == x.shape
    assert values.dtype == torch.float32
    close(values, bar.expand(x.shape).float())


@pytest.mark.filterwarnings("error")
def test_a_subclass_with_helpers_of_its_own() -> None:
    """They are called as methods, wherever the original calls them."""
    calls: list[str] = []

    class Mine(SpacedDiffusion):
        def _predict_xstart_from_eps(self, x_t: Any, t: Any, eps: Any) -> Any:
            calls.append("xstart")
            return 0.5 * super()._predict_xstart_from_eps(x_t, t, eps)

        def _predict_eps_from_xstart(self, x_t: Any, t: Any, pred_xstart: Any) -> Any:
            calls.append("eps")
            return super()._predict_eps_from_xstart(x_t, t, pred_xstart)

        def _scale_timesteps(self, t: Any) -> Any:
            calls.append("scale")
            return t

        def p_sample(  # type: ignore[override]  # with keywords alone
            self, model: Any, x: Any, t: Any, **kwargs: Any
        ) -> Any:
            calls.append("step")
            assert "temperature" not in kwargs  # which its own signature may not have
            return super().p_sample(model, x, t, **kwargs)

    mine, model = Mine(selected_by("8"), **KINDS), network()
    out = mine.p_mean_variance(model, start(), torch.tensor([2, 5]), clip_denoised=False)
    plain = process("8").p_mean_variance(model, start(), torch.tensor([2, 5]), clip_denoised=False)
    close(out["pred_xstart"], 0.5 * plain["pred_xstart"])
    calls.clear()
    mine.p_sample_loop(model, SHAPE, noise=start())
    assert set(calls) == {"step", "scale", "xstart"}
    calls.clear()
    mine.ddim_sample_loop(model, SHAPE, noise=start())
    assert set(calls) == {"scale", "xstart", "eps"}

    class Same(SpacedDiffusion):
        def _predict_eps_from_xstart(self, x_t: Any, t: Any, pred_xstart: Any) -> Any:
            return super()._predict_eps_from_xstart(x_t, t, pred_xstart)

    result = Same(selected_by("8"), **KINDS).ddim_sample_loop(model, SHAPE, noise=start())
    close(result, process("8").ddim_sample_loop(model, SHAPE, noise=start()), 1e-8)


def test_a_respacing_of_its_own_on_this_process() -> None:
    """Many repositories keep their `respace.py`, and take the process alone from elsewhere."""

    class Wrapped:
        def __init__(self, model: Any, timestep_map: list[int], scale: float) -> None:
            self.model, self.timestep_map, self.scale = model, timestep_map, scale

        def __call__(self, x: Any, ts: Any, **kwargs: Any) -> Any:
            return self.model(x, torch.tensor(self.timestep_map)[ts] * self.scale, **kwargs)

    class Respaced(GaussianDiffusion):
        def __init__(self, use_timesteps: Any, **kwargs: Any) -> None:
            self.use_timesteps, self.timestep_map = set(use_timesteps), []
            self.original_num_steps = len(kwargs["betas"])
            last, betas = 1.0, []
            for k, value in enumerate(GaussianDiffusion(**kwargs).alphas_cumprod):
                if k in self.use_timesteps:
                    betas.append(1 - value / last)
                    last = value
                    self.timestep_map.append(k)
            super().__init__(**{**kwargs, "betas": np.array(betas)})

        def p_mean_variance(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            return super().p_mean_variance(self._wrap_model(model), *args, **kwargs)

        def training_losses(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            return super().training_losses(self._wrap_model(model), *args, **kwargs)

        def _wrap_model(self, model: Any) -> Any:
            if isinstance(model, Wrapped):
                return model
            scale = 1000 / self.original_num_steps if self.rescale_timesteps else 1
            return Wrapped(model, self.timestep_map, scale)

        def _scale_timesteps(self, t: Any) -> Any:
            return t  # the wrapped network does it

    model, t = network(), torch.tensor([1, 2])
    runs: list[Callable[[Any], Any]] = [
        lambda d: d.p_sample_loop(model, SHAPE, noise=start()),
        lambda d: d.ddim_sample_loop(model, SHAPE, noise=start()),
        lambda d: d.training_losses(model, images(), t)["loss"],
        lambda d: d.calc_bpd_loop(model, images())["total_bpd"],
    ]
    betas = LINEAR[::2]  # 500 steps, so that rescaling is no identity
    for rescale in (False, True):
        kinds = {**KINDS, "betas": betas, "rescale_timesteps": rescale}
        theirs, ours = Respaced([0, 80, 400], **kinds), SpacedDiffusion([0, 80, 400], **kinds)
        for run in runs:
            results = []
            for diffusion in (theirs, ours):
                torch.manual_seed(7)
                results.append(run(diffusion))
            close(results[0], results[1], 1e-6)


def test_positions_are_rescaled_without_respacing() -> None:
    told: list[Any] = []

    def model(x: Any, t: Any) -> Any:
        told.append(t)
        return torch.cat([x, x], dim=1)

    diffusion = process(None, rescale=True, betas=LINEAR[::2])
    t = torch.tensor([3, 499])
    diffusion.p_mean_variance(model, start(), t)
    diffusion.training_losses(model, images(), t)
    assert told[0].dtype == torch.float32
    for values in told:
        close(values.to(DOUBLE), t.to(DOUBLE) * 2)
    close(diffusion._scale_timesteps(t).to(DOUBLE), t.to(DOUBLE) * 2)
    assert process("8", rescale=True)._scale_timesteps(t) is t
