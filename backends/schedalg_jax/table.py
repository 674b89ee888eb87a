"""The numbers of rows as one array, and what a row does with them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array

from schedalg.arrays import widened
from schedalg.running.rows import Row, Rows

#: The columns of a table, before the weights of the memories, newest first.
NAMES = (
    "c_in",
    "c_x",
    "c_out",
    "x",
    "d",
    "raw",
    "noise",
    "memory_x",
    "memory_d",
    "memory_raw",
    "middle",
    "half",
)

#: Whether a number counts, known when a program is made; or in each row, an array.
Counts: TypeAlias = bool | Array


class Table(NamedTuple):
    """The numbers of all rows.

    Attributes:
        numbers: (K, columns), of NumPy in float64; or of JAX, where a gradient flows or they are
            traced.
        counted: Whether each is multiplied with, (K, columns). What has a 0 is left out, even if
            it is infinite.
    """

    numbers: Any
    counted: np.ndarray

    @property
    def everywhere(self) -> tuple[bool | None, ...]:
        """Of each column, whether it counts in all rows or in none; None if in some."""
        columns = self.counted.T
        return tuple(
            True if column.all() else None if column.any() else False for column in columns
        )


def table_of(rows: Rows, dtype: Any) -> Table:
    """Return the numbers of rows.

    Args:
        rows: The rows.
        dtype: What numbers that are traced are turned to.
    """
    if rows.numbers:
        numbers = np.array([_numbers_of(row, rows.depth) for row in rows.rows], dtype=np.float64)
        numbers = numbers.reshape(rows.count, len(NAMES) + rows.depth)
        return Table(numbers, numbers != 0)
    columns = rows.columns
    zero, yes = np.zeros(rows.count), np.ones(rows.count, dtype=bool)
    c_x, c_out = columns.read or (zero, zero)
    middle: Any = zero
    half: Any = zero
    if columns.log_variance is not None:
        low, high = columns.log_variance[:, 0], columns.log_variance[:, 1]
        middle, half = (low + high) / 2, (high - low) / 2
    entries: list[tuple[Any, np.ndarray]] = [
        (columns.c_in, yes),
        (c_x, yes),
        (c_out, yes),
        (columns.x, yes),
        (columns.d, yes),
        (columns.raw, columns.unbounded),
        (columns.noise, columns.noisy),
        (columns.memory[0], columns.asked),
        (columns.memory[1], columns.asked),
        (columns.memory[2], columns.asked & columns.unbounded),
        (middle, yes),
        (half, yes),
    ]
    for back in range(1, rows.depth + 1):
        entries.append((columns.weights[:, back], columns.reads[:, back]))
    stacked = jnp.stack([jnp.asarray(column, dtype=dtype) for column, _ in entries], axis=1)
    return Table(stacked, np.stack([counts for _, counts in entries], axis=1))


def _numbers_of(row: Row, depth: int) -> list[float]:
    weights = [0.0] * depth
    for weight, back in row.memories:
        weights[back - 1] = weight
    return [
        row.c_in,
        *(row.read or (0.0, 0.0)),
        row.x,
        row.d,
        row.raw,
        row.noise,
        *(row.memory or (0.0, 0.0, 0.0)),
        *(row.log_variance or (0.0, 0.0)),
        *weights,
    ]


class Numbers:
    """The numbers of one row, ready to be multiplied with.

    Args:
        values: (columns,), in the dtype that rows are computed in.
        counted: Whether each counts.
    """

    def __init__(self, values: Array, counted: Sequence[Counts]) -> None:
        names = [*NAMES, *(f"back_{back}" for back in range(1, len(counted) - len(NAMES) + 1))]
        self.values = dict(zip(names, values, strict=True))
        self.counted = dict(zip(names, counted, strict=True))
        self.depth = len(names) - len(NAMES)

    def sum(self, x: Array, /, **terms: Array | None) -> Array:
        """Return the sum of numbers, by name, times arrays, in their wide type.

        Args:
            x: An array like the result.
            **terms: What each number multiplies.
        """
        total = None
        for name, array in terms.items():
            term = None if array is None else self._term(name, array)
            if term is not None:
                total = term if total is None else total + term
        return jnp.zeros_like(widened(x)) if total is None else total

    def _term(self, name: str, array: Array) -> Any:
        counts, number = self.counted[name], self.values[name]
        if counts is False:
            return None
        wide = widened(array)
        if counts is True:
            return number * wide
        # Neither the sum nor a gradient sees what does not count, be it infinite.
        return jnp.where(counts, number, 0) * jnp.where(counts, wide, 0)

    def model_input(self, x: Array) -> Array:
        """Return c_in x."""
        return self.sum(x, c_in=x).astype(x.dtype)

    def prediction(self, x: Array, output: Array) -> Array:
        """Return the x0 prediction before it is bounded, in its wide type."""
        return self.sum(x, c_x=x, c_out=output)

    def taken(
        self,
        x: Array,
        memories: tuple[Array, ...],
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
        clip: tuple[float, float] | None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return x after the row, and the memories for the next one, newest first.

        Args:
            x: x before it.
            memories: Those of the rows before, newest first.
            output: The network's output.
            x0: The bounded x0 prediction, where it was bounded outside.
            variance: What is between the bounds of a learned variance.
            noise: The noise, in its wide type or like x.
            clip: Between which the x0 prediction is clamped here.
        """
        d = output if x0 is None else x0
        if clip is not None:
            d = jnp.clip(self.prediction(x, output), *clip)
        terms: dict[str, Array | None] = {"x": x, "d": d, "raw": output}
        terms |= {f"back_{back}": memory for back, memory in enumerate(memories, 1)}
        if noise is not None and variance is not None:
            log_variance = self.values["middle"] + self.values["half"] * widened(variance)
            noise = jnp.exp(log_variance / 2) * widened(noise)
        after = self.sum(x, **terms, noise=noise).astype(x.dtype)
        if not self.depth:
            return after, ()
        memory = self.sum(x, memory_x=x, memory_d=d, memory_raw=output).astype(x.dtype)
        return after, (memory, *memories[:-1])
