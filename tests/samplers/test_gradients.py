"""Gradients through a table."""

from typing import Any

import numpy as np
import pytest

from schedalg import Schedule, sample
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
        return sample(lambda x, t: 0.5 * torch.tanh(x), schedule, entry.sampler, start, **how)

    assert torch.autograd.gradcheck(
        image, (log_snr.clone().requires_grad_(), x.clone().requires_grad_()), atol=1e-5
    )


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
