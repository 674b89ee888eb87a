"""Inpainting: known data are in the sample."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Denoiser, DPMSolverPP, RePaint, Schedule, inpaint, sample
from schedalg.testing import variance_after

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), DPMSolverPP(order=2), RePaint(3, 2)])
def test_known_data_are_in_the_sample(sampler: Any) -> None:
    known = np.random.default_rng(1).standard_normal(X.shape)
    mask = (np.arange(3) > 0).astype(np.float64)
    network = Denoiser(lambda x, t: np.tanh(x), FAST)
    image = sample(inpaint(network, known, mask), FAST, sampler, X, noise=4)
    np.testing.assert_allclose(image[..., 1:], known[..., 1:], rtol=1e-12)
    assert (image[..., 0] != known[..., 0]).all()
    # Before the end, the known part has the mean alpha known and the variance sigma².
    part = FAST[3:]
    zeros = inpaint(Denoiser(lambda x, t: 0 * x, part, "x0"), np.zeros((1, 1)), np.ones((1, 1)))
    if not isinstance(sampler, RePaint):
        variance = variance_after(sampler, part, zeros, float(part.sigma[-1]) ** 2)
        assert variance == pytest.approx(part.origin.sigma**2, rel=1e-9)


def test_known_values_outside_the_mask_are_ignored() -> None:
    known = np.full(X.shape, np.nan)
    known[..., 0] = 0.5
    mask = np.array([1.0, 0.0, 0.0])
    image = sample(inpaint(Denoiser(lambda x, t: x, FAST), known, mask), FAST, DDIM(), X)
    np.testing.assert_allclose(image[..., 0], 0.5, rtol=1e-12)
    assert np.isfinite(image).all()
