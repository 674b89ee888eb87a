"""What measurements of a network on data share: the parts that data are taken in, and squares."""

import math

import numpy as np

from schedalg.arrays import Array, device, namespace, real_dtype, to_host


def parts_of(data: Array, size: int) -> list[slice]:
    """Return the parts of so many samples that data are taken in.

    Raises:
        ValueError: There are no data.
    """
    if math.prod(data.shape) == 0:
        raise ValueError(f"data are empty: shape {tuple(data.shape)}")
    count = int(data.shape[0])
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def mean_squares(values: Array) -> np.ndarray:
    """Return the mean of squares over the elements of each sample, (B,), float64.

    They are squared in float64, where the library has it: the squares of float32 leave its range.
    """
    xp = namespace(values)
    wide = xp.astype(values, real_dtype(xp, device(values)), copy=False)
    flat = xp.reshape(wide, (wide.shape[0], -1))
    with np.errstate(over="ignore"):  # to infinity, which is an error of those who ask
        return to_host(xp.mean(flat * flat, axis=1)).astype(np.float64)
