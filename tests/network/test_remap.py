"""The map from positions to timesteps."""

import numpy as np

from schedalg import DDPM, Schedule, TimestepRemap, sample
from tests.libraries import Library, host, lib

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def test_remap_passes_trained_timesteps(lib: Library) -> None:
    remapped = TimestepRemap(lambda x, timesteps, scale: (timesteps, scale), FAST)
    positions = lib.array(np.array([11, 0, 3, 3]))
    timesteps, scale = remapped(lib.array(X, "float32"), positions, scale=2)
    assert lib.is_mine(timesteps)
    assert "int" in str(timesteps.dtype)
    np.testing.assert_array_equal(host(timesteps), FAST.timesteps[[11, 0, 3, 3]])
    assert scale == 2
    of_frames = np.array([[11, 0], [3, 3], [1, 2], [7, 5]])
    timesteps, _ = remapped(lib.array(X, "float32"), lib.array(of_frames), scale=2)
    np.testing.assert_array_equal(host(timesteps), FAST.timesteps[of_frames])
    same, _ = remapped(lib.array(X, "float32"), 5, scale=2)
    np.testing.assert_array_equal(host(same), [FAST.timesteps[5]] * 4)


def test_remap_rescales() -> None:
    fast = Schedule.linear(4000).subsample(every=400)
    remapped = TimestepRemap(lambda x, t: t, fast, rescale_timesteps=True, original_num_steps=4000)
    timesteps = remapped(X.astype(np.float32), np.array([0, 1, 2, 9]))
    assert timesteps.dtype == np.float32
    np.testing.assert_array_equal(timesteps, [0.0, 100.0, 200.0, 900.0])


def test_remapped_loop_is_the_sampler_s_loop() -> None:
    """A loop over positions with a remapped network gives the sampler's image."""

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.sin(x) + timesteps[:, None, None] / 1000

    remapped = TimestepRemap(network, FAST)
    betas = FAST.to_betas()
    x, rng = X, np.random.default_rng(4)
    for k in reversed(range(len(FAST))):
        eps = remapped(x, np.full(4, k))
        x0 = (x - FAST.sigma[k] * eps) / FAST.alpha[k]
        x = FAST.posterior_mean_coef1[k] * x0 + FAST.posterior_mean_coef2[k] * x
        if k:
            x = x + np.sqrt(betas[k]) * rng.standard_normal(x.shape)
    result = sample(network, FAST, DDPM("fixed_large"), X, noise=np.random.default_rng(4))
    np.testing.assert_allclose(result, x, rtol=1e-10, atol=1e-10)
