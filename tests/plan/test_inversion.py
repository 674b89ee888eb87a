"""Reversed plans."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, DPMSolver, Euler, Heun, Schedule, UniPC, run
from schedalg.testing import Mixture

FAST = Schedule.linear(1000).subsample(steps=20)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    return np.asarray(np.tanh(x) * np.cos(timesteps[:, None, None] / 300))


def test_a_plan_and_its_reverse_have_the_same_numbers() -> None:
    """x_s = a x_t + b x0, and x_t = (x_s - b x0) / a, at the points where x is."""
    plan = DDIM().plan(FAST[2:])
    back = plan.reversed()
    np.testing.assert_allclose(back.a, 1 / plan.a[::-1], rtol=1e-15)
    np.testing.assert_allclose(back.b[:, 0], -(plan.b[:, 0] / plan.a)[::-1], rtol=1e-15)
    np.testing.assert_array_equal(back.timesteps, FAST.timesteps[1:19])
    np.testing.assert_allclose(Euler().plan(FAST[2:]).reversed().b, back.b, rtol=1e-12)
    # For a network with a constant output, one is the inverse of the other.
    noise = run(back, lambda x, t: 0.4 + 0 * x, X, prediction="x0")
    np.testing.assert_allclose(
        run(plan, lambda x, t: 0.4 + 0 * x, noise, prediction="x0"), X, rtol=1e-9
    )


def test_encoding_is_that_of_guided_diffusion() -> None:
    """As its ddim_reverse_sample: eps at the point where x is, then a step up to the next one."""
    x = FAST.alpha[0] * X
    for k in range(len(FAST) - 1):
        eps = network(x, np.full(4, FAST.timesteps[k]))
        x0 = (x - FAST.sigma[k] * eps) / FAST.alpha[k]
        x = FAST.alpha[k + 1] * x0 + FAST.sigma[k + 1] * eps
    plan = DDIM().plan(FAST).reversed()
    assert plan.model_calls == len(FAST) - 1
    np.testing.assert_allclose(run(plan, network, X), x, rtol=1e-9)


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_inversion_then_sampling_returns_with_an_error_of_order_1(kind: Any) -> None:
    data = Mixture([0.4, -0.6], [0.3, 0.5])
    errors, counts = [], [40, 80, 160, 320]
    for steps in counts:
        schedule = Schedule.from_log_snr(np.linspace(5, -8, steps + 1), kind=kind)[1:]
        plan, denoise = DDIM().plan(schedule), data.denoiser(schedule)
        start = schedule.origin.alpha * np.array([[-0.9, -0.2, 0.3, 0.8]])
        noise = run(plan.reversed(), denoise, start)
        exact = data.flow(start, schedule.origin, schedule[-1])
        assert np.abs(noise - exact).max() < 20 / steps * schedule[-1].sigma
        errors.append(np.abs(run(plan, denoise, noise) - start).max())
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(1, abs=0.15)


def test_what_does_not_walk_to_the_origin_is_not_reversed() -> None:
    for schedule in (FAST, FAST[3:]):
        plan = DDIM().plan(schedule)
        with pytest.raises(ValueError, match="a reversed plan itself"):
            plan.reversed().reversed()
    moved = replace(plan, start=(2.0, 0.0))
    with pytest.raises(ValueError, match="noisiest point to the origin"):
        moved.reversed()


@pytest.mark.parametrize("sampler", [DDPM(), Heun(), UniPC(order=2), DPMSolver(order=2)])
def test_only_a_table_without_noise_and_memory_is_reversed(sampler: Any) -> None:
    with pytest.raises(ValueError, match="without noise, memory and stages"):
        sampler.plan(FAST).reversed()


def test_a_plan_of_rounded_timesteps_can_be_reversed() -> None:
    plan = DDIM().plan(Schedule.linear(1000).subsample(steps=6, spacing="karras"))
    back = plan.round_timesteps().reversed()
    assert back == plan.reversed().round_timesteps()
    assert back.timesteps.dtype == np.int64
