"""Counter-based noise: known answers, NumPy's own words, moments, independence, reproduction."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDPM, EulerAncestral, Plan, Point, Schedule, sample
from schedalg.running import philox
from schedalg.running.noise import drawing, noise_for
from tests.libraries import Library, host, lib

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=5)
X = np.random.default_rng(3).standard_normal((4, 3, 5))


def network(x: Any, timesteps: Any) -> Any:
    return x / 9


def words(key: list[int], counter: list[int]) -> list[int]:
    """Return the block at a counter: NumPy's generator adds 1 before it makes one."""
    number = (sum(word << (64 * i) for i, word in enumerate(counter)) - 1) % 2**256
    before = [number >> (64 * i) & (2**64 - 1) for i in range(4)]
    generator = np.random.Philox(
        key=np.array(key, dtype=np.uint64), counter=np.array(before, dtype=np.uint64)
    )
    return generator.random_raw(4).tolist()


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("0 0 0 0", "0 0", "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        (
            "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
            "ffffffffffffffff ffffffffffffffff",
            "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
        ),
        (
            "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
            "452821e638d01377 be5466cf34e90c6c",
            "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
        ),
    ],
)
def test_known_answers_of_philox4x64_10(counter: str, key: str, expected: str) -> None:
    """The vectors that come with Random123 (Salmon et al., SC 2011)."""
    numbers = [[int(word, 16) for word in text.split()] for text in (key, counter, expected)]
    assert words(numbers[0], numbers[1]) == numbers[2]


@pytest.mark.parametrize("row", [0, 3, philox.BEFORE])
@pytest.mark.parametrize("count", [1, 6, 128, 129])
def test_many_samples_have_the_words_of_each(count: int, row: int) -> None:
    """In batches that are made by arithmetic on arrays, and alone, by NumPy's generator."""
    keys = np.random.default_rng(1).integers(0, 2**64, (40, 2), dtype=np.uint64)
    keys[:3] = [[0, 0], [2**64 - 1, 2**64 - 1], [1, 0]]
    given = keys.copy()
    batch = philox.normal(keys, row, count)
    alone = [philox.normal(keys[i : i + 1], row, count)[0] for i in range(40)]
    np.testing.assert_array_equal(batch, alone)
    np.testing.assert_array_equal(keys, given)


@pytest.mark.parametrize("row", [0, 3, philox.BEFORE])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_normals_are_those_of_the_words(row: int, count: int) -> None:
    """Box and Muller in Python's integers and mpmath, element by element."""
    mpmath = pytest.importorskip("mpmath")
    key = [2**64 - 5, 9]
    drawn = philox.normal(np.array([key], dtype=np.uint64), row, count)[0]
    single = philox.normal(np.array([key], dtype=np.uint64), row, count, single=True)[0]
    assert single.dtype == np.float32
    for j in range(count):
        block = words(key, [j // 4 + 1, row, 0, 0])
        u, other = block[j % 4 // 2 * 2], block[j % 4 // 2 * 2 + 1]
        signed = other - 2**64 if other >= 2**63 else other
        radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(2 * (u >> 11) + 1) / 2**54))
        turn = 2 * mpmath.pi * mpmath.mpf(signed) / 2**64
        exact = float(radius * (mpmath.sin(turn) if j % 2 else mpmath.cos(turn)))
        assert drawn[j] == pytest.approx(exact, rel=1e-12, abs=1e-14)
        assert single[j] == pytest.approx(exact, rel=1e-5, abs=3e-6)


def test_moments_are_those_of_a_standard_normal() -> None:
    keys = np.array([[k, 0] for k in range(8)], dtype=np.uint64)
    z = philox.normal(keys, 2, 2**17).ravel()
    n = len(z)
    exact = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0, 6: 15.0}
    spread = {1: 1.0, 2: 2.0, 3: 15.0, 4: 96.0, 6: 10170.0}  # variances of the powers
    for power, moment in exact.items():
        assert abs((z**power).mean() - moment) < 5 * np.sqrt(spread[power] / n), power
    scipy = pytest.importorskip("scipy.special")
    sorted_cdf = scipy.ndtr(np.sort(z))
    distance = np.abs(sorted_cdf - (np.arange(n) + 0.5) / n).max()
    assert distance < 1.95 / np.sqrt(n)  # Kolmogorov and Smirnov, at one in a thousand


def test_samples_rows_and_places_are_independent() -> None:
    """No correlation of neighbours: of seeds, of samples of a seed, of rows, of elements."""
    n = 2**16
    keys = np.array([[7, 0], [8, 0], [7, 1], [0, 7], [7 + 2**32, 0]], dtype=np.uint64)
    streams = [*philox.normal(keys, 0, n), *philox.normal(keys[:1], 1, n)]
    streams += [philox.normal(keys[:1], philox.BEFORE, n)[0], np.roll(streams[0], 1)]
    streams += [np.roll(streams[0], 4)]
    for powers in (1, 2):
        correlation = np.corrcoef(np.array(streams) ** powers)
        np.fill_diagonal(correlation, 0)
        assert np.abs(correlation).max() < 5 / np.sqrt(n)


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


def test_rows_take_their_own_noise() -> None:
    """Row k of a table has the noise of row k, also where rows before it have none."""
    schedule = FAST[:3]
    c = np.array([0.0, 2.0, 3.0])
    plan = Plan.of(schedule, a=np.ones(3), b=np.zeros(3), c=c, start=(1.0, 5.0))
    keys = np.array([[7, i] for i in range(4)], dtype=np.uint64)
    z = {row: philox.normal(keys, row, 15).reshape(X.shape) for row in (1, 2, philox.BEFORE)}
    expected = X + 5 * z[philox.BEFORE] + 2 * z[1] + 3 * z[2]
    np.testing.assert_allclose(plan.run(network, X, noise=7), expected, rtol=1e-12)


def test_a_sampler_without_a_table_draws_rows_in_turn() -> None:
    draw = drawing(X, [1, 2, 3, 4])
    keys = np.array([[i + 1, 0] for i in range(4)], dtype=np.uint64)
    for row in range(3):
        exact = philox.normal(keys, row, 15).reshape(X.shape)
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


def test_normals_keep_their_digits_where_u_is_almost_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest words: u is 1 - 2^-54, which float64 cannot hold."""

    class Largest:
        def __init__(self, **keywords: Any) -> None:
            pass

        def random_raw(self, count: int) -> np.ndarray:
            return np.resize(np.array([2**64 - 1, 0], dtype=np.uint64), count)

    monkeypatch.setattr(np.random, "Philox", Largest)
    drawn = philox.normal(np.zeros((1, 2), dtype=np.uint64), 0, 2)
    assert drawn[0, 0] == pytest.approx(2.0**-26.5, rel=1e-12)


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        ([1, 2, 3, 4, 5], ValueError, "noise holds 5 seeds for 4 samples of x"),
        ([1, 2, 3], ValueError, "noise holds 3 seeds for 4 samples of x"),
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
    draw = drawing(X, [1, 2, 3, 4])
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
