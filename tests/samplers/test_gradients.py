"""Gradients through a table."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Euler, Midpoint, Restart, Schedule, UniPC, sample
from tests.registry.samplers import SAMPLERS, Entry

EVERY = pytest.mark.parametrize("entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items()])
X = np.random.default_rng(3).standard_normal((4, 2, 3))


@EVERY
def test_gradients_reach_x_and_the_schedule(entry: Entry) -> None:
    """The derivative of a sample by the log-SNR equals that of finite differences."""
    torch = pytest.importorskip("torch")
    log_snr = torch.linspace(4, -4, 12, dtype=torch.float64) + torch.sin(torch.arange(12.0)) / 10
    x = torch.tensor(X[:1, 0])

    def image(values: Any, start: Any) -> Any:
        schedule = Schedule.from_log_snr(values)
        # Fixed draws: those of a seed depend on the noise level, and change when it does.
        draws = iter(torch.tensor(np.random.default_rng(5).standard_normal((200, *x.shape))))
        how = {"noise": lambda x: next(draws)}
        # The timestep that the network is given follows from the noise, and moves with it.
        return sample(
            lambda x, t: 0.5 * torch.tanh(x + torch.cos(t)[:, None]),
            schedule,
            entry.sampler,
            start,
            **how,
        )

    assert torch.autograd.gradcheck(
        image, (log_snr.clone().requires_grad_(), x.clone().requires_grad_()), atol=1e-5
    )


LISTED = {
    "DDIM": DDIM(),
    "Midpoint": Midpoint(),
    "UniPC": UniPC(),
    "Restart": Restart(DDIM(), [(0, 2, 1)]),
}


@pytest.mark.parametrize("name", LISTED)
def test_listed_timesteps_between_those_of_a_base_move_with_it(name: str) -> None:
    torch = pytest.importorskip("torch")
    x, dtypes = torch.tensor(X[:, 0]), set()

    def network(x: Any, timesteps: Any) -> Any:
        dtypes.add(timesteps.dtype)
        return 0.5 * torch.tanh(x) * torch.cos(timesteps / 300)[:, None]

    def image(beta_end: Any) -> Any:
        base = Schedule.linear(1000, beta_end=beta_end)
        chosen = base.subsample(steps=4, spacing="karras")
        ones = torch.ones_like
        return (sample(network, chosen, LISTED[name], x, prediction="x0", noise=ones) ** 2).mean()

    end = torch.tensor(0.02, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(image(end), end)
    high, low = (image(0.02 + sign * 1e-7) for sign in (1, -1))
    np.testing.assert_allclose(gradient, (high - low) / 2e-7, rtol=1e-6)
    assert dtypes == {torch.float64}


def test_timesteps_of_a_base_are_whole_numbers_with_a_gradient_too() -> None:
    torch = pytest.importorskip("torch")
    end = torch.tensor(0.02, dtype=torch.float64, requires_grad=True)
    for respaced in (
        Schedule.linear(1000, beta_end=end).subsample(steps=4),
        Schedule.linear(1000, beta_end=end).subsample(steps=4, spacing="karras", rounded=True),
    ):
        plan = DDIM().plan(respaced)
        assert isinstance(plan.timesteps, np.ndarray)
        assert plan.timesteps.dtype == np.int64


def test_a_plan_whose_timesteps_are_followed_is_shown_and_rounded() -> None:
    torch = pytest.importorskip("torch")
    levels = torch.tensor([3.0, -3.0], dtype=torch.float64, requires_grad=True)
    plan = Euler().plan(Schedule.karras(3, sigma_max=levels[0] * 20))
    values = Euler().plan(Schedule.karras(3, sigma_max=60.0))
    assert plan.timesteps.requires_grad
    assert str(plan) == str(values)
    assert plan == Euler().plan(plan.schedule)
    np.testing.assert_allclose(plan.to_dict()["timesteps"], values.timesteps, rtol=1e-12)
    assert (plan.round_timesteps().timesteps == values.round_timesteps().timesteps).all()
    np.testing.assert_allclose(plan.reversed().timesteps, values.reversed().timesteps, rtol=1e-12)


def test_gradients_are_right_where_the_log_snr_is_0() -> None:
    """There |v| and min(v, 0) have no derivative; the next step is long."""
    torch = pytest.importorskip("torch")
    values = torch.tensor([6.0, 3.0, 0.0, -3.0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: Schedule.from_log_snr(v).to_log_snr(), values
    )
    np.testing.assert_allclose(jacobian, np.eye(4), atol=1e-12)


def test_an_undetermined_x0_is_an_error_with_a_gradient_too() -> None:
    torch = pytest.importorskip("torch")
    betas = torch.linspace(0.01, 0.3, 12, dtype=torch.float64, requires_grad=True)
    x = torch.ones(1, 2, dtype=torch.float64)
    for entry in SAMPLERS.values():
        schedule = Schedule.from_betas(betas).rescale_zero_terminal_snr()
        image = sample(lambda x, t: 0.3 * x, schedule, entry.sampler, x, prediction="v", noise=0)
        (gradient,) = torch.autograd.grad(image.sum(), betas)
        assert torch.isfinite(gradient).all()
        with pytest.raises(ValueError, match="zero SNR"):
            sample(lambda x, t: 0.3 * x, schedule, entry.sampler, x, noise=0)
