"""The noise of `schedalg.running.philox` in operations on 32-bit words, which JAX can trace.

A word of 64 bits is a pair (high, low) of uint32, so that nothing here needs 64-bit types. The
counter's words 0 and 2 are held in one array, and so are its words 1 and 3: each round multiplies
the first two, and does to the others what is alike for both.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

#: 64-bit words, as their high and low halves.
Words: TypeAlias = tuple[Array, Array]

_HALF, _LOW = np.uint32(16), np.uint32(0xFFFF)


def _halves(words: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return words as high and low halves, along the first of three axes."""
    array = np.array(words, dtype=np.uint64)[:, None, None]
    return (array >> np.uint64(32)).astype(np.uint32), array.astype(np.uint32)


_MULTIPLIERS = _halves([0xD2E7470EE14C6C93, 0xCA5A826395121157])
_WEYL = _halves([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B])


def keys_of_seeds(seeds: Array, batch: int) -> Array:
    """Return the keys of traced seeds, (B, 4): both words of a key, the high half first.

    Seeds of 32 or 64 bits, of which the sign is a bit like any other. With one seed, sample i has
    the key of seed + i 2^64.

    Args:
        seeds: Integers, (B,) or ().
        batch: The number of samples.
    """
    low = seeds.astype(jnp.uint32)
    wide = seeds.dtype.itemsize == 8
    high = (seeds >> 32).astype(jnp.uint32) if wide else jnp.zeros_like(low)
    second = lax.iota(jnp.uint32, batch) if seeds.ndim == 0 else jnp.zeros_like(low)
    columns = (high, low, jnp.zeros_like(second), second)
    return jnp.stack([jnp.broadcast_to(column, (batch,)) for column in columns], axis=1)


def keys_of(keys: np.ndarray | Array) -> Array:
    """Return NumPy's keys, (B, 2), as halves, (B, 4), and those of traced seeds as they are."""
    if not isinstance(keys, np.ndarray):
        return keys
    halves = np.stack([keys >> np.uint64(32), keys], axis=2).astype(np.uint32)
    return jnp.asarray(halves.reshape(-1, 4))


def halves_of(words: Any) -> np.ndarray:
    """Return integers, of which the lower 64 bits count, as halves: (..., m) → (..., 2 m)."""
    unsigned = np.vectorize(lambda word: word % 2**64, otypes=[np.uint64])(
        np.asarray(words, dtype=object)
    )
    halves = np.stack([unsigned >> np.uint64(32), unsigned], axis=-1).astype(np.uint32)
    return halves.reshape(*unsigned.shape[:-1], -1)


