"""`JaxBackend`: whether a plan is run by one scan, or row by row."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from schedalg.running.backend import Network
from schedalg.running.noise import keyed_normal
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg_jax.library import JaxLibrary, KeyNoise
from schedalg_jax.philox import halves_of
from schedalg_jax.running import OneByOne, draw, scanned, timestep_column


class JaxBackend:
    """Runs plans on arrays of JAX; see `schedalg.Backend`.

    Where a compiler traces the call (`jax.jit` and what is like it), all rows are one `lax.scan`,
    so that a program is as large for 1000 steps as for one, and calls the network once. Elsewhere
    they are taken one by one, so that a network that cannot be traced is run too.
    """

    library = JaxLibrary()

    def unavailable(self) -> str | None:
        """Return None: JAX was imported."""
        return None

    def check(self, x: Array) -> None:
        """Take x of any device and of 16 bits or more."""

    def timesteps(self, values: np.ndarray, x: Array) -> Sequence[Array]:
        """Return the timesteps of each row, (B,) each: rows of one array."""
        if not len(values):
            return ()
        column = timestep_column(values, x)[:, None]
        return list(jnp.broadcast_to(column, (len(values), x.shape[0])))

    def normal(self, x: Array, keys: np.ndarray | Array, words: Sequence[int]) -> Array:
        """Return the noise of a draw, like x; see `schedalg.running.philox`.

        It is made by NumPy where nothing is traced: JAX would compile it for every shape.
        """
        if isinstance(keys, np.ndarray) and not _is_staged():
            noise: Array = keyed_normal(x, keys, words)
            return noise
        return draw(x, keys, halves_of(words)).astype(x.dtype)

    def update(
        self, rows: Rows, x: Array, keys: np.ndarray | Array | None, *, reuse: bool
    ) -> Functional:
        """Return what takes x through the rows."""
        if keys is None or isinstance(keys, np.ndarray):
            return Functional(rows, keys)
        return OneByOne(rows, keys)

    def whole(
        self,
        rows: Rows,
        values: np.ndarray,
        source: Any,
        network: Network,
        bounded: Callable[[Array], Array] | None,
    ) -> Callable[[Array], Array] | None:
        """Return a function that takes x through all rows by one scan; None if nothing is traced.

        None too where noise is drawn by a function or a generator of NumPy: it is to be called for
        every row, and a scan would call it once.
        """
        own = not callable(source) or isinstance(source, KeyNoise)
        if not _is_staged() or (any(rows.noisy) and not own):
            return None
        return partial(scanned, rows, values, source, network, bounded)


def _is_staged() -> bool:
    """Whether operations are recorded for a compiler now, in place of being done."""
    return isinstance(jnp.zeros(()), Tracer)
