"""Parts of a path: starting and stopping anywhere, and handing over."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, EulerAncestral, Heun, Plan, Schedule, run, sample

FAST = Schedule.linear(1000).subsample(steps=20)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    return np.asarray(np.tanh(x) * np.cos(timesteps[:, None, None] / 300))


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(0.7), DDPM(), Heun(), EulerAncestral()])
@pytest.mark.parametrize("k", [1, 7, 19])
def test_two_parts_of_a_path_are_the_whole(sampler: Any, k: int) -> None:
    """Stop at point k - 1, go on from there: what handing over to another model is made of."""
    rng = np.random.default_rng(5)
    half = sample(network, FAST[k:], sampler, X, noise=rng)
    both = sample(network, FAST[:k], sampler, half, noise=rng)
    whole = sample(network, FAST, sampler, X, noise=np.random.default_rng(5))
    np.testing.assert_allclose(both, whole, rtol=1e-9, atol=1e-9)


def test_strength_starts_at_a_noised_image() -> None:
    """From 60 % of the way, the network is told the 12 least noisy timesteps alone."""
    told: list[int] = []

    def listening(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        told.append(int(timesteps[0]))
        return network(x, timesteps)

    image, noise = np.random.default_rng(0).standard_normal((2, 4, 2, 3))
    k = round(0.6 * len(FAST))
    sample(listening, FAST[:k], DDIM(), FAST.add_noise(image, noise, k - 1))
    assert told == FAST.timesteps[:12][::-1].tolist()
    # A perfect network for that image returns it, from whatever noise.
    start = FAST.add_noise(image, noise, k - 1)
    again = sample(lambda x, t: image, FAST[:k], Heun(), start, prediction="x0")
    np.testing.assert_allclose(again, image, rtol=1e-9)


def test_an_empty_path_goes_nowhere() -> None:
    plan = DDIM().plan(FAST[:0])
    assert plan.model_calls == 0
    assert run(plan, network, X) is X
    assert run(plan.reversed(), network, X) is X
    assert Plan.from_dict(plan.to_dict()) == plan
