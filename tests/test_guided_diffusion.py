"""The drop-in for guided-diffusion, against plain loops from the papers, in float64."""

import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpmath import mp

from schedalg import Schedule
from schedalg.interop.guided_diffusion import (
    GaussianDiffusion,
    LossType,
    ModelMeanType,
    ModelVarType,
    SpacedDiffusion,
    betas_for_alpha_bar,
    get_named_beta_schedule,
    space_timesteps,
)
from schedalg.interop.guided_diffusion.lazy import torch as lazy_torch

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from schedalg.interop.guided_diffusion.losses import (
    approx_standard_normal_cdf,
    discretized_gaussian_log_likelihood,
    normal_kl,
)

LINEAR = get_named_beta_schedule("linear", 1000)
SHAPE = (2, 3, 8, 8)
LEARNED = (ModelVarType.LEARNED, ModelVarType.LEARNED_RANGE)
DOUBLE = torch.float64


class UNet(torch.nn.Module):
    """A real network, if a small one: down, up, a skip connection, time, 2C channels out."""

    def __init__(self, out: int = 6, width: int = 12) -> None:
        super().__init__()
        self.time = torch.nn.Linear(16, width)
        self.enter = torch.nn.Conv2d(3, width, 3, padding=1)
        self.down = torch.nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.up = torch.nn.ConvTranspose2d(width, width, 2, stride=2)
        self.leave = torch.nn.Conv2d(2 * width, out, 3, padding=1)

    def forward(self, x: Any, timesteps: Any, y: Any = None) -> Any:
        dtype = self.enter.weight.dtype
        waves = torch.exp(-torch.arange(8) * math.log(10000) / 8)
        angles = timesteps[:, None].float() * waves
        features = torch.cat([angles.cos(), angles.sin()], dim=1).to(dtype)
        time = self.time(features)[:, :, None, None]
        if y is not None:
            time = time + y[:, None, None, None]
        h = torch.nn.functional.silu(self.enter(x.to(dtype)) + time)
        inner = self.up(torch.nn.functional.silu(self.down(h)))
        return torch.tanh(self.leave(torch.cat([h, inner], dim=1))).to(x.dtype)


def network(out: int = 6, dtype: Any = DOUBLE) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return UNet(out).to(dtype)


def process(
    spacing: Any = None,
    mean: ModelMeanType = ModelMeanType.EPSILON,
    var: ModelVarType = ModelVarType.LEARNED_RANGE,
    loss: LossType = LossType.MSE,
    betas: Any = LINEAR,
    rescale: bool = False,
) -> GaussianDiffusion:
    kinds: dict[str, Any] = {
        "betas": betas,
        "model_mean_type": mean,
        "model_var_type": var,
        "loss_type": loss,
        "rescale_timesteps": rescale,
    }
    if spacing is None:
        return GaussianDiffusion(**kinds)
    if isinstance(spacing, str):
        spacing = space_timesteps(len(betas), spacing)
    return SpacedDiffusion(spacing, **kinds)


