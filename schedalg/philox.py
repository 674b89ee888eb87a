"""Counter-based normal noise: each number is a function of a key, a row and a place, and no state.

Philox4x64-10 turns a key of two 64-bit words and a counter of four into four random words. Element
j of a sample in row k takes from the block with the counter (j // 4 + 1, k, 0, 0):

    u = ((w >> 11) + 1/2) / 2^53,  v = w' / 2^64 with w' read as a signed integer,
    z = sqrt(-2 ln u) cos(2 pi v),  z' = sqrt(-2 ln u) sin(2 pi v),

elements 4q and 4q + 1 from the block's first two words w and w', the next two from the other two.
These are the words of NumPy's `Philox(key=..., counter=[0, k, 0, 0])`. A backend that makes the
noise on a device makes these same numbers, to its own rounding.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and Muller, 1958.
"""

import numpy as np

#: The row of the noise that is added before the first row.
BEFORE = 2**64 - 1


def normal(keys: np.ndarray, row: int, count: int, *, single: bool = False) -> np.ndarray:
    """Return the first elements of every sample in a row, (B, count).

    Args:
        keys: (B, 2), uint64.
        row: The row, from 0, or `BEFORE`.
        count: Number of elements of a sample.
        single: Whether to return float32, with the sine and cosine taken in it. Otherwise float64.

    Example:
        >>> import numpy as np
        >>> normal(np.array([[7, 0]], dtype=np.uint64), row=0, count=5).round(3)
        array([[-0.147,  0.502, -1.091,  0.738, -0.734]])
    """
    blocks = -(-count // 4)
    raw = np.empty((len(keys), 2 * blocks, 2), dtype=np.uint64)
    for key, words in zip(keys, raw, strict=True):
        philox = np.random.Philox(key=key, counter=np.array([0, row, 0, 0], dtype=np.uint64))
        words.reshape(-1)[:] = philox.random_raw(4 * blocks)
    real = np.float32 if single else np.float64
    u = (raw[..., 0] >> np.uint64(11)) + 0.5
    u *= 2.0**-53
    near = np.nonzero(u > 1 - 2.0**-20)  # whose digits are in 1 - u
    rest = ((~raw[..., 0][near] >> np.uint64(11)) + 0.5) * 2.0**-53
    np.log(u, out=u)
    u[near] = np.log1p(-rest)
    u *= -2
    radius = np.sqrt(u, out=u).astype(real, copy=False)
    angle = (raw[..., 1].view(np.int64) * (2 * np.pi * 2.0**-64)).astype(real, copy=False)
    pairs = np.empty(raw.shape, dtype=real)
    np.multiply(radius, np.cos(angle), out=pairs[..., 0])
    np.multiply(radius, np.sin(angle), out=pairs[..., 1])
    return pairs.reshape(len(keys), 4 * blocks)[:, :count]
