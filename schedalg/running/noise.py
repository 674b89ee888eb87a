"""Where the random numbers of a sample come from."""

import math
import operator
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schedalg.arrays import Array, device, is_array, is_half, known, namespace, to_host
from schedalg.checks import check_like, check_readable, described, integer, is_like, shown
from schedalg.running import philox

if TYPE_CHECKING:  # numpy.random is slow to load, and many a schedule needs no noise
    from numpy.random import Generator

    from schedalg.samplers.protocols import Noise

#: A seed, a seed for each sample, a generator of NumPy, torch or JAX, a function of x, or None for
#: a fresh seed.
NoiseSource: TypeAlias = (
    "int | Sequence[int] | np.ndarray | Generator | Callable[[Array], Array] | Any | None"
)

#: A key for each sample: (B, 2), uint64, of NumPy; or of traced seeds, as their backend has it.
Keys: TypeAlias = Array

#: So many elements are made together, of one sample or of several, for the cache's sake.
_TOGETHER = 2**15


def noise_for(x: Array, source: NoiseSource) -> "Keys | Noise":
    """Return a key for each sample, (B, 2), or a function of x that draws noise like it.

    Args:
        x: The sample that noise will be added to.
        source: A seed, or a sequence of seeds, one a sample: integers from 0 to 2^128 - 1, each the
            two words of a key. With one seed, sample i has the key of seed + i 2^64. What is drawn
            for element j of a sample depends on its key, on the noise level where the row arrives,
            and on j alone (see `philox`).
            A NumPy generator: drawn in float64 and rounded to x's type. A `torch.Generator` or a
            JAX key, for x of that library: drawn there. A function of x: called as it is. None: a
            seed at random. Seeds that JAX traces become keys of its own, for its backend.

    Raises:
        TypeError: The source is none of these.
        ValueError: A seed is out of range, or there is not one a sample; or, when called, a
            function returns something unlike x.
    """
    draw = _drawing(x, source)
    if draw is not None:
        return draw
    if source is None:
        source = secrets.randbits(128)
    traced = known(x).traced_keys("noise", source, x)
    if traced is not None:
        return traced
    keys = _keys_of("noise", source, x.shape[0])
    if keys is None:
        raise TypeError(
            "noise must be None, a seed, a list of seeds, a generator of NumPy or of x's library, "
            f"or a function of x; got {described(source)}"
        )
    return keys


def constant_noise(x: Array, source: NoiseSource, words: Sequence[tuple[int, int, int]]) -> "Noise":
    """Return a function of x that draws noise like it, for a program that is being traced.

    What seeds draw is a constant of the program.

    Args:
        x: As in `noise_for`.
        source: As in `noise_for`; seeds are integers, or a list or tuple of them.
        words: Of all draws that will be made, in their order; see `philox`.

    Raises:
        TypeError: As `noise_for`; or the seeds are in an array, whose values a program may change.
        ValueError: As `noise_for`.
    """
    draw = _drawing(x, source)
    if draw is not None:
        return draw
    draws = iter(constant_normals(x, "noise", source, words))
    return lambda x: next(draws)


def constant_normals(
    x: Array, name: str, source: Any, words: Sequence[tuple[int, int, int]]
) -> list[Array]:
    """Return what seeds draw, like x (half precision in float32), as constants of a program.

    Raises:
        TypeError: The argument is not a seed, or a list or tuple of seeds. (The numbers in an array
            are not known when a function is traced.)
        ValueError: A seed is out of range, or there is not one a sample.
    """
    # Where a compiler has made a variable of an integer, `index` takes its value.
    if isinstance(source, list | tuple):
        seeds: Any = tuple(
            operator.index(seed) if isinstance(seed, int) else seed for seed in source
        )
    elif isinstance(source, int) and not isinstance(source, bool):
        seeds = operator.index(source)
    else:
        raise TypeError(
            f"{name} in a function that is being compiled must be a seed or a list of seeds; got "
            f"{described(source)}"
        )
    shape = tuple(map(operator.index, x.shape))
    single = is_half(x) or str(x.dtype).endswith("float32")
    return known(x).constants(x, _draws, name, seeds, tuple(words), shape, single)


