"""The network as samplers call it."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, ClassifierFreeGuidance, Denoiser, Schedule, inpaint, sample, switch

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def conditional(x: Any, timesteps: Any, y: Any) -> Any:
    """A network that depends on one number for each sample."""
    return 0.5 * x + 0.1 * y[:, None, None]


def test_finiteness_is_checked_in_every_network_of_a_denoiser() -> None:
    bad = Denoiser(lambda x, t: x * np.nan, FAST, clip=(-1, 1))
    good = Denoiser(lambda x, t: x, FAST)
    for denoise in (bad, switch(good, bad, sigma_min=1.0), inpaint(bad, X, np.zeros(3))):
        with pytest.raises(ValueError, match="NaN or infinity in call"):
            sample(denoise, FAST, DDIM(), X, check_finite=True)
    own = Denoiser.from_function(lambda x, t: x * np.inf, FAST)
    with pytest.raises(ValueError, match="NaN or infinity"):
        sample(own, FAST, DDIM(), X, check_finite=True)


def test_a_class_of_ones_own_may_override_how_the_network_is_called() -> None:
    class Halved(Denoiser):
        def output(  # type: ignore[override]
            self, x: Any, timesteps: Any, timestep: int | float | None = None
        ) -> tuple[Any, Any]:
            output, variance = super().output(x, timesteps, timestep)
            return output / 2, variance

    given = sample(Halved(lambda x, t: np.tanh(x), FAST), FAST, DDIM(), X)
    np.testing.assert_array_equal(given, sample(lambda x, t: np.tanh(x) / 2, FAST, DDIM(), X))


def test_a_denoiser_serves_slices_of_its_schedule() -> None:
    """Image to image with guidance in an interval: the denoiser is made for the whole schedule."""
    y, n = np.arange(4.0), np.zeros(4)
    strong = Denoiser(ClassifierFreeGuidance(conditional, 3.0, {"y": y}, {"y": n}), FAST)
    weak = Denoiser(conditional, FAST, model_kwargs={"y": y})
    guided = switch(strong, weak, 0.3, 5.0)
    half = sample(guided, FAST[5:], DDIM(), X)
    image = sample(guided, FAST[:5], DDIM(), half)
    np.testing.assert_allclose(image, sample(guided, FAST, DDIM(), X), rtol=1e-9)
    for other in (FAST[::2], FAST.as_ve(), Schedule.linear(12)):
        with pytest.raises(ValueError, match="another schedule"):
            sample(guided, other, DDIM(), X)
