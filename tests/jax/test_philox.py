"""Philox in 32-bit words, against NumPy's generator and Python's integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg.running import philox

jax = pytest.importorskip("jax")

from schedalg_jax import philox as traced  # noqa: E402

KEYS = np.array([[7, 0], [2**64 - 1, 3], [2**63 + 5, 2**64 - 1]], dtype=np.uint64)
WORDS = [(0, 0, 0), (-(2**63), 1, 2), (2**63 - 1, 2**40, 1), (-1, 2**64 - 1, 2**32)]
WORD = st.integers(0, 2**64 - 1)


def whole(halves: Any) -> np.ndarray:
    """Return words of 64 bits, given their halves."""
    high, low = (np.asarray(half).astype(np.uint64) for half in halves)
    return (high << np.uint64(32)) | low


@pytest.mark.parametrize("words", WORDS)
def test_the_words_are_those_of_numpys_generator(words: tuple[int, int, int]) -> None:
    even, odd = (
        whole(pair) for pair in traced._random(traced.keys_of(KEYS), traced.halves_of(words), 5)
    )
    counter = np.array([0, *(word % 2**64 for word in words)], dtype=np.uint64)
    for i, key in enumerate(KEYS):
        exact = np.random.Philox(key=key, counter=counter).random_raw(20).reshape(5, 4)
        got = np.stack([even[0, i], odd[0, i], even[1, i], odd[1, i]], axis=1)
        np.testing.assert_array_equal(got, exact)


@given(WORD, WORD, WORD, WORD)
def test_products_of_words_are_exact(a: int, b: int, c: int, d: int) -> None:
    other = traced._halves([c, d])
    high, low = traced._product(traced._halves([a, b]), tuple(jax.numpy.asarray(h) for h in other))
    got = zip(whole(high).ravel().tolist(), whole(low).ravel().tolist(), strict=True)
    for (most, least), (one, two) in zip(got, ((a, c), (b, d)), strict=True):
        assert (most << 64) + least == one * two


def test_extreme_words_have_exact_products() -> None:
    for one in (0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1):
        for two in (0, 1, 2**32 - 1, 2**32, 2**64 - 2**32, 2**64 - 1):
            other = tuple(jax.numpy.asarray(half) for half in traced._halves([two, two]))
            high, low = traced._product(traced._halves([one, one]), other)
            most, least = (int(whole(part).ravel()[0]) for part in (high, low))
            assert (most << 64) + least == one * two


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_noise_is_philoxs_with_keys_and_words_traced(words: Any, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        made = jax.jit(lambda keys, words: traced.normal(keys, words, (3, 2, 11), dtype))
        got = made(traced.keys_of(KEYS), traced.halves_of(words))
        assert str(got.dtype) == dtype
        exact = philox.normal(KEYS, words, 22).reshape(3, 2, 11)
        within = {"float32": 1e-6, "float64": 1e-14}[dtype]
        np.testing.assert_allclose(np.asarray(got), exact, rtol=within, atol=within)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tails_keep_their_digits(dtype: str) -> None:
    """Where u is next to 0 or to 1, in 60-digit arithmetic."""
    mpmath = pytest.importorskip("mpmath")
    raw = [0, 2**11, 2**40, 2**63 - 1, 2**63, 2**64 - 2**40, 2**64 - 2**11, 2**64 - 1]
    halves = traced._halves(raw)
    with jax.enable_x64(dtype == "float64"), mpmath.workdps(60):
        words = tuple(jax.numpy.asarray(half) for half in halves)
        got = np.asarray(traced._minus_log(words, np.dtype(dtype))).ravel()
        exact = [float(-mpmath.log((mpmath.mpf(w >> 11) + 0.5) / 2**53)) for w in raw]
        np.testing.assert_allclose(got, exact, rtol=4 * float(np.finfo(dtype).eps))
        turns = np.asarray(traced._angle(words, np.dtype(dtype))).ravel()
        signed = [w - 2**64 if w >= 2**63 else w for w in raw]
        angle = [float(2 * mpmath.pi * mpmath.mpf(w) / 2**64) for w in signed]
        eps = 4 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(turns, angle, rtol=eps, atol=2.0**-60)  # of a whole turn


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "uint8"])
def test_keys_of_traced_seeds_are_those_of_their_numbers(dtype: str) -> None:
    most = int(np.iinfo(dtype).max)
    with jax.enable_x64("64" in dtype):
        each = jax.numpy.asarray(np.array([0, 5, most], dtype=dtype))
        got = np.asarray(jax.jit(lambda seeds: traced.keys_of_seeds(seeds, 3))(each))
        exact = np.array([[0, 0], [5, 0], [most, 0]], dtype=np.uint64)
        np.testing.assert_array_equal(got, np.asarray(traced.keys_of(exact)))
        one = np.asarray(jax.jit(lambda seed: traced.keys_of_seeds(seed, 3))(each[2]))
        exact = np.array([[most, 0], [most, 1], [most, 2]], dtype=np.uint64)
        np.testing.assert_array_equal(one, np.asarray(traced.keys_of(exact)))
