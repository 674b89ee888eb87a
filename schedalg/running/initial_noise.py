"""The noise that sampling starts from: made from seeds, and checked if one asks for it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    device,
    known,
    multiplier,
    namespace,
    to_host,
    weighted,
    widened,
)
from schedalg.checks import check_sample, described, integer, require_whole, shown
from schedalg.libraries import constant
from schedalg.running.backend import backend_for
from schedalg.running.noise import constant_normals, keys_for
from schedalg.running.philox import START
from schedalg.schedule import Schedule, check_schedule

#: No draw of normal noise is larger: they are made of 53 bits.
_FARTHEST = 8.7


def initial_noise(
    schedule: Schedule,
    shape: Sequence[int],
    seeds: int | Sequence[int],
    *,
    like: Array | None = None,
) -> Array:
    """Return x at the schedule's noisiest point, `prior_std` times normal noise made from seeds.

    Element j of a sample depends on the sample's seed and on j alone: not on the batch, the
    library, the device or the schedule but for its scale. It shares no draw with the noise of
    steps. So with the same seeds for `sample`, a sample is a function of its seed:

        x = initial_noise(schedule, (4, 3, 64, 64), [10, 11, 12, 13], like=weights)
        sample(model, schedule, DDPM(), x, noise=[10, 11, 12, 13])

    Args:
        schedule: The schedule that is sampled.
        shape: (B, ...).
        seeds: A seed for each sample, as `noise` of `sample` takes them: integers from 0 to
            2^128 - 1. With one seed, sample i is that of seed + i 2^64. JAX may trace them.
        like: An array whose library, device and dtype the result has. None: NumPy's float64.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A seed is out of range, there is not one a sample, the shape has no batch
            dimension or a negative number, or the dtype does not hold noise of that spread.

    Example:
        >>> from schedalg import Schedule, initial_noise
        >>> s = Schedule.karras(10)
        >>> batch = initial_noise(s, (2, 3), [7, 8])
        >>> bool((initial_noise(s, (1, 3), 8) == batch[1:]).all())
        True

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    check_schedule(schedule)
    sizes = sizes_of(shape)
    if not sizes:
        raise ValueError("shape must have a batch dimension, (B, ...); got ()")
    if like is None:
        like = np.empty(0)
    else:
        check_sample("like", like)
    wide = widened(like[:0, ...])
    x = namespace(wide).empty(sizes, dtype=wide.dtype, device=device(wide))
    words = (0, 0, START)
    if compiling(x):
        (z,) = constant_normals(x, "seeds", seeds, [words])
        scaled = _constant_prior_std(schedule) * z
    else:
        _check_holds(schedule, like)
        traced = known(x).traced_keys("seeds", seeds, x)
        keys = keys_for("seeds", seeds, sizes[0]) if traced is None else traced
        z = backend_for(x).normal(x, keys, words)
        scaled = weighted([(multiplier(schedule.prior_std, wide), z)])
    return namespace(like).astype(scaled, like.dtype)


def _check_holds(schedule: Schedule, like: Array) -> None:
    """Raise if noise of the schedule's spread may be beyond the largest number of a dtype.

    Raises:
        ValueError: It may be.
    """
    std = schedule.prior_std
    if not isinstance(std, float) or std == 1:
        return
    largest = float(namespace(like).finfo(like.dtype).max)
    if std * _FARTHEST > largest:
        raise ValueError(
            f"like is of dtype {like.dtype}, whose numbers end at {largest:.4g}: noise of "
            f"prior_std {std:.4g} may be beyond; take a wider dtype, or schedule.as_vp()"
        )


def check_initial_noise(schedule: Schedule, x: Array) -> None:
    """Raise if the spread of x is far from that of the noise which sampling starts from.

    Noise that was not multiplied by `prior_std` (80 on many schedules in the ve scale) gives
    images without a word. The root mean square of all elements is to be within a quarter of
    `prior_std`, and six standard errors more. It takes a pass over x, so `sample` does not do it.

    Args:
        schedule: The schedule whose noisiest point x is at.
        x: (B, ...), the start.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The spread is another, or x is empty.

    Example:
        >>> from schedalg import Schedule, check_initial_noise, initial_noise
        >>> karras = Schedule.karras(10)
        >>> check_initial_noise(karras, initial_noise(karras, (2, 3, 8, 8), 7))
        >>> check_initial_noise(karras, initial_noise(karras.as_vp(), (2, 3, 8, 8), 7))
        ... # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: x has a spread of 0.973, and the schedule starts from noise with a ...
    """
    check_schedule(schedule)
    check_sample("x", x)
    count = math.prod(x.shape)
    if count == 0:
        raise ValueError(f"x is empty, and has no spread: shape {tuple(x.shape)}")
    expected = float(schedule.prior_std)
    wide = widened(x) / expected  # so that no square leaves float32
    ratio = math.sqrt(float(to_host(namespace(x).mean(wide * wide))))
    errors = 6 / math.sqrt(2 * count)
    if not 0.8 * (1 - errors) <= ratio <= 1.25 * (1 + errors):
        raise ValueError(
            f"x has a spread of {ratio * expected:.3g}, and the schedule starts from noise with a "
            f"spread of {expected:.3g}: multiply standard normal noise by schedule.prior_std"
        )


@constant
def _constant_prior_std(schedule: Schedule) -> float:
    require_whole("schedule", schedule)
    return float(to_host(schedule.prior_std))


def sizes_of(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple.

    Raises:
        TypeError: It is not a sequence of integers.
        ValueError: A number is negative, or no machine holds so many elements.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes):
        raise TypeError(f"shape must be a sequence of integers, got {described(shape)}")
    sizes = tuple(integer(f"shape[{i}]", size) for i, size in enumerate(shape))
    for i, size in enumerate(sizes):
        if size < 0:
            raise ValueError(f"shape[{i}] must be at least 0, got {shown(size)}")
    if math.prod(sizes) >= 2**60:
        raise ValueError(f"shape is {shown(sizes)}: no machine holds so many elements")
    return sizes
