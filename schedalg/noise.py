"""Where the random numbers of a sample come from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import array_api_compat
import numpy as np

from schedalg.arrays import Array, check_like, namespace

if TYPE_CHECKING:  # numpy.random is slow to load, and many a schedule needs no noise
    from numpy.random import Generator

    from schedalg.samplers.base import Noise

#: A seed, a generator of NumPy, torch or JAX, a function of x, or None for a fresh seed.
NoiseSource: TypeAlias = "int | Generator | Callable[[Array], Array] | Any | None"


def noise_for(x: Array, source: NoiseSource) -> "Noise":
    """Return a function of x that draws standard normal noise like x.

    Args:
        x: The sample that noise will be added to.
        source: A seed or a NumPy generator: drawn by NumPy in float64 and rounded to x's type, so
            that a seed gives the same noise in every library and precision. A `torch.Generator` or
            a JAX key, for x of that library: drawn there. A function of x: called as it is. None: a
            seed that nobody knows.

    Raises:
        TypeError: The source is none of these.
        ValueError: A seed is negative; or, when called, a function returns something unlike x.
    """
    if isinstance(source, bool | np.bool_):
        raise TypeError(f"noise must be a seed, a generator or a function, got {source!r}")
    if isinstance(source, int | np.integer) and source < 0:
        raise ValueError(f"noise: a seed must be at least 0, got {source}")
    if source is None or isinstance(source, int | np.integer | np.random.Generator):
        return _numpy_normal(np.random.default_rng(source))
    if array_api_compat.is_torch_array(x) and type(source).__name__ == "Generator":
        return _torch_normal(source)
    if array_api_compat.is_jax_array(x) and array_api_compat.is_jax_array(source):
        return _jax_normal(source)
    if callable(source):
        return _checked(source)
    raise TypeError(
        "noise must be None, a seed, a generator of NumPy or of x's library, or a function of x; "
        f"got {type(source).__name__}"
    )


def _numpy_normal(generator: "Generator") -> "Noise":
    def normal(x: Array) -> Array:
        draw = generator.standard_normal(tuple(x.shape))
        if isinstance(x, np.ndarray):
            return draw.astype(x.dtype)
        device = array_api_compat.device(x)
        return namespace(x).asarray(draw, dtype=x.dtype, device=device)

    return normal


def _torch_normal(generator: Any) -> "Noise":
    def normal(x: Array) -> Array:
        return namespace(x).randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)

    return normal


def _jax_normal(key: Any) -> "Noise":
    import jax

    def normal(x: Array) -> Array:
        nonlocal key
        key, subkey = jax.random.split(key)
        return jax.random.normal(subkey, x.shape, x.dtype)

    return normal


def _checked(function: Callable[[Array], Array]) -> "Noise":
    def normal(x: Array) -> Array:
        draw = function(x)
        check_like("what noise returns", draw, x)
        return draw

    return normal
