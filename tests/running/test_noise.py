"""Where noise comes from: seeds, generators, functions, and that a run is made again."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDPM, EulerAncestral, Plan, Point, Schedule, run, sample
from schedalg.running import philox
from schedalg.running.arrivals import CLEAN
from schedalg.running.noise import StepNoise, noise_for
from tests.libraries import Library, host, lib

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=5)
X = np.random.default_rng(3).standard_normal((4, 3, 5))


def network(x: Any, timesteps: Any) -> Any:
    return x / 9


def test_a_sample_is_the_same_in_any_batch(lib: Library) -> None:
    x = lib.array(X)
    together = host(sample(network, FAST, DDPM(), x, noise=[11, 12, 13, 14]))
    for i in range(4):
        for seed in (11 + i, [11 + i], np.array([11 + i])):
            alone = host(sample(network, FAST, DDPM(), x[i : i + 1, ...], noise=seed))
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-5, atol=1e-6)
    turned = host(sample(network, FAST, DDPM(), lib.xp.flip(x, axis=0), noise=[14, 13, 12, 11]))
    np.testing.assert_allclose(turned[::-1], together, rtol=1e-5, atol=1e-6)


def test_one_seed_is_a_seed_for_each_sample() -> None:
    seeds = [7 + (i << 64) for i in range(4)]
    one = sample(network, FAST, DDPM(), X, noise=7)
    np.testing.assert_array_equal(one, sample(network, FAST, DDPM(), X, noise=seeds))
    np.testing.assert_array_equal(one[:2], sample(network, FAST, DDPM(), X[:2], noise=7))
    third = sample(network, FAST, DDPM(), X[2:3], noise=seeds[2])
    np.testing.assert_array_equal(third, one[2:3])
    last = sample(network, FAST, DDPM(), X, noise=2**128 - 1)
    wrapped = [(2**128 - 1 + (i << 64)) % 2**128 for i in range(4)]
    np.testing.assert_array_equal(last, sample(network, FAST, DDPM(), X, noise=wrapped))


def test_rows_take_the_noise_of_the_level_where_they_arrive() -> None:
    """Also where rows before have none; what is added before the first row, that of its level."""
    schedule = FAST[:3]
    c = np.array([0.0, 2.0, 3.0])
    plan = Plan.of(schedule, a=np.ones(3), b=np.zeros(3), c=c, start=(1.0, 5.0))
    keys = np.array([[7, i] for i in range(4)], dtype=np.uint64)
    levels = [round(2**20 * float(log_snr)) for log_snr in schedule.to_log_snr()[::-1]]
    first, _, second, third = (
        philox.normal(keys, (level, 0, philox.STEP), 15).reshape(X.shape)
        for level in (*levels, CLEAN)
    )
    expected = X + 5 * first + 2 * second + 3 * third
    np.testing.assert_allclose(run(plan, network, X, noise=7), expected, rtol=1e-12)


def test_a_sampler_without_a_plan_draws_by_level_and_in_turn() -> None:
    draw = StepNoise(X, [1, 2, 3, 4])
    keys = np.array([[i + 1, 0] for i in range(4)], dtype=np.uint64)
    for level in (-(2**19), CLEAN):
        draw.arrive(level)
        for visit in range(3):
            exact = philox.normal(keys, (level, visit, philox.WITHIN), 15).reshape(X.shape)
            np.testing.assert_array_equal(draw(X), exact)

    class Ancestral:
        def init(self, x: np.ndarray, schedule: Schedule) -> None:
            return None

        def step(
            self, x: Any, t: Point, s: Point, denoise: Any, noise: Any, state: None
        ) -> tuple[Any, None]:
            return s.alpha * denoise(x, t) + s.sigma * noise(x), state

    first, again = (sample(network, FAST, Ancestral(), X, noise=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_no_seed_is_a_new_one_each_time() -> None:
    images = [sample(network, FAST, DDPM(), X) for _ in range(2)]
    assert (images[0] != images[1]).any()


def test_seeds_may_be_arrays_of_integers() -> None:
    torch = pytest.importorskip("torch")
    expected = sample(network, FAST, DDPM(), X, noise=[1, 2, 3, 4])
    for seeds in (np.arange(1, 5), np.arange(1, 5, dtype=np.uint8), range(1, 5), (1, 2, 3, 4)):
        np.testing.assert_array_equal(sample(network, FAST, DDPM(), X, noise=seeds), expected)
    one = sample(network, FAST, DDPM(), X, noise=7)
    for seed in (np.array(7), np.uint64(7), torch.tensor(7)):
        np.testing.assert_array_equal(sample(network, FAST, DDPM(), X, noise=seed), one)
    seeds = torch.arange(1, 5)
    np.testing.assert_array_equal(sample(network, FAST, DDPM(), X, noise=seeds), expected)


def test_arrays_of_jax_are_seeds_unless_they_are_keys() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(X, dtype="float32")
    expected = sample(network, FAST, DDPM(), x, noise=[1, 2, 3, 4])
    result = sample(network, FAST, DDPM(), x, noise=jax.numpy.arange(1, 5))
    np.testing.assert_array_equal(result, expected)
    with pytest.raises(ValueError, match="noise holds 3 seeds for 4 samples"):
        sample(network, FAST, DDPM(), x, noise=jax.numpy.arange(3))
    images = [
        sample(network, FAST, DDPM(), x, noise=key)
        for key in (jax.random.key(3), jax.random.PRNGKey(3))
    ]
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        ([1, 2, 3, 4, 5], ValueError, "noise holds 5 seeds for 4 samples of x"),
        ([1, 2, 3], ValueError, "noise holds 3 seeds for 4 samples of x"),
        (range(2**63), ValueError, f"noise holds {2**63} seeds for 4 samples of x"),
        (range(2**80, 0, -2), ValueError, f"noise holds {2**79} seeds for 4 samples of x"),
        ([], ValueError, "noise holds 0 seeds for 4 samples of x"),
        ([1, 2, -3, 4], ValueError, "noise[2]: a seed must be at least 0 and less than 2**128"),
        ([1, 2, 3, 2**128], ValueError, "noise[3]: a seed must be at least 0 and less than 2**128"),
        ([1, 2.0, 3, 4], TypeError, "noise[1] must be an integer, got 2.0"),
        ([True, 2, 3, 4], TypeError, "noise[0] must be an integer, got True"),
        (["7", 2, 3, 4], TypeError, "noise[0] must be an integer, got '7'"),
        (-1, ValueError, "noise: a seed must be at least 0 and less than 2**128, got -1"),
        (2**128, ValueError, "noise: a seed must be at least 0 and less than 2**128"),
        (7.0, TypeError, "noise must be None, a seed, a list of seeds"),
        ("7", TypeError, "noise must be None, a seed, a list of seeds"),
        (np.ones(4), TypeError, "noise must be None, a seed, a list of seeds"),
        (np.ones((4, 1), dtype=int), TypeError, "noise must be None, a seed, a list of seeds"),
    ],
)
def test_bad_seeds_are_named(noise: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        sample(network, FAST, DDPM(), X, noise=noise)


def test_noise_for_another_batch_is_named() -> None:
    draw = StepNoise(X, [1, 2, 3, 4])
    with pytest.raises(ValueError, match="noise has 4 seeds, and is drawn for 2 samples"):
        draw(X[:2])


def test_generators_and_functions_draw_for_themselves() -> None:
    source: Callable[[np.ndarray], np.ndarray] = np.ones_like
    assert callable(noise_for(X, source))
    assert callable(noise_for(X, np.random.default_rng(0)))
    assert isinstance(noise_for(X, 7), np.ndarray)
    schedule = Schedule.karras(4)
    images = [
        sample(network, schedule, EulerAncestral(), X, noise=np.random.default_rng(1))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*images)