@partial(jax.jit, static_argnums=(2, 3))
def normal(keys: Array, words: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return the noise of a draw, of a shape (B, ...), in float32 or float64.

    Args:
        keys: (B, 4), as `keys_of` returns them.
        words: (6,), the halves of level, visit and domain.
        shape: Of the noise.
        dtype: Of the noise.
    """
    count = int(np.prod(shape[1:]))
    blocks = -(-count // 4)
    even, odd = _random(keys, words, blocks)
    # Of both words of a block's pairs: (2, B, blocks).
    upper, lower = _minus_log(even, jnp.dtype(dtype)), _angle(odd, jnp.dtype(dtype))
    radius = jnp.sqrt(2 * upper)
    pairs = jnp.stack([radius * jnp.cos(lower), radius * jnp.sin(lower)])
    # (pair's half, pair, B, blocks) → (B, blocks, pair, half): elements in their order.
    elements = jnp.transpose(pairs, (2, 3, 1, 0)).reshape(shape[0], 4 * blocks)
    return elements[:, :count].reshape(shape)


def _random(keys: Array, words: Array, blocks: int) -> tuple[Words, Words]:
    """Return the words 0 and 2, and the words 1 and 3, of the blocks 1, 2, …: (2, B, blocks)."""
    shape = 2, keys.shape[0], blocks
    first = lax.iota(jnp.uint32, blocks) + np.uint32(1)
    zero = jnp.zeros_like(first)

    def pair(*both: tuple[Any, Any]) -> Words:
        high, low = (jnp.stack([zero + word for word in half]) for half in zip(*both, strict=True))
        return jnp.broadcast_to(high[:, None], shape), jnp.broadcast_to(low[:, None], shape)

    level, visit, domain = ((words[i], words[i + 1]) for i in (0, 2, 4))
    key = tuple(jnp.stack([keys[:, i, None], keys[:, 2 + i, None]]) for i in range(2))

    def one_round(_: Any, state: Any) -> Any:
        even, odd, (key_high, key_low) = state
        high, low = _product(_MULTIPLIERS, even)
        even = tuple(
            product[::-1] ^ other ^ word
            for product, other, word in zip(high, odd, (key_high, key_low), strict=True)
        )
        key_low, carry = _sum(key_low, _WEYL[1])
        return even, tuple(half[::-1] for half in low), (key_high + _WEYL[0] + carry, key_low)

    state = pair((zero, first), visit), pair(level, domain), key
    even, odd, _ = lax.fori_loop(0, 10, one_round, state)
    return even, odd


def _sum(a: Array, b: Any) -> tuple[Array, Array]:
    """Return the sum of two halves, and what is carried: 0 or 1."""
    total = a + b
    return total, (total < a).astype(jnp.uint32)


def _product_of_halves(a: Any, b: Array) -> Words:
    """Return the product of two halves as a word, by way of four of quarters."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    first, second = a_low * b_high, a_high * b_low
    middle = (a_low * b_low >> _HALF) + (first & _LOW) + second  # at most 2^32 - 1
    return a_high * b_high + (first >> _HALF) + (middle >> _HALF), a * b


def _product(a: tuple[Any, Any], b: Words) -> tuple[Words, Words]:
    """Return the high and the low word of a product, by way of four of halves."""
    (a_high, a_low), (b_high, b_low) = a, b
    low, lowest = _product_of_halves(a_low, b_low)
    first_high, first = _product_of_halves(a_low, b_high)
    second_high, second = _product_of_halves(a_high, b_low)
    highest, high = _product_of_halves(a_high, b_high)
    low, carry = _sum(low, first)
    low, other = _sum(low, second)
    high, of_first = _sum(high, first_high)
    high, of_second = _sum(high, second_high)
    high, of_carries = _sum(high, carry + other)
    return (highest + of_first + of_second + of_carries, high), (low, lowest)


def _minus_log(words: Words, dtype: np.dtype) -> Array:
    """Return -ln u, u = ((w >> 11) + 1/2) / 2^53."""
    u, rest = _fraction(words, dtype), _fraction((~words[0], ~words[1]), dtype)
    # Near 1 the digits are in 1 - u, which is the fraction of the word's complement: in float64
    # from where they are for NumPy too, and in float32 as soon as that has more of them.
    near = 1 - 2.0**-20 if dtype == np.float64 else 0.5
    return jnp.where(u > near, -jnp.log1p(-rest), -jnp.log(u))


def _fraction(words: Words, dtype: np.dtype) -> Array:
    high, low = (half.astype(dtype) for half in (words[0], words[1] >> np.uint32(11)))
    u: Array = high * dtype.type(2.0**-32) + (low + dtype.type(0.5)) * dtype.type(2.0**-53)
    return u


def _angle(words: Words, dtype: np.dtype) -> Array:
    """Return 2 pi v, v = w / 2^64 with w read as a signed integer."""
    high = lax.bitcast_convert_type(words[0], jnp.int32).astype(dtype)
    turns = high * dtype.type(2.0**-32) + words[1].astype(dtype) * dtype.type(2.0**-64)
    angle: Array = turns * dtype.type(2 * np.pi)
    return angle
