"""Counter-based normal noise: a function of a key, of three words and of a place, and no state.

Philox4x64-10 turns a key of two 64-bit words and a counter of four into four random words. A draw
has three words of its own: a noise level, how often that level was visited before, and a domain
(see `arrivals`). Element j of a sample takes from the block with the counter
(j // 4 + 1, level, visit, domain):

    u = ((w >> 11) + 1/2) / 2^53,  v = w' / 2^64 with w' read as a signed integer,
    z = sqrt(-2 ln u) cos(2 pi v),  z' = sqrt(-2 ln u) sin(2 pi v),

elements 4q and 4q + 1 from the block's first two words w and w', the next two from the other two.
These are the words of NumPy's `Philox(key=..., counter=[0, level, visit, domain])`. A backend that
makes the noise on a device makes these same numbers, to its own rounding.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and Muller, 1958.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.forks import WORK

#: So many samples or more, with up to so many blocks, are made together: there, asking a generator
#: for each takes longer than its words.
_MANY, _FEW = 256, 8
_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], dtype=np.uint64)
_LOW, _HALF = np.uint64(2**32 - 1), np.uint64(32)
#: The state of NumPy's generator as it is made, less its key and counter: the buffer is used up.
_AT_FIRST: dict[str, Any] = {
    "bit_generator": "Philox",
    "buffer": np.zeros(4, np.uint64),
    "buffer_pos": 4,
    "has_uint32": 0,
    "uinteger": 0,
}

#: The domains of draws: noise that a row of a plan adds, the noise that sampling starts from, what
#: a sampler without a plan draws within its steps, the noise with which errors are measured, and
#: the directions in which a divergence is.
STEP, START, WITHIN, MEASURE, PROBE = 0, 1, 2, 3, 4


def normal(
    keys: np.ndarray,
    words: Sequence[int] | np.ndarray,
    count: int,
    *,
    start: int = 0,
    single: bool = False,
) -> np.ndarray:
    """Return the elements start, start + 1, … of every sample of a draw, (B, count).

    Args:
        keys: (B, 2), uint64.
        words: Level, visit and domain: integers, of which the lower 64 bits count. Or those of
            each sample, int64, (B, 3).
        count: Number of elements of a sample.
        start: The first of them, a multiple of 4.
        single: Whether to return float32, with the sine and cosine taken in it. Otherwise float64.

    Example:
        >>> import numpy as np
        >>> normal(np.array([[7, 0]], dtype=np.uint64), words=(0, 0, 0), count=5).round(3)
        array([[-0.147,  0.502, -1.091,  0.738, -0.734]])
    """
    blocks = -(-count // 4)
    words_of = _of_many if len(keys) >= _MANY and blocks <= _FEW else _of_each
    if not isinstance(words, np.ndarray):
        words = np.array([[word % 2**64 for word in words]], dtype=np.uint64)
    words = words.astype(np.uint64, copy=False)
    raw = words_of(keys, words, start // 4, blocks).reshape(len(keys), 2 * blocks, 2)
    real = np.float32 if single else np.float64
    u = (raw[..., 0] >> np.uint64(11)) + 0.5
    u *= 2.0**-53
    near = u > 1 - 2.0**-20  # whose digits are in 1 - u
    np.log(u, out=u)
    if np.count_nonzero(near):
        rest = ((~raw[..., 0][near] >> np.uint64(11)) + 0.5) * 2.0**-53
        u[near] = np.log1p(-rest)
    u *= -2
    radius = np.sqrt(u, out=u).astype(real, copy=False)
    angle = (raw[..., 1].view(np.int64) * (2 * np.pi * 2.0**-64)).astype(real, copy=False)
    pairs = np.empty(raw.shape, dtype=real)
    np.multiply(radius, np.cos(angle), out=pairs[..., 0])
    np.multiply(radius, np.sin(angle), out=pairs[..., 1])
    return pairs.reshape(len(keys), 4 * blocks)[:, :count]


def _of_each(keys: np.ndarray, words: np.ndarray, first: int, blocks: int) -> np.ndarray:
    """Return the words of blocks of every sample, (B, 4 blocks), by NumPy's generator."""
    counters = np.empty((len(keys), 4), dtype=np.uint64)
    counters[:, 0], counters[:, 1:] = first, words
    raw = np.empty((len(keys), 4 * blocks), dtype=np.uint64)
    with WORK:  # NumPy loads its random numbers when they are first named
        make = np.random.Philox
    generator: Any = None
    for key, counter, result in zip(keys, counters, raw, strict=True):
        if generator is None:
            generator = make(key=key, counter=counter)
        else:  # in a tenth of the time that another one is made in
            generator.state = {**_AT_FIRST, "state": {"key": key, "counter": counter}}
        result[:] = generator.random_raw(4 * blocks)
    return raw


def _of_many(keys: np.ndarray, words: np.ndarray, first: int, blocks: int) -> np.ndarray:
    """Return the same for all samples at once, by arithmetic on arrays."""
    shape = len(keys), blocks
    c0 = np.broadcast_to(np.arange(first + 1, first + blocks + 1, dtype=np.uint64), shape)
    c1, c2, c3 = (np.broadcast_to(word[:, None], shape) for word in words.T)
    keys = keys.copy()
    for _ in range(10):
        high_0, low_0 = _product(_MULTIPLIERS[0], c0)
        high_1, low_1 = _product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ keys[:, :1], low_1, high_0 ^ c3 ^ keys[:, 1:], low_0
        keys += _WEYL
    return np.stack([c0, c1, c2, c3], axis=2)


def _product(a: int, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the high and the low word of a product, by way of four of half words."""
    a_high, a_low = np.uint64(a >> 32), np.uint64(a % 2**32)
    b_high, b_low = b >> _HALF, b & _LOW
    first, second = a_low * b_high, a_high * b_low
    middle = (a_low * b_low >> _HALF) + (first & _LOW) + (second & _LOW)
    high = a_high * b_high + (first >> _HALF) + (second >> _HALF) + (middle >> _HALF)
    return high, np.uint64(a) * b
