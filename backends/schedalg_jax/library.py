"""What differs between JAX and the array API standard: tracers, and keys that make noise."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.errors import TracerArrayConversionError, UnexpectedTracerError
from jax.lax import stop_gradient

from schedalg.libraries import Library
from schedalg_jax.philox import keys_of_seeds


class JaxLibrary(Library):
    """Arrays of JAX, traced or not."""

    moves_arrays = True

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array of JAX, traced or not."""
        return isinstance(value, Array)

    def namespace(self, x: Array) -> Any:
        """Return jax.numpy, which follows the standard."""
        return jnp

    def device(self, x: Array) -> Any:
        """Return the device that x is on; None for a tracer, which is on none.

        A tracer that is asked writes an error with all of the program so far: of a long one,
        that takes longer than to trace it.
        """
        return None if isinstance(x, Tracer) else x.device

    def to_host(self, x: Array) -> np.ndarray:
        """Return the values of x, without its gradient, as a NumPy array.

        Raises:
            TypeError: x is traced, and has no values.
        """
        if not isinstance(x, Tracer):
            return np.asarray(x)  # which `stop_gradient` would trace, under jax.jit
        try:
            return np.asarray(stop_gradient(x))
        except TracerArrayConversionError as error:
            raise TypeError(
                "this needs to see numbers that JAX traces (under jax.jit or jax.vmap) and that "
                "have no values yet: do it outside of the traced function"
            ) from error

    def requires_gradient(self, x: Array) -> bool:
        """Whether x is traced."""
        return isinstance(x, Tracer)

    def has_values(self, x: Array) -> bool:
        """Whether x has values: it is not traced, or by nothing but `jax.grad` and its like."""
        return not isinstance(x, Tracer) or not isinstance(stop_gradient(x), Tracer)

    def likeness(self, x: Array) -> Callable[[Any], bool]:
        """Return whether a result surely has the type, shape, dtype and device of x."""
        if not self.holds_elements(x):
            return lambda result: False  # JAX would not say the device of x
        kind, shape, dtype, device = type(x), x.shape, x.dtype, self.device(x)
        return lambda result: (
            type(result) is kind
            and result.shape == shape
            and result.dtype == dtype
            and self.holds_elements(result)
            and self.device(result) == device
        )

    def holds_elements(self, x: Array) -> bool:
        """Whether x has memory: it is traced, or was neither deleted nor donated."""
        return isinstance(x, Tracer) or not x.is_deleted()

    def unreadable(self, x: Array) -> str | None:
        """Return why the values of x cannot be read; None if they can, or are traced."""
        if not self.holds_elements(x):
            return (
                f"has shape {tuple(x.shape)}, and no memory: it was deleted, or donated to a "
                "function that jax.jit compiled (donate_argnums), and nothing can be read"
            )
        if not isinstance(x, Tracer):
            return None
        try:
            stop_gradient(x)
        except UnexpectedTracerError:
            return "is a tracer that has left the function that JAX traced, which must return it"
        return None

    def array_like(self, values: np.ndarray, like: Array) -> Array:
        """Return numbers of the host in the dtype and on the device of an array, not traced."""
        with jax.ensure_compile_time_eval():
            return jnp.asarray(values, dtype=like.dtype, device=self.device(like))

    def sent(self, values: np.ndarray, dtype: Any, like: Array) -> Array:
        """Return numbers of the host on the device of an array; by default in their own dtype."""
        # A fifth of the time that `asarray` with a device takes.
        of_dtype = values if dtype is None else values.astype(dtype)
        there: Array = jax.device_put(of_dtype, like.device)
        return there

    def operand(self, values: np.ndarray, dtype: Any, x: Array) -> Any:
        """Return the numbers themselves, which JAX moves faster than anything that is called."""
        return values if dtype is None else values.astype(dtype)

    def can_be_read(self, x: Array) -> bool:
        """Return False: it may be traced, or on another device."""
        return False

    def lasts(self, x: Array) -> bool:
        """Whether x is not traced."""
        return not isinstance(x, Tracer)

    def traced_keys(self, name: str, seeds: Any, x: Array) -> Array | None:
        """Return the keys of traced seeds, one for all samples or one each: see `keys_of_seeds`.

        Raises:
            ValueError: There is not one for each sample.
        """
        if isinstance(seeds, list | tuple) and seeds and all(map(self._is_traced_seed, seeds)):
            seeds = jnp.stack(seeds)  # a list is traced number by number where it is an argument
        if not self.recognizes(seeds) or self.has_values(seeds):
            return None
        if not jnp.issubdtype(seeds.dtype, jnp.integer) or seeds.ndim > 1:
            return None
        if seeds.ndim == 1 and seeds.shape[0] != x.shape[0]:
            raise ValueError(f"{name} holds {seeds.shape[0]} seeds for {x.shape[0]} samples of x")
        return keys_of_seeds(seeds, x.shape[0])

    def _is_traced_seed(self, seed: Any) -> bool:
        """Whether a value is a traced integer."""
        traced = self.recognizes(seed) and not self.has_values(seed)
        return traced and seed.ndim == 0 and jnp.issubdtype(seed.dtype, jnp.integer)

    def pullback(
        self, function: Callable[..., Any], *inputs: Array
    ) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        """Return function(*inputs), and what takes a vector v like it to v ∂function/∂input."""
        value, pull = jax.vjp(function, *inputs)
        return value, pull

    def drawing(self, source: Any, x: Array) -> "KeyNoise | None":
        """Return a function that draws from a key: a typed one, or the words of an old one.

        Raises:
            ValueError: There is more than one key.
        """
        if not self.recognizes(source):
            return None
        typed = jnp.issubdtype(source.dtype, jax.dtypes.prng_key)
        config: Any = jax.config  # whose settings mypy does not know
        words = 4 if "rbg" in config.jax_default_prng_impl else 2
        old = source.dtype == jnp.uint32 and source.ndim > 0 and source.shape[-1] == words
        number = source.ndim if typed else source.ndim - 1
        if number > 0 and (typed or old):
            kind = "keys" if typed else f"keys of {words} words each"
            raise ValueError(
                f"noise holds JAX {kind}, in an array of shape {source.shape}: give one key, or "
                "integers as seeds, one for each sample"
            )
        return KeyNoise(source) if typed or old else None


class KeyNoise:
    """Draws from a key of JAX, which is split for every draw.

    Args:
        key: The key, typed or old.
    """

    def __init__(self, key: Array) -> None:
        self.key = key

    def __call__(self, x: Array) -> Array:
        """Return a new standard normal draw like x."""
        self.key, noise = drawn(self.key, x)
        return noise


def drawn(key: Array, x: Array) -> tuple[Array, Array]:
    """Return the key of the next draw, and a standard normal draw like x."""
    key, subkey = jax.random.split(key)
    return key, jax.random.normal(subkey, x.shape, x.dtype)
