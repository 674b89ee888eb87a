"""DDPM: fixed and learned variances."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Denoiser, DPMSolverPP, Schedule, inpaint, sample, switch
from schedalg.testing import Mixture, variance_after

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


def replay(z: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a source of noise that returns these draws in turn."""
    draws = iter(z)
    return lambda x: next(draws)


def test_a_learned_range_is_between_the_respaced_bounds() -> None:
    """The log-variance is (v + 1) / 2 of the way between the bounds of the respaced schedule."""
    z = np.random.default_rng(0).standard_normal((20, 4, 2, 3))
    said = np.random.default_rng(1).uniform(-1, 1, (4, 2, 3))

    def two(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.concatenate([network(x, timesteps), said], axis=1)

    low, high = FAST.posterior_log_variance_clipped, np.log(FAST.to_betas())
    x, draws = X, iter(z)
    for k in reversed(range(12)):
        x0 = (x - FAST.sigma[k] * network(x, None)) / FAST.alpha[k]
        x = FAST.posterior_mean_coef1[k] * x0 + FAST.posterior_mean_coef2[k] * x
        if k:
            log_variance = (said + 1) / 2 * high[k] + (1 - said) / 2 * low[k]
            x = x + np.exp(log_variance / 2) * next(draws)
    result = sample(two, FAST, DDPM("learned_range"), X, noise=replay(z))
    np.testing.assert_allclose(result, x, rtol=1e-9)
    # The same images in another scale, and with the log-variance itself as the output.
    for other in (FAST.as_ve(), FAST.as_flow()):
        start = X * (other.sigma[-1] / FAST.sigma[-1])
        image = sample(two, other, DDPM("learned_range"), start, noise=replay(z))
        np.testing.assert_allclose(image, x, rtol=1e-9)
    for value in (-1.0, 0.3):

        def with_log_variance(
            x: np.ndarray, timesteps: np.ndarray, value: float = value
        ) -> np.ndarray:
            k = int(np.flatnonzero(FAST.timesteps == timesteps[0])[0])
            log_variance = (value + 1) / 2 * high[k] + (1 - value) / 2 * low[k]
            return np.concatenate([network(x, None), 0 * x + log_variance], axis=1)

        learned = sample(with_log_variance, FAST, DDPM("learned"), X, noise=replay(z))
        ranged = sample(
            lambda x, t, v=value: np.concatenate([network(x, t), 0 * x + v], axis=1),
            FAST,
            DDPM("learned_range"),
            X,
            noise=replay(z),
        )
        np.testing.assert_allclose(learned, ranged, rtol=1e-9)
        if value == -1:
            small = sample(network, FAST, DDPM(), X, noise=replay(z))
            np.testing.assert_allclose(ranged, small, rtol=1e-9)


def test_other_samplers_read_the_prediction_of_a_learned_variance_network() -> None:
    def two(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.concatenate([network(x, timesteps), 0 * x], axis=1)

    for sampler in (DDIM(), DPMSolverPP(order=2), DDPM()):
        image = sample(two, FAST, sampler, X, noise=1, clip=(-2, 2))
        expected = sample(network, FAST, sampler, X, noise=1, clip=(-2, 2))
        np.testing.assert_array_equal(image, expected)


def test_a_learned_variance_reaches_through_wrappers() -> None:
    def two(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.concatenate([network(x, timesteps), 0 * x + 0.3], axis=1)

    denoise = Denoiser(two, FAST)
    wrapped = switch(inpaint(denoise, X, np.zeros(3)), denoise, sigma_min=1.0)
    image = sample(wrapped, FAST, DDPM("learned_range"), X, noise=1)
    expected = sample(two, FAST, DDPM("learned_range"), X, noise=1)
    np.testing.assert_allclose(image, expected, rtol=1e-12)


def test_fixed_large_is_exact_for_data_of_unit_variance_in_every_scale() -> None:
    base = Schedule.linear(1000)[[0, 3, 7, 50, 51, 300, 640, 999]][1:]
    for schedule in (base, base.as_ve(), base.as_flow()):
        data = Mixture([0.0], [1.0])
        start, end = (data.marginal_std(p) ** 2 for p in (schedule[-1], schedule.origin))
        variance = variance_after(DDPM("fixed_large"), schedule, data.denoiser(schedule), start)
        assert variance == pytest.approx(end, rel=1e-12)