def _draws(
    name: str,
    seeds: int | Sequence[int],
    words: tuple[tuple[int, int, int], ...],
    shape: tuple[int, ...],
    single: bool,
) -> list[np.ndarray]:
    """Return noise from seeds: an array of `shape` for each (level, visit, domain) in words."""
    keys, count = keys_for(name, seeds, shape[0]), math.prod(shape[1:])
    return [drawn(keys, each, count, single).reshape(shape) for each in words]


def _drawing(x: Array, source: NoiseSource) -> "Noise | None":
    """Return a function of x that draws noise like it; None if the source is something else."""
    if isinstance(source, bool | np.bool_):
        raise TypeError(
            "noise must be None, a seed, a list of seeds, a generator or a function; got "
            f"{shown(source)}"
        )
    if callable(source):
        return _checked(source)
    draw = known(x).drawing(source, x)
    if draw is not None:
        return draw
    # There is no generator before numpy.random is loaded, which takes a while.
    generators: Any = getattr(sys.modules.get("numpy.random"), "Generator", ())
    return _numpy_normal(source) if isinstance(source, generators) else None


def keys_for(name: str, seeds: object, batch: int) -> np.ndarray:
    """Return a key for each sample, (B, 2), uint64, from a seed or one for each.

    Raises:
        TypeError: The argument holds no seeds.
        ValueError: A seed is out of range, or there is not one a sample.
    """
    keys = None if isinstance(seeds, bool | np.bool_) else _keys_of(name, seeds, batch)
    if keys is None:
        raise TypeError(f"{name} must be a seed, or a list of seeds; got {described(seeds)}")
    return keys


def _keys_of(name: str, source: Any, batch: int) -> np.ndarray | None:
    """Return the keys of seeds; None if the source is something else."""
    if isinstance(source, int | np.integer) or _is_one_integer(source):
        first = seed_of(name, source)
        return _keys([(first + (i << 64)) % 2**128 for i in range(batch)])
    check_readable(name, source)
    seeds = _listed(source)
    if seeds is None:
        return None
    if (count := count_of(seeds)) != batch:
        raise ValueError(
            f"{name} holds {count} seeds for {batch} samples of x: give one for each, or one number"
        )
    try:
        return _keys([seed_of(f"{name}[{i}]", seed) for i, seed in enumerate(seeds)])
    except TypeError as error:
        raise TypeError(
            f"{error}: a list holds a seed for each sample; a generator or a function is given "
            "by itself"
        ) from None


def count_of(seeds: Sequence[Any]) -> int:
    """Return how many seeds there are; of a range, also where they are more than `len` can say."""
    if isinstance(seeds, range):
        return (seeds[-1] - seeds[0]) // seeds.step + 1 if seeds else 0
    return len(seeds)


class StepNoise:
    """The noise of a sampler without a plan: a function of x, for its steps to call.

    From seeds, a draw depends on the level where the step arrives and on how many draws were made
    for that level before; from anything else it is that source's next.

    Args:
        x: The sample that noise will be added to.
        source: As `noise_for` takes it.
        normal: Returns the noise of a draw like x from keys and words, as backends do.

    Raises:
        TypeError: As `noise_for`.
        ValueError: As `noise_for`.
    """

    def __init__(
        self, x: Array, source: NoiseSource, normal: Callable[..., Array] | None = None
    ) -> None:
        self.source = noise_for(x, source)
        self.normal = normal or keyed_normal
        self.level = 0
        self.visits: Counter[int] = Counter()

    def arrive(self, level: int) -> None:
        """Say at which level the next step arrives, by its word."""
        self.level = level

    def __call__(self, x: Array) -> Array:
        """Return a new standard normal draw like x."""
        if callable(self.source):
            return self.source(x)
        words = self.level, self.visits[self.level], philox.WITHIN
        self.visits[self.level] += 1
        return self.normal(x, self.source, words)


