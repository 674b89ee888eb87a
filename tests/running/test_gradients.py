"""Gradients of a sample."""

from typing import Any

import numpy as np
import pytest

from schedalg import Sampler, Schedule, sample
from tests.running.few import SAMPLERS, network

X = np.random.default_rng(3).standard_normal((4, 2, 3))


def noise(shape: Any, make: Any) -> Any:
    """Return the same draws each time: those of a seed belong to a level, and so leap with it."""
    draws = iter(np.random.default_rng(5).standard_normal((9, *shape)))
    return lambda x: make(next(draws))


def test_gradients_flow_through_a_sample_to_x_and_to_the_schedule() -> None:
    torch = pytest.importorskip("torch")
    log_snr = torch.tensor([4.0, 1.0, -1.0, -4.0], dtype=torch.float64)
    x = torch.tensor(X[:1, 0])

    def fixed() -> Any:
        return noise(x.shape, torch.tensor)

    def image(values: Any, start: Any, sampler: Sampler) -> Any:
        return sample(network, Schedule.from_log_snr(values), sampler, start, noise=fixed())

    for sampler in SAMPLERS.values():
        assert torch.autograd.gradcheck(
            lambda values, start, sampler=sampler: image(values, start, sampler),
            (log_snr.clone().requires_grad_(), x.clone().requires_grad_()),
        )


def test_all_noise_new_at_zero_signal_has_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    log_snr = torch.tensor([3.0, 1.0, -1.0, -torch.inf], dtype=torch.float64, requires_grad=True)
    for sampler in SAMPLERS.values():
        schedule = Schedule.from_log_snr(log_snr)
        sample(
            network, schedule, sampler, torch.tensor(X), prediction="v", noise=0
        ).sum().backward()
        assert torch.isfinite(log_snr.grad).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_jax_gradients_flow_through_a_sample_and_leave_its_dtype(name: str) -> None:
    jax = pytest.importorskip("jax")
    log_snr = np.array([4.0, 1.0, -1.0, -4.0])

    def total(values: Any, dtype: str) -> Any:
        image = sample(
            network,
            Schedule.from_log_snr(values),
            SAMPLERS[name],
            jax.numpy.asarray(X, dtype=dtype),
            noise=noise(X.shape, lambda draw: jax.numpy.asarray(draw, dtype=dtype)),
        )
        assert str(image.dtype) == dtype
        return image.sum()

    with jax.enable_x64(True):
        exact, single = (
            np.asarray(jax.grad(total)(jax.numpy.asarray(log_snr), dtype))
            for dtype in ("float64", "float32")
        )
        step = 1e-5 * np.eye(4)
        differences = [
            (total(log_snr + h, "float64") - total(log_snr - h, "float64")) / 2e-5 for h in step
        ]
    np.testing.assert_allclose(exact, differences, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(single, exact, rtol=1e-3, atol=1e-3)
