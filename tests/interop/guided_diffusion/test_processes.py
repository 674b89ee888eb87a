"""The numbers of a process, and the Gaussians that add noise."""

import math

import numpy as np
import pytest
import torch

from schedalg import Schedule
from schedalg.interop.guided_diffusion import (
    SpacedDiffusion,
    betas_for_alpha_bar,
    get_named_beta_schedule,
    space_timesteps,
)
from tests.interop.guided_diffusion.textbook import (
    LINEAR,
    Plain,
    close,
    images,
    process,
    selected_by,
    start,
)


@pytest.mark.parametrize("spacing", [None, "250", "ddim25", "10,15,20"])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_attributes_are_the_textbook_ones(name: str, spacing: str | None) -> None:
    given = get_named_beta_schedule(name, 1000)
    diffusion = process(spacing, betas=given)
    plain = Plain(selected_by(spacing or "1000"), betas=given)
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