def keyed_normal(
    x: Array, keys: np.ndarray, words: Sequence[int] | np.ndarray, *, rounded: bool = True
) -> Array:
    """Return the noise of a draw, like x, made by NumPy.

    Args:
        x: (B, ...), an array of any library.
        keys: (B, 2), uint64.
        words: Level, visit and domain of the draw, or of that of each sample, (B, 3); see `philox`.
        rounded: Whether that for half precision is in it, and not in float32.
    """
    shape = tuple(x.shape)
    if len(keys) != shape[0]:
        raise ValueError(f"noise has {len(keys)} seeds, and is drawn for {shape[0]} samples")
    # Half precision by way of single, in every library.
    half, xp = is_half(x), namespace(x)
    single = half or bool(x.dtype == xp.float32)
    draw = drawn(keys, words, math.prod(shape[1:]), single).reshape(shape)
    dtype = xp.float32 if half and not rounded else x.dtype
    if isinstance(x, np.ndarray):
        return draw.astype(dtype, copy=False)
    return xp.asarray(draw, dtype=dtype, device=device(x))


def drawn(
    keys: np.ndarray,
    words: Sequence[int] | np.ndarray,
    count: int,
    single: bool,
    origin: int = 0,
) -> np.ndarray:
    """Return `count` elements of a draw for each key, made in parts that fit the cache.

    They begin with element `origin`, a multiple of 4.
    """
    draw = np.empty((len(keys), count), dtype=np.float32 if single else np.float64)
    together = max(1, _TOGETHER // max(count, 1))
    for first in range(0, len(keys), together):
        samples = slice(first, first + together)
        for start in range(0, count, _TOGETHER):
            size = min(_TOGETHER, count - start)
            own = words[samples] if isinstance(words, np.ndarray) else words
            part = philox.normal(keys[samples], own, size, start=origin + start, single=single)
            draw[samples, start : start + size] = part
    return draw


def _is_one_integer(source: Any) -> bool:
    """Whether the source is a 0-d array of an integer."""
    return is_array(source) and source.ndim == 0 and _is_integral(source)


def _is_integral(source: Any) -> bool:
    """Whether an array holds integers."""
    # By the dtype's name: keys of JAX have a dtype that no namespace knows.
    return str(source.dtype).rpartition(".")[2].startswith(("int", "uint"))


def _listed(source: Any) -> Sequence[Any] | None:
    """Return seeds that were given one by one; None if that is not what the source is."""
    if isinstance(source, Sequence) and not isinstance(source, str | bytes | bytearray):
        return source
    if is_array(source) and source.ndim == 1 and (_is_integral(source) or source.shape[0] == 0):
        return to_host(source).tolist()  # type: ignore[no-any-return]
    return None


def seed_of(name: str, value: object) -> int:
    """Return a seed as an int.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is out of range.
    """
    seed = integer(name, value)
    if not 0 <= seed < 2**128:
        raise ValueError(f"{name}: a seed must be at least 0 and less than 2**128, got {seed}")
    return seed


def _keys(seeds: Sequence[int]) -> np.ndarray:
    words = [(seed % 2**64, seed >> 64) for seed in seeds]
    return np.array(words, dtype=np.uint64).reshape(len(seeds), 2)


def _numpy_normal(generator: "Generator") -> "Noise":
    def normal(x: Array) -> Array:
        draw = generator.standard_normal(tuple(x.shape))
        if isinstance(x, np.ndarray):
            return draw.astype(x.dtype)
        return namespace(x).asarray(draw, dtype=x.dtype, device=device(x))

    return normal


def _checked(function: Callable[[Array], Array]) -> "Noise":
    def normal(x: Array) -> Array:
        draw = function(x)
        if not is_like(draw, x):
            check_like("what noise returns", draw, x)
        return draw

    return normal
