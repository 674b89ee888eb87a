"""Counter-based noise: known answers, NumPy's own words, moments, independence."""

from typing import Any

import numpy as np
import pytest

from schedalg.running import philox


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


DRAWS = [(0, 0, 0), (3 << 20, 2, 1), (-(2**63), 2**40, 2)]


#: The most words of a sample, and the fewest samples, that are made together.
WORDS, MANY = 4 * philox._FEW, philox._MANY


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("count", [1, 6, WORDS, WORDS + 1])
def test_many_samples_have_the_words_of_each(count: int, draw: Any) -> None:
    """In batches that are made by arithmetic on arrays, and alone, by NumPy's generator."""
    keys = np.random.default_rng(1).integers(0, 2**64, (MANY, 2), dtype=np.uint64)
    keys[:3] = [[0, 0], [2**64 - 1, 2**64 - 1], [1, 0]]
    given = keys.copy()
    batch = philox.normal(keys, draw, count)
    alone = [philox.normal(keys[i : i + 1], draw, count)[0] for i in range(MANY)]
    np.testing.assert_array_equal(batch, alone)
    np.testing.assert_array_equal(keys, given)


@pytest.mark.parametrize("count", [1, 6, WORDS + 1])
@pytest.mark.parametrize("samples", [3, MANY])
def test_samples_have_draws_of_their_own(samples: int, count: int) -> None:
    keys = np.random.default_rng(1).integers(0, 2**64, (samples, 2), dtype=np.uint64)
    draws = [DRAWS[i % 3] for i in range(samples)]
    batch = philox.normal(keys, np.array(draws), count)
    alone = [philox.normal(keys[i : i + 1], draws[i], count)[0] for i in range(samples)]
    np.testing.assert_array_equal(batch, alone)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("count", [1, 4, 7])
def test_normals_are_those_of_the_words(draw: Any, count: int) -> None:
    """Box and Muller in Python's integers and mpmath, element by element."""
    mpmath = pytest.importorskip("mpmath")
    key = [2**64 - 5, 9]
    drawn = philox.normal(np.array([key], dtype=np.uint64), draw, count)[0]
    single = philox.normal(np.array([key], dtype=np.uint64), draw, count, single=True)[0]
    assert single.dtype == np.float32
    for j in range(count):
        block = words(key, [j // 4 + 1, *(word % 2**64 for word in draw)])
        u, other = block[j % 4 // 2 * 2], block[j % 4 // 2 * 2 + 1]
        signed = other - 2**64 if other >= 2**63 else other
        radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(2 * (u >> 11) + 1) / 2**54))
        turn = 2 * mpmath.pi * mpmath.mpf(signed) / 2**64
        exact = float(radius * (mpmath.sin(turn) if j % 2 else mpmath.cos(turn)))
        assert drawn[j] == pytest.approx(exact, rel=1e-12, abs=1e-14)
        assert single[j] == pytest.approx(exact, rel=1e-5, abs=3e-6)


def test_moments_are_those_of_a_standard_normal() -> None:
    keys = np.array([[k, 0] for k in range(8)], dtype=np.uint64)
    z = philox.normal(keys, (2, 0, 0), 2**17).ravel()
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
    """No correlation of neighbours: of seeds, of samples of a seed, of words, of elements."""
    n = 2**16
    keys = np.array([[7, 0], [8, 0], [7, 1], [0, 7], [7 + 2**32, 0]], dtype=np.uint64)
    streams = [*philox.normal(keys, (0, 0, 0), n), *philox.normal(keys[:1], (1, 0, 0), n)]
    streams += [philox.normal(keys[:1], draw, n)[0] for draw in ((-1, 0, 0), (0, 1, 0), (0, 0, 1))]
    streams += [np.roll(streams[0], 1)]
    streams += [np.roll(streams[0], 4)]
    for powers in (1, 2):
        correlation = np.corrcoef(np.array(streams) ** powers)
        np.fill_diagonal(correlation, 0)
        assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_normals_keep_their_digits_where_u_is_almost_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest words: u is 1 - 2^-54, which float64 cannot hold."""

    class Largest:
        def __init__(self, **keywords: Any) -> None:
            pass

        def random_raw(self, count: int) -> np.ndarray:
            return np.resize(np.array([2**64 - 1, 0], dtype=np.uint64), count)

    monkeypatch.setattr(np.random, "Philox", Largest)
    drawn = philox.normal(np.zeros((1, 2), dtype=np.uint64), (0, 0, 0), 2)
    assert drawn[0, 0] == pytest.approx(2.0**-26.5, rel=1e-12)


def test_a_part_of_a_sample_is_that_part() -> None:
    keys = np.array([[7, 1], [8, 2]], dtype=np.uint64)
    whole = philox.normal(keys, (5, 1, 0), 50)
    for start in (0, 4, 24, 48):
        part = philox.normal(keys, (5, 1, 0), 50 - start, start=start)
        np.testing.assert_array_equal(part, whole[:, start:])
