"""The noise of frames: each has its part of what the sample would have in the ordinary run."""

from typing import Any

import numpy as np

from schedalg.arrays import Array, device, is_half, multiplier, namespace, weighted, widened
from schedalg.plan.plan import Plan
from schedalg.running.noise import drawn
from schedalg.running.philox import START, STEP
from schedalg.running.preparation import Source, raise_without_variance
from schedalg.running.rows import Rows


class FrameNoise:
    """The noise of the frames of x, (B, T, ...), from the source of an ordinary run.

    Frames have numbers in their sample, from 0.

    Args:
        plan: The plan.
        rows: The plan multiplied out.
        source: Where the noise comes from.
    """

    def __init__(self, plan: Plan, rows: Rows, source: Source) -> None:
        self.plan = plan
        self.rows = rows
        self.source: Any = source

    def of_rows(
        self, x: Array, k: np.ndarray, going: np.ndarray, numbers: np.ndarray, has_variance: bool
    ) -> Array | None:
        """Return the noise of a row of each frame, like x; None if no row has any.

        Args:
            x: (B, T, ...), the frames.
            k: (T,), the row of each.
            going: (T,), whether each goes through its row; where it does not, the noise is not
                used.
            numbers: (T,), their numbers.
            has_variance: Whether the network returned one.

        Raises:
            ValueError: The plan takes a learned variance, and there is none.
        """
        rows = self.rows
        noisy = np.array(rows.noisy)[k]
        if not noisy.any():
            return None
        asked = noisy & going
        if asked.any():
            if rows.learned and not has_variance:
                raise_without_variance(x)
            if callable(self.source):
                return self.source(x)
        words = np.append(rows.draws[k], np.full((len(asked), 1), STEP), axis=1)
        return frame_normal(x, self.source, words, numbers, asked)

    def initial(self, x: Array, numbers: np.ndarray) -> Array:
        """Return what new frames start from, like x, (B, n, ...).

        Raises:
            ValueError: The noise is not a seed.
        """
        if not isinstance(self.source, np.ndarray):
            raise ValueError(
                "x of the frame that joins must be given, (B, n, ...), where noise is not a seed "
                "from which it could be made"
            )
        wide = widened(x)
        z = _at_once(wide, self.source, (0, 0, START), numbers)
        scaled = weighted([(multiplier(self.plan.schedule.prior_std, wide), z)])
        return namespace(x).astype(scaled, x.dtype)

    def begun(self, x: Array, numbers: np.ndarray) -> Array:
        """Return new frames as the first row takes them."""
        scale, noise = self.plan.start
        if (scale, noise) == (1.0, 0.0):
            return x
        terms = [(scale, x)]
        if noise:
            words = (*self.rows.start, STEP)
            source = self.source
            z = source(x) if callable(source) else _at_once(x, source, words, numbers)
            terms.append((noise, z))
        return weighted(terms)


def _at_once(x: Array, keys: Any, words: tuple[int, int, int], numbers: np.ndarray) -> Array:
    """Return one draw for all frames of x, which have these numbers in their sample."""
    each = np.tile(np.array(words), (len(numbers), 1))
    return frame_normal(x, keys, each, numbers, np.ones(len(numbers), dtype=bool))


def frame_normal(
    x: Array, keys: np.ndarray, words: np.ndarray, frames: np.ndarray, asked: np.ndarray
) -> Array:
    """Return for each frame its part of a draw for its sample, made by NumPy; see `keyed_normal`.

    In a draw for samples of many frames of n elements, those of frame f are f n to f n + n - 1.

    Args:
        x: (B, T, ...), an array of any library. The noise is like it, half precision in float32.
        keys: (B, 2), uint64, those of the samples.
        words: (T, 3): level, visit and domain of each frame's draw.
        frames: (T,), the number of each frame in its sample, from 0.
        asked: (T,), whether each frame's noise is made; it is 0 where it is not.
    """
    shape = tuple(x.shape)
    count = int(np.prod(shape[2:]))
    single = is_half(x) or str(x.dtype).endswith("float32")
    draw = np.zeros((shape[0], shape[1], count), dtype=np.float32 if single else np.float64)
    places, end = np.flatnonzero(asked).tolist(), 0
    for t in places:
        if t < end:
            continue
        end = t + 1
        # Neighbours with the same words are one part of a draw.
        while end in places and (words[end] == words[t]).all():
            end += 1
        first, size = int(frames[t]) * count, (end - t) * count
        before = first % 4  # a block of the draw begins at a multiple of 4
        part = drawn(keys, words[t].tolist(), before + size, single, first - before)
        draw[:, t:end] = part[:, before:].reshape(shape[0], end - t, count)
    draw = draw.reshape(shape)
    if isinstance(x, np.ndarray):
        return draw
    xp = namespace(x)
    return xp.asarray(draw, dtype=xp.float32 if is_half(x) else x.dtype, device=device(x))
