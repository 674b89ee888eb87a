"""Training losses and the variational bound against their formulas."""

import math
from typing import Any

import pytest
import torch
from mpmath import mp

from schedalg.interop.guided_diffusion import LossType, ModelMeanType, ModelVarType
from schedalg.interop.guided_diffusion.losses import (
    approx_standard_normal_cdf,
    discretized_gaussian_log_likelihood,
    normal_kl,
)
from tests.interop.guided_diffusion.textbook import (
    DOUBLE,
    LEARNED,
    Plain,
    close,
    images,
    network,
    process,
    selected_by,
)


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
    plain = Plain(selected_by(spacing or "1000"), mean, var)
    position = torch.tensor([0, 200])
    torch.manual_seed(6)
    terms = diffusion.training_losses(model, x0, position)
    torch.manual_seed(6)
    noise = torch.randn_like(x0)
    count, bound, mse = len(plain.selected), [], []
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
        velocity = math.sqrt(bar) * z - math.sqrt(1 - bar) * x
        targets = {
            ModelMeanType.EPSILON: z,
            ModelMeanType.START_X: x,
            ModelMeanType.VELOCITY: velocity,
        }
        target = targets.get(mean, true)
        output = model(x_t, torch.tensor([plain.selected[k]]))[:, :3]
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
    plain = Plain(selected_by("12"))
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
