"""Taking x through rows: all in one scan, or one by one where seeds alone are traced."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from schedalg.running.backend import Network
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg.schedule.timesteps import timestep_dtype
from schedalg_jax.library import KeyNoise, drawn
from schedalg_jax.philox import halves_of, keys_of, normal
from schedalg_jax.table import Numbers, table_of


def wide(x: Array) -> Any:
    """Return the dtype in which rows of x are computed."""
    return jnp.float64 if x.dtype == jnp.float64 else jnp.float32


def timestep_column(values: np.ndarray | Array, x: Array) -> Array:
    """Return the timestep of each row, (K,), in the dtype of timesteps for a network of x."""
    first = (
        values[0].item() if isinstance(values, np.ndarray) else 0.5
    )  # what is traced is not an integer
    return jnp.asarray(values, dtype=timestep_dtype(x, first))


def draw(x: Array, keys: np.ndarray | Array, words: Any) -> Array:
    """Return the noise of a draw for x, in its wide type; see `schedalg.running.philox`.

    Args:
        x: (B, ...).
        keys: (B, 2), or those of traced seeds.
        words: (6,), the halves of the draw's words.

    Raises:
        ValueError: There is not a key for each sample.
    """
    if len(keys) != x.shape[0]:
        raise ValueError(f"noise has {len(keys)} seeds, and is drawn for {x.shape[0]} samples")
    noise: Array = normal(keys_of(keys), words, x.shape, wide(x))
    return noise


class OneByOne(Functional):
    """Takes x through rows whose noise is of traced seeds, by operations for tracers to follow.

    Args:
        rows: The rows to run.
        keys: The keys of the noise.
    """

    def __init__(self, rows: Rows, keys: Array) -> None:
        super().__init__(rows, None)
        self.traced = keys

    def __call__(
        self,
        k: int | np.ndarray,
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
    ) -> Array:
        """Return x after row k, or after the row of each sample."""
        for row in np.unique(k).tolist():
            if self.rows.noisy[row]:
                fresh = draw(x, self.traced, halves_of(self.rows.words[row]))
                here = jnp.reshape(k == row, (-1,) + (1,) * (x.ndim - 1))
                noise = fresh if noise is None else jnp.where(here, fresh, noise)
        after: Array = super().__call__(k, x, output, x0, variance, noise)
        return after


def scanned(
    rows: Rows,
    values: np.ndarray,
    source: Any,
    network: Network,
    bounded: Callable[[Array], Array] | None,
    x: Array,
) -> Array:
    """Return x after the last row, by one scan over all rows.

    Args:
        rows: The rows.
        values: The timestep of each.
        source: Keys, or `KeyNoise`.
        network: The network.
        bounded: Bounds the x0 prediction, where the rows do not.
        x: x before the first row.
    """
    table = table_of(rows, wide(x))
    everywhere = table.everywhere
    noisy = np.array(rows.noisy)
    columns = {
        "numbers": jnp.asarray(table.numbers, dtype=wide(x)),
        "counted": jnp.asarray(table.counted),
        "timestep": timestep_column(values, x),
        "words": jnp.asarray(halves_of(rows.words)),
        "noisy": jnp.asarray(noisy),
    }

    def noise_of(key: Array | None, words: Array) -> tuple[Array | None, Array]:
        if key is None:
            return None, draw(x, source, words)
        key, noise = drawn(key, x)
        return key, noise.astype(wide(x))

    def one_row(carry: Any, row: dict[str, Array]) -> Any:
        x, memories, key = carry
        counted = [
            row["counted"][i] if every is None else every for i, every in enumerate(everywhere)
        ]
        numbers = Numbers(row["numbers"], counted)
        timesteps = jnp.broadcast_to(row["timestep"], x.shape[:1])
        output, variance = network(numbers.model_input(x) if scaled else x, timesteps)
        x0 = None
        if bounded is not None:
            x0 = bounded(numbers.prediction(x, output).astype(x.dtype))
        noise = None
        if noisy.all():
            key, noise = noise_of(key, row["words"])
        elif noisy.any():
            nothing = jnp.zeros(x.shape, wide(x))
            key, noise = lax.cond(
                row["noisy"], noise_of, lambda key, words: (key, nothing), key, row["words"]
            )
        after, memories = numbers.taken(x, memories, output, x0, variance, noise, rows.clip)
        return (after, memories, key), None

    scaled = not rows.numbers or bool((table.numbers[:, 0] != 1).any())
    key = source.key if isinstance(source, KeyNoise) and noisy.any() else None
    start = x, (x,) * rows.depth, key
    (x, _, _), _ = lax.scan(one_row, start, columns)
    return x
