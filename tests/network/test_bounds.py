"""Bounds on x0."""

import numpy as np

from schedalg import DDIM, DynamicThreshold, Schedule, sample
from tests.libraries import Library, host, lib

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def test_a_dynamic_threshold_is_the_quantile(lib: Library) -> None:
    x0 = (
        np.random.default_rng(0).standard_normal((5, 3, 4, 4))
        * np.array([0.1, 1, 2, 5, 9])[:, None, None, None]
    )
    for quantile, largest in ((0.995, None), (0.5, 1.5), (1.0, None)):
        s = np.quantile(np.abs(x0).reshape(5, -1), quantile, axis=1)
        s = np.clip(s, 1, largest)[:, None, None, None]
        result = DynamicThreshold(quantile, largest)(lib.array(x0, "float32"))
        np.testing.assert_allclose(host(result), np.clip(x0, -s, s) / s, rtol=1e-5, atol=1e-6)
    assert DynamicThreshold()(lib.array(np.ones((0, 3)), "float32")).shape == (0, 3)
    image = sample(lambda x, t: 9 * x, FAST, DDIM(), lib.array(X), clip=DynamicThreshold())
    assert np.abs(host(image)).max() <= 1 + 1e-6


def test_any_function_may_bound_x0() -> None:
    image = sample(lambda x, t: x, FAST, DDIM(), X, clip=lambda x0: np.clip(x0, -0.5, 0.5))
    np.testing.assert_array_equal(image, sample(lambda x, t: x, FAST, DDIM(), X, clip=(-0.5, 0.5)))