class Plain:
    """The same process, written down from the papers: numbers are numbers, loops are loops."""

    def __init__(
        self,
        kept: list[int],
        mean: ModelMeanType = ModelMeanType.EPSILON,
        var: ModelVarType = ModelVarType.LEARNED_RANGE,
        betas: Any = LINEAR,
    ) -> None:
        full = np.cumprod(1 - np.asarray(betas))
        self.kept, self.mean_kind, self.var_kind = kept, mean, var
        self.bar = [float(full[t]) for t in kept]
        self.before = [1.0, *self.bar[:-1]]
        self.beta = [1 - a / b for a, b in zip(self.bar, self.before, strict=True)]
        self.posterior = [
            b * (1 - p) / (1 - a) for a, p, b in zip(self.bar, self.before, self.beta, strict=True)
        ]

    def logs(self, k: int) -> tuple[float, float]:
        """Logarithms of the posterior's variance (of step 1 at step 0) and of β."""
        return math.log(self.posterior[max(k, 1)]), math.log(self.beta[k])

    def gaussian(
        self, model: Any, x: Any, k: int, clip: bool, fn: Any = None, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        """Mean, log-variance and x0."""
        t = torch.full((x.shape[0],), self.kept[k])
        out = model(x, t, **kwargs)
        low, high = self.logs(k)
        if self.var_kind in LEARNED:
            out, v = out.chunk(2, dim=1)
            log_var = v
            if self.var_kind is ModelVarType.LEARNED_RANGE:
                log_var = (v + 1) / 2 * high + (1 - v) / 2 * low
        else:
            small = self.var_kind is ModelVarType.FIXED_SMALL
            fixed = low if small or k == 0 else high
            log_var = torch.full_like(x, fixed)
        bar, before, beta = self.bar[k], self.before[k], self.beta[k]
        of_x0 = math.sqrt(before) * beta / (1 - bar)
        of_x = math.sqrt(1 - beta) * (1 - before) / (1 - bar)
        if self.mean_kind is ModelMeanType.EPSILON:
            x0 = (x - math.sqrt(1 - bar) * out) / math.sqrt(bar)
        elif self.mean_kind is ModelMeanType.START_X:
            x0 = out
        else:
            x0 = (out - of_x * x) / of_x0
        if fn is not None:
            x0 = fn(x0)
        if clip:
            x0 = torch.clamp(x0, -1, 1)
        mean = out if self.mean_kind is ModelMeanType.PREVIOUS_X else of_x0 * x0 + of_x * x
        return mean, log_var, x0

    def ddpm(
        self, model: Any, x: Any, clip: bool = True, fn: Any = None, cond: Any = None, **kw: Any
    ) -> Any:
        for k in reversed(range(len(self.kept))):
            mean, log_var, _ = self.gaussian(model, x, k, clip, fn, **kw)
            z = torch.randn(x.shape, dtype=x.dtype)
            if cond is not None:
                variance = log_var.exp()
                if self.var_kind is ModelVarType.FIXED_SMALL and k == 0:
                    variance = torch.zeros_like(x)
                t = torch.full((x.shape[0],), self.kept[k])
                mean = mean + variance * cond(x, t, **kw)
            x = mean + torch.exp(log_var / 2) * z if k > 0 else mean
        return x

    def ddim(
        self,
        model: Any,
        x: Any,
        eta: float,
        clip: bool = True,
        fn: Any = None,
        cond: Any = None,
        **kw: Any,
    ) -> Any:
        for k in reversed(range(len(self.kept))):
            bar, before = self.bar[k], self.before[k]
            _, _, x0 = self.gaussian(model, x, k, clip, fn, **kw)
            eps = (x - math.sqrt(bar) * x0) / math.sqrt(1 - bar)
            if cond is not None:
                t = torch.full((x.shape[0],), self.kept[k])
                eps = eps - math.sqrt(1 - bar) * cond(x, t, **kw)
                x0 = (x - math.sqrt(1 - bar) * eps) / math.sqrt(bar)
            std = eta * math.sqrt((1 - before) / (1 - bar)) * math.sqrt(1 - bar / before)
            z = torch.randn(x.shape, dtype=x.dtype)
            x = math.sqrt(before) * x0 + math.sqrt(max(1 - before - std**2, 0)) * eps + std * z
        return x


def kept_of(spacing: str) -> list[int]:
    return sorted(space_timesteps(1000, spacing))


def start(seed: int = 3) -> Any:
    return torch.randn(SHAPE, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def images(seed: int = 4) -> Any:
    """8-bit images in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, SHAPE, generator=generator).to(DOUBLE) / 127.5 - 1


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)


# The numbers


@pytest.mark.parametrize("spacing", [None, "250", "ddim25", "10,15,20"])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_attributes_are_the_textbook_ones(name: str, spacing: str | None) -> None:
    given = get_named_beta_schedule(name, 1000)
    diffusion = process(spacing, betas=given)
    plain = Plain(kept_of(spacing or "1000"), betas=given)
    bar, before = np.array(plain.bar), np.array(plain.before)
    beta, posterior = np.array(plain.beta), np.array(plain.posterior)
    expected = {
        "betas": beta,
        "alphas_cumprod": bar,
        "alphas_cumprod_prev": before,
        "alphas_cumprod_next": np.append(bar[1:], 0),
        "sqrt_alphas_cumprod": np.sqrt(bar),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - bar),
        "log_one_minus_alphas_cumprod": np.log(1 - bar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / bar),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / bar - 1),
        "posterior_variance": posterior,
        "posterior_log_variance_clipped": np.log(np.append(posterior[1], posterior[1:])),
        "posterior_mean_coef1": beta * np.sqrt(before) / (1 - bar),
        "posterior_mean_coef2": (1 - before) * np.sqrt(1 - beta) / (1 - bar),
    }
    for name, values in expected.items():
        column = getattr(diffusion, name)
        assert column.dtype == np.float64
        assert not column.flags.writeable
        np.testing.assert_allclose(column, values, rtol=1e-9, atol=1e-15, err_msg=name)
    assert diffusion.num_timesteps == len(bar) == len(diffusion.schedule)


def test_named_schedules_and_functions() -> None:
    np.testing.assert_allclose(LINEAR, np.linspace(1e-4, 0.02, 1000), rtol=1e-14)
    fewer = get_named_beta_schedule("linear", 100)
    np.testing.assert_allclose(fewer, np.linspace(1e-3, 0.2, 100), rtol=1e-14)

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    steps = [1 - alpha_bar((i + 1) / 50) / alpha_bar(i / 50) for i in range(50)]
    betas = betas_for_alpha_bar(50, alpha_bar)
    np.testing.assert_allclose(betas, np.minimum(steps, 0.999), rtol=1e-9)
    np.testing.assert_allclose(betas, get_named_beta_schedule("cosine", 50), rtol=1e-9)
    assert betas_for_alpha_bar(50, alpha_bar, max_beta=0.5).max() == pytest.approx(0.5)


def test_sections() -> None:
    assert space_timesteps(1000, "ddim25") == set(range(0, 1000, 40))
    assert len(space_timesteps(1000, "250")) == 250
    assert space_timesteps(300, [10, 15, 20]) == space_timesteps(300, "10,15,20")
    chosen = sorted(space_timesteps(300, [10, 15, 20]))
    assert [sum(a <= t < a + 100 for t in chosen) for a in (0, 100, 200)] == [10, 15, 20]
    assert {0, 99, 100, 199, 200, 299} <= set(chosen)


def test_spaced_attributes() -> None:
    diffusion = process("ddim25")
    assert isinstance(diffusion, SpacedDiffusion)
    assert diffusion.use_timesteps == set(diffusion.timestep_map) == set(range(0, 1000, 40))
    assert diffusion.timestep_map == sorted(diffusion.timestep_map)
    assert diffusion.original_num_steps == 1000
    assert diffusion.schedule == Schedule.from_betas(LINEAR).subsample(sections="ddim25")
    for other in (np.array([5, 3]), torch.tensor([3, 5]), (5, 3, 3), {3: 0, 5: 0}, iter([5, 3])):
        spaced = process(other)
        assert isinstance(spaced, SpacedDiffusion)
        assert spaced.timestep_map == [3, 5]


# Images


@pytest.mark.parametrize("spacing", ["250", "ddim25", "10,15,20"])
def test_ancestral_images_of_a_seed(spacing: str) -> None:
    model, x = network(), start()
    torch.manual_seed(11)
    image = process(spacing).p_sample_loop(model, SHAPE, noise=x)
    after = torch.rand(1)
    torch.manual_seed(11)
    with torch.no_grad():
        expected = Plain(kept_of(spacing)).ddpm(model, x)
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
        expected = Plain(kept_of("ddim25")).ddim(model, x, eta)
    assert after == torch.rand(1)  # drawn also where eta is 0
    close(image, expected)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("mean", list(ModelMeanType))
@pytest.mark.parametrize("var", list(ModelVarType))
def test_every_kind_of_network(var: ModelVarType, mean: ModelMeanType, clip: bool) -> None:
    model, x = network(6 if var in LEARNED else 3), 0.3 * start()
    diffusion, plain = process("5,3", mean, var), Plain(kept_of("5,3"), mean, var)

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
        expected = Plain(kept_of("ddim25")).ddpm(model, torch.randn(*SHAPE))
    assert image.dtype == torch.float32
    close(image, expected, 1e-4)


def towards(x: Any, t: Any, y: Any) -> Any:
    return torch.sin(x * (1 + t[:, None, None, None] / 500)) + y[:, None, None, None]


@pytest.mark.parametrize("var", [ModelVarType.LEARNED_RANGE, ModelVarType.FIXED_SMALL])
def test_classifier_guidance_of_loops(var: ModelVarType) -> None:
    model, x = network(6 if var in LEARNED else 3), start()
    y = torch.tensor([0.5, -1.0], dtype=DOUBLE)
    diffusion, plain = process("8", var=var), Plain(kept_of("8"), var=var)
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
    original = torch.tensor([0, kept_of("8")[5]])
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


# What the network is told


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("spacing", [None, "ddim25"])
def test_what_the_network_and_the_classifier_are_told(spacing: str | None, rescale: bool) -> None:
    betas = get_named_beta_schedule("linear", 4000 if spacing is None else 2000)
    diffusion = process(spacing, betas=betas, rescale=rescale)
    scale = (0.25 if spacing is None else 0.5) if rescale else 1
    told: list[Any] = []

    def model(x: Any, t: Any, **kwargs: Any) -> Any:
        told.append(t)
        return torch.cat([x, x], dim=1)

    def gradient(x: Any, t: Any) -> Any:
        told.append(t)
        return x

    x, t = start().float(), torch.tensor([24, 7])
    out = diffusion.p_mean_variance(model, x, t)
    diffusion.training_losses(model, x, t)
    diffusion.condition_mean(gradient, out, x, t)
    diffusion.condition_score(gradient, out, x, t)
    diffusion.p_sample(model, x, t, cond_fn=gradient)
    step = 80 if spacing else 1
    assert len(told) == 6
    for timesteps in told:
        assert timesteps.dtype == (torch.float32 if rescale else torch.int64)
        assert timesteps.tolist() == [24 * step * scale, 7 * step * scale]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: Any) -> None:
    model = network(dtype=dtype)
    diffusion = process("5", loss=LossType.RESCALED_MSE)
    inside = diffusion.p_sample_loop(model, SHAPE, noise=start().float())  # half within alone
    assert inside.dtype == torch.float32
    seen = []

    def strict(x: Any, t: Any) -> Any:
        seen.append(x.dtype)
        return model(x, t)

    halves = diffusion.p_sample_loop(strict, SHAPE, noise=start().to(dtype))
    halves = diffusion.ddim_sample_loop(strict, SHAPE, noise=halves)
    assert set(seen) == {halves.dtype} == {dtype}
    assert torch.isfinite(halves).all()
    losses = diffusion.training_losses(strict, images().to(dtype), torch.tensor([0, 4]))
    assert losses["loss"].dtype == torch.float32
    losses["loss"].sum().backward()
    exact = network(dtype=DOUBLE)
    with torch.no_grad():
        x, t = start(), torch.tensor([1, 3])
        rounded = diffusion.p_mean_variance(lambda x, t: exact(x, t).to(dtype), x, t)
        close(rounded["mean"], diffusion.p_mean_variance(exact, x, t)["mean"], 0.02)


# Training


@pytest.mark.parametrize("spacing", [None, "250"])
@pytest.mark.parametrize("mean", list(ModelMeanType))
@pytest.mark.parametrize("var", [ModelVarType.FIXED_LARGE, ModelVarType.LEARNED_RANGE])
@pytest.mark.parametrize("loss", list(LossType))
def test_losses(
    loss: LossType, var: ModelVarType, mean: ModelMeanType, spacing: str | None
) -> None:
    diffusion, model, x0 = process(spacing, mean, var, loss), network(6), images()
    if var not in LEARNED:
        model = network(3)
    plain = Plain(kept_of(spacing or "1000"), mean, var)
    position = torch.tensor([0, 200])
    torch.manual_seed(6)
    terms = diffusion.training_losses(model, x0, position)
    torch.manual_seed(6)
    noise = torch.randn_like(x0)
    count, bound, mse = len(plain.kept), [], []
    for i, k in enumerate(position.tolist()):
        bar, before, beta = plain.bar[k], plain.before[k], plain.beta[k]
        x, z = x0[i : i + 1], noise[i : i + 1]
        x_t = math.sqrt(bar) * x + math.sqrt(1 - bar) * z
        mu, log_var, _ = plain.gaussian(model, x_t, k, clip=False)
        true = math.sqrt(before) * beta / (1 - bar) * x
        true = true + math.sqrt(1 - beta) * (1 - before) / (1 - bar) * x_t
        if k == 0:
            std = torch.exp(log_var / 2)

            def cdf(value: Any, mu: Any = mu, std: Any = std) -> Any:
                u = (value - mu) / std
                return (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3))) / 2

            upper = torch.where(x > 0.999, torch.ones_like(x), cdf(x + 1 / 255))
            lower = torch.where(x < -0.999, torch.zeros_like(x), cdf(x - 1 / 255))
            nats = -torch.log(torch.clamp(upper - lower, min=1e-12))
        else:
            variance = math.log(plain.posterior[k])
            ratio = torch.exp(variance - log_var)
            nats = (log_var - variance - 1 + ratio + (true - mu) ** 2 / torch.exp(log_var)) / 2
        bound.append(nats.mean() / math.log(2))
        target = {ModelMeanType.EPSILON: z, ModelMeanType.START_X: x}.get(mean, true)
        output = model(x_t, torch.tensor([plain.kept[k]]))[:, :3]
        mse.append(((target - output) ** 2).mean())
    bits, error = torch.stack(bound), torch.stack(mse)
    if loss in (LossType.KL, LossType.RESCALED_KL):
        assert set(terms) == {"loss"}
        assert loss.is_vb()
        close(terms["loss"], bits * (count if loss is LossType.RESCALED_KL else 1), 1e-8)
        return
    close(terms["mse"], error)
    if var in LEARNED:
        assert set(terms) == {"loss", "mse", "vb"}
        factor = count / 1000 if loss is LossType.RESCALED_MSE else 1
        close(terms["vb"], bits * factor, 1e-8)
        close(terms["loss"], terms["mse"] + terms["vb"])
    else:
        assert set(terms) == {"loss", "mse"}
        close(terms["loss"], error)


def test_the_bound_does_not_move_the_mean() -> None:
    model, x0, t = network(), images(), torch.tensor([0, 17])
    process("250").training_losses(model, x0, t)["vb"].sum().backward()
    gradient = model.leave.weight.grad
    assert gradient is not None
    assert (gradient[:3] == 0).all()
    assert (gradient[3:] != 0).any()


def test_the_whole_bound() -> None:
    diffusion, model, x0 = process("12"), network(), images()
    torch.manual_seed(4)
    terms = diffusion.calc_bpd_loop(model, x0)
    assert list(terms) == ["total_bpd", "prior_bpd", "vb", "xstart_mse", "mse"]
    close(terms["total_bpd"], terms["vb"].sum(1) + terms["prior_bpd"])
    bar = diffusion.alphas_cumprod[-1]
    prior = (bar * x0**2 - bar - math.log(1 - bar)).mean((1, 2, 3)) / 2 / math.log(2)
    close(terms["prior_bpd"], prior)
    torch.manual_seed(4)
    plain = Plain(kept_of("12"))
    for column, k in enumerate(reversed(range(12))):
        noise, t = torch.randn_like(x0), torch.full((2,), k)
        x_t = diffusion.q_sample(x0, t, noise)
        with torch.no_grad():
            _, _, pred = plain.gaussian(model, x_t, k, clip=True)
        bar = plain.bar[k]
        eps = (x_t - math.sqrt(bar) * pred) / math.sqrt(1 - bar)
        close(terms["xstart_mse"][:, column], ((pred - x0) ** 2).mean((1, 2, 3)))
        close(terms["mse"][:, column], ((eps - noise) ** 2).mean((1, 2, 3)))


def test_the_terms_of_the_bound_are_the_losses() -> None:
    kl, x0, model = process("12", loss=LossType.KL), images(), network()
    torch.manual_seed(4)
    terms = kl.calc_bpd_loop(model, x0, clip_denoised=False)["vb"]
    torch.manual_seed(4)
    for column, k in enumerate(reversed(range(12))):
        loss = kl.training_losses(model, x0, torch.full((2,), k))["loss"]
        close(terms[:, column], loss)


def test_divergence_against_an_integral() -> None:
    m1, v1, m2, v2 = 0.3, -1.2, -0.4, 0.5

    def log_density(x: Any, m: float, v: float) -> Any:
        return -(mp.log(2 * mp.pi) + v + (x - m) ** 2 * mp.exp(-v)) / 2

    def integrand(x: Any) -> Any:
        first = log_density(x, m1, v1)
        return mp.exp(first) * (first - log_density(x, m2, v2))

    exact = float(mp.quad(integrand, [-20, 0, 20]))
    ours = normal_kl(torch.tensor([m1], dtype=DOUBLE), v1, m2, v2)
    assert float(ours[0]) == pytest.approx(exact, rel=1e-12)
    near = normal_kl(torch.zeros(1), torch.tensor([1e-3]), 0.0, 0.0)
    assert float(near[0]) == pytest.approx((math.expm1(1e-3) - 1e-3) / 2, rel=1e-3)
    with pytest.raises(TypeError, match="one of mean1, logvar1, mean2 and logvar2 must be a tenso"):
        normal_kl(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("log_scale", [-6.0, -2.0, 1.0])
def test_likelihoods_of_256_values_sum_to_1(log_scale: float) -> None:
    x = torch.arange(256, dtype=DOUBLE) / 127.5 - 1
    mean, scale = torch.full_like(x, 0.123), torch.full_like(x, log_scale)
    likelihood = discretized_gaussian_log_likelihood(x, means=mean, log_scales=scale).exp()
    assert float(likelihood.sum()) == pytest.approx(1, abs=1e-9)
    with pytest.raises(ValueError, match=r"must have one shape; got \(256,\), \(1,\), \(256,\)"):
        discretized_gaussian_log_likelihood(x, means=mean[:1], log_scales=scale)
    points = torch.linspace(-4, 4, 81, dtype=DOUBLE)
    exact = (1 + torch.erf(points / math.sqrt(2))) / 2
    assert float((approx_standard_normal_cdf(points) - exact).abs().max()) < 2e-4


def test_moments_of_q() -> None:
    diffusion, x0, t = process("10"), images()[:1].expand(20000, 3, 8, 8)[..., :1, :1], None
    t = torch.full((20000,), 4)
    torch.manual_seed(0)
    x = diffusion.q_sample(x0, t)
    mean, variance, log_variance = diffusion.q_mean_variance(x0, t)
    assert mean.shape == variance.shape == log_variance.shape == x0.shape
    close(variance.log(), log_variance)
    np.testing.assert_allclose(x.mean(0), mean[0], atol=4 * math.sqrt(variance[0, 0, 0, 0] / 20000))
    np.testing.assert_allclose(x.var(0), variance[0], rtol=0.05)
    x_t = diffusion.q_sample(x0, t)
    posterior, spread, clipped = diffusion.q_posterior_mean_variance(x0, x_t, 0 * t)
    close(posterior, x0)
    assert (spread == 0).all()
    assert float(clipped[0, 0, 0, 0]) == pytest.approx(math.log(diffusion.posterior_variance[1]))


# Subclasses


KINDS: dict[str, Any] = {
    "betas": LINEAR,
    "model_mean_type": ModelMeanType.EPSILON,
    "model_var_type": ModelVarType.LEARNED_RANGE,
    "loss_type": LossType.MSE,
}


def test_what_a_subclass_overrides_is_called() -> None:
    calls: list[str] = []

    class Mine(SpacedDiffusion):
        def q_sample(self, x_start: Any, t: Any, noise: Any = None) -> Any:
            calls.append("q_sample")
            return super().q_sample(x_start, t, noise)

        def q_posterior_mean_variance(self, x_start: Any, x_t: Any, t: Any) -> Any:
            calls.append("posterior")
            return super().q_posterior_mean_variance(x_start, x_t, t)

        def p_sample_loop_progressive(  # type: ignore[override]  # with keywords alone
            self, model: Any, shape: Any, **kwargs: Any
        ) -> Any:
            calls.append("p loop")
            yield from super().p_sample_loop_progressive(model, shape, **kwargs)

        def ddim_sample_loop_progressive(  # type: ignore[override]
            self, model: Any, shape: Any, **kwargs: Any
        ) -> Any:
            calls.append("ddim loop")
            yield from super().ddim_sample_loop_progressive(model, shape, **kwargs)

    mine, plain, model, x = Mine([0, 500], **KINDS), process([0, 500]), network(), start()
    t = torch.tensor([0, 1])
    runs: list[tuple[Callable[[Any], Any], set[str]]] = [
        (lambda d: d.p_sample_loop(model, SHAPE, noise=x), {"p loop", "posterior"}),
        (lambda d: d.ddim_sample_loop(model, SHAPE, noise=x), {"ddim loop", "posterior"}),
        (lambda d: d.training_losses(model, images(), t)["loss"], {"q_sample", "posterior"}),
        (lambda d: d.calc_bpd_loop(model, images())["total_bpd"], {"q_sample", "posterior"}),
    ]
    for run, expected in runs:
        calls.clear()
        torch.manual_seed(0)
        result = run(mine)
        assert set(calls) == expected
        torch.manual_seed(0)
        close(result, run(plain))


def test_what_would_not_be_called_or_read_is_an_error() -> None:
    message = "Mine._scale_timesteps would never be called: .* override _wrap_model"
    with pytest.raises(TypeError, match=message):
        type("Mine", (SpacedDiffusion,), {"_scale_timesteps": lambda self, t: t})
    diffusion = process("5")
    for name in ("betas", "timestep_map", "rescale_timesteps", "posterior_variance", "schedule"):
        with pytest.raises(AttributeError, match=f"{name} is fixed when a process is made"):
            setattr(diffusion, name, getattr(diffusion, name))
    diffusion.loss_type = LossType.KL  # is read when it is needed


def test_one_position_for_all() -> None:
    diffusion, x, each = process("8"), start(), torch.tensor([3, 3])
    for t in (torch.tensor(3), torch.tensor([3])):
        close(diffusion.q_sample(x, t, noise=x), diffusion.q_sample(x, each, noise=x))
        for ours, expected in zip(
            (*diffusion.q_mean_variance(x, t), *diffusion.q_posterior_mean_variance(x, 2 * x, t)),
            (
                *diffusion.q_mean_variance(x, each),
                *diffusion.q_posterior_mean_variance(x, 2 * x, each),
            ),
            strict=True,
        ):
            close(ours, expected)


def test_rescaled_timesteps_are_float32_whatever_x_is() -> None:
    told: list[Any] = []

    def model(x: Any, t: Any) -> Any:
        told.append(t.dtype)
        return torch.cat([x, x], dim=1)

    for dtype in (torch.float16, torch.float32, DOUBLE):
        process("5", rescale=True).p_sample(model, start().to(dtype), torch.tensor([1, 2]))
    assert set(told) == {torch.float32}


# Where it runs


def test_tables_are_uploaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[int] = []
    tensor = torch.tensor

    def counted(*args: Any, **kwargs: Any) -> Any:
        uploads.append(1)
        return tensor(*args, **kwargs)

    monkeypatch.setattr(lazy_torch, "tensor", counted, raising=False)
    diffusion, model = process("25"), network()
    for _ in range(2):
        diffusion.p_sample_loop(model, SHAPE, noise=start())
    assert len(uploads) == 1
    diffusion.ddim_sample_loop(model, SHAPE, noise=start())
    assert len(uploads) == 2  # DDIM's own columns


def test_tables_made_in_inference_mode_serve_training() -> None:
    diffusion, model = process("25"), network()
    with torch.inference_mode():
        diffusion.p_sample_loop(model, SHAPE, noise=start())
    diffusion.training_losses(model, images(), torch.tensor([3, 9]))["loss"].sum().backward()


def test_processes_can_be_pickled() -> None:
    diffusion, model, x = process("5", rescale=True), network(), start()
    before = diffusion.ddim_sample_loop(model, SHAPE, noise=x)
    again = pickle.loads(pickle.dumps(diffusion))
    assert torch.equal(again.ddim_sample_loop(model, SHAPE, noise=x), before)


def test_torch_is_imported_when_it_is_used() -> None:
    code = """
import sys
import schedalg.interop.guided_diffusion as gd
diffusion = gd.SpacedDiffusion(
    gd.space_timesteps(1000, "ddim25"),
    betas=gd.get_named_beta_schedule("linear", 1000),
    model_mean_type=gd.ModelMeanType.EPSILON,
    model_var_type=gd.ModelVarType.FIXED_SMALL,
    loss_type=gd.LossType.MSE,
)
print("torch" in sys.modules, len(diffusion.betas))
sys.modules["torch"] = None
try:
    diffusion.q_sample(None, None)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "False 25"
    assert second.endswith("computes with torch: pip install 'schedalg[torch]'")


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    diffusion, model = process("5"), network()
    diffusion.p_sample_loop(model, SHAPE, noise=start(), progress=True)
    assert "5/5" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"pip install 'schedalg\[progress\]'"):
        diffusion.p_sample_loop(model, SHAPE, noise=start(), progress=True)


# Errors


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ("0", ValueError, r"section_counts is '0': sections\[0\] must be at least 1, got 0"),
        ([5, -1], ValueError, r"section_counts is \[5, -1\]: sections\[1\] must be at least 1"),
        ([], ValueError, r"section_counts is \[\]: sections is empty"),
        ("", ValueError, "section_counts is ''"),
        ("501,2", ValueError, r"sections\[0\] is 501: section 0 of 1000 points holds 500"),
        ("ddim400", ValueError, "'ddim400': no whole stride takes 400 of 1000 points"),
        ("ddim0", ValueError, "'ddim0': no whole stride takes 0 of 1000"),
        ("fast", ValueError, "'10,15,20', or 'ddimN'; got 'fast'"),
        ([2.5], TypeError, r"sections\[0\] must be an integer, got 2.5"),
    ],
)
def test_wrong_sections(counts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        space_timesteps(1000, counts)


@pytest.mark.parametrize(
    ("use_timesteps", "error", "message"),
    [
        ([0, 1000], ValueError, r"use_timesteps\[1\] is 1000: allowed are 0 to 999"),
        ([-1, 5], ValueError, r"use_timesteps\[0\] is -1: allowed are 0 to 999"),
        ([], ValueError, "use_timesteps is empty: at least one timestep is needed"),
        ("ddim25", TypeError, "must be a collection of integers, got 'ddim25'; space_timesteps"),
        (25, TypeError, "must be a collection of integers, got 25"),
        ([0.5], TypeError, "each of use_timesteps must be an integer, got 0.5"),
        ([True, False], TypeError, "each of use_timesteps must be an integer, got"),
    ],
)
def test_wrong_timesteps(use_timesteps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SpacedDiffusion(
            use_timesteps,
            betas=LINEAR,
            model_mean_type=ModelMeanType.EPSILON,
            model_var_type=ModelVarType.FIXED_SMALL,
            loss_type=LossType.MSE,
        )


def refuses(error: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_wrong_settings() -> None:
    wrong: Any = "epsilon"
    refuses(
        TypeError,
        "model_mean_type must be one of ModelMeanType.PREVIOUS_X, .*; got 'epsilon'",
        lambda: process(mean=wrong),
    )
    refuses(TypeError, "model_var_type must be one of", lambda: process(var=wrong))
    refuses(TypeError, "loss_type must be one of LossType.MSE", lambda: process(loss=wrong))
    refuses(TypeError, "rescale_timesteps must be True or Fal", lambda: process(rescale=wrong))
    refuses(ValueError, r"betas\[1\] is 1.5: betas must be in", lambda: process(betas=[0.1, 1.5]))
    refuses(ValueError, r"betas\[0\] is 1.0: betas must be", lambda: process(betas=[1.0, 0.5]))
    refuses(ValueError, r"betas\[1\] is 0.0", lambda: process(betas=[0.1, 0.0]))
    refuses(ValueError, "betas must be 1-D, got shape", lambda: process(betas=[[0.1]]))
    refuses(ValueError, "betas is empty", lambda: process(betas=[]))
    name = "schedule_name must be 'linear' or 'cosine'; got 'sqrt'"
    refuses(ValueError, name, lambda: get_named_beta_schedule("sqrt", 10))
    few = "num_diffusion_timesteps is 10: 'linear' needs at least 20"
    refuses(ValueError, few, lambda: get_named_beta_schedule("linear", 10))
    least = "num_diffusion_timesteps must be at least 1, got 0"
    refuses(ValueError, least, lambda: get_named_beta_schedule("cosine", 0))
    refuses(ValueError, least, lambda: betas_for_alpha_bar(0, lambda t: 1 - t))
    refuses(ValueError, "it must fall", lambda: betas_for_alpha_bar(5, lambda t: 1.0))


def test_wrong_inputs() -> None:
    diffusion, model, x = process("8"), network(), start()
    t, y = torch.tensor([1, 2]), torch.zeros(2)
    step, q = diffusion.p_mean_variance, diffusion.q_sample
    refuses(ValueError, r"t\[1\] is 8: positions are 0 to 7", lambda: q(x, t + 6))
    refuses(ValueError, r"t\[0\] is -1: positions", lambda: step(model, x, t - 2))
    refuses(ValueError, r"t must have shape \(2,\), one", lambda: q(x, torch.tensor([1, 2, 3])))
    refuses(TypeError, "t must hold integers, got", lambda: q(x, y))
    refuses(TypeError, "t must be a torch tensor of integers", lambda: q(x, np.array([1, 2])))
    refuses(TypeError, "x must be a torch tensor, got shape", lambda: q(x.numpy(), t))
    refuses(TypeError, "x must be of a floating-point dtype", lambda: q(x.long(), t))
    refuses(ValueError, "x must have a batch dimension", lambda: q(torch.tensor(1.0), t))
    refuses(ValueError, r"x must have shape \(B, C, ...\), got \(2,\)", lambda: step(model, y, t))
    refuses(ValueError, r"noise must have shape \(2, 3, 8, 8\)", lambda: q(x, t, x[:1]))
    refuses(TypeError, "noise must be a torch tensor", lambda: q(x, t, x.numpy()))
    train = diffusion.training_losses
    refuses(ValueError, "noise must have shape", lambda: train(model, x, t, noise=x[:1]))
    refuses(ValueError, r"x_start must have shape \(B, C, ...\)", lambda: train(model, y, t))
    posterior = diffusion.q_posterior_mean_variance
    refuses(ValueError, "x_start must have shape", lambda: posterior(x[:1], x, t))
    refuses(TypeError, "model must be callable, got NoneType", lambda: step(None, x, t))


def test_wrong_networks() -> None:
    diffusion, x, t = process("8"), start(), torch.tensor([1, 2])
    step = diffusion.p_mean_variance
    message = r"output must have shape \(2, 6, 8, 8\) with ModelVarType.LEARNED_RANGE, got \(2, 3"
    refuses(ValueError, message, lambda: step(lambda x, t: x, x, t))
    refuses(ValueError, message, lambda: diffusion.training_losses(lambda x, t: x, x, t))
    refuses(TypeError, "model must return a torch tensor", lambda: step(lambda x, t: None, x, t))
    fixed = process("8", var=ModelVarType.FIXED_SMALL)
    message = r"shape \(2, 3, 8, 8\) with ModelVarType.FIXED_SMALL, got \(2, 6, 8, 8\)"
    refuses(ValueError, message, lambda: fixed.p_mean_variance(network(), x, t))
    message = r"what denoised_fn returns must have shape \(2, 3, 8, 8\), got \(1, 3, 8, 8\)"
    refuses(ValueError, message, lambda: step(network(), x, t, denoised_fn=lambda x0: x0[:1]))

    def bad(x: Any, t: Any) -> Any:
        return x[:, :1]

    message = r"what cond_fn returns must have shape \(2, 3, 8, 8\), got \(2, 1, 8, 8\)"
    refuses(ValueError, message, lambda: diffusion.p_sample(network(), x, t, cond_fn=bad))
    refuses(ValueError, message, lambda: diffusion.ddim_sample(network(), x, t, cond_fn=bad))


def test_wrong_loops() -> None:
    diffusion, model, x = process("8"), network(), start()
    t = torch.tensor([1, 2])
    loop: Any = diffusion.p_sample_loop
    refuses(TypeError, "shape must be a tuple or a list of integers, got 4", lambda: loop(model, 4))
    message = r"noise must have shape \(1, 3, 8, 8\), got \(2, 3, 8, 8\)"
    refuses(ValueError, message, lambda: loop(model, [1, 3, 8, 8], noise=x))
    message = "device is None, and the model has no parameters to take it from"
    refuses(ValueError, message, lambda: loop(lambda x, t: x, SHAPE))
    refuses(TypeError, "noise must be a torch tensor", lambda: loop(model, SHAPE, x.numpy()))
    ddim, reverse = diffusion.ddim_sample, diffusion.ddim_reverse_sample
    refuses(ValueError, r"eta must be in \[0, 1\], got 1.5", lambda: ddim(model, x, t, eta=1.5))
    refuses(ValueError, "eta must be 0: only the", lambda: reverse(model, x, t, eta=0.5))
