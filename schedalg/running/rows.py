"""The rows of a plan made ready to run: what is left to do with the output of each call."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, carries_gradient, given, multiplier, to_host
from schedalg.network.bounds import Clamp

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan

_LARGEST = float(np.finfo(np.float32).max)

#: What a table for a device holds of each row.
COLUMNS = (
    "x",
    "d",
    "noise",
    "memory_x",
    "memory_d",
    "remembered",
    "c_x",
    "c_out",
    "next_c_in",
    "middle",
    "half",
    "low",
    "high",
)


class Row(NamedTuple):
    """What is done around one call of the network, as numbers that multiply arrays.

    With d the output itself, or where `read` is given the x0 prediction c_x x + c_out output,
    clamped:

        memory = memory[0] x + memory[1] d
        x      = x_weight x + d_weight d + Σ weight memory_{k - back} + noise z

    where what has the coefficient 0 is left out, even if it is infinite. Half precision is computed
    in float32, and each of the two results rounded once.

    Attributes:
        c_in: What the network's input is: c_in x.
        read: (c_x, c_out), or None.
        x: Coefficient of x.
        d: Coefficient of d.
        memories: (coefficient, how many rows back) of what is read of earlier memories.
        memory: Coefficients of x and d in what is remembered; None if no later row reads it.
        noise: Coefficient of the noise; 0.0 where none is drawn.
        log_variance: (middle, half width) of a learned log-variance l, which makes the coefficient
            of the noise noise exp((middle + half l) / 2); or None.
    """

    c_in: Any
    read: tuple[Any, Any] | None
    x: Any
    d: Any
    memories: tuple[tuple[Any, int], ...]
    memory: tuple[Any, Any] | None
    noise: Any
    log_variance: tuple[Any, Any] | None


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a run.

    Attributes:
        rows: In their order.
        depth: How many rows back memories are read, at most.
        clip: (low, high) for the x0 prediction, where rows have `read`; or None.
        numbers: Whether all coefficients are floats. Otherwise a gradient flows through them, and
            they are arrays: `reference.Functional` runs them.
        largest: The largest finite coefficient, if all are numbers.
    """

    rows: list[Row]
    depth: int
    clip: tuple[float, float] | None
    numbers: bool
    largest: float = 0.0
    _tables: dict[int, np.ndarray] = field(init=False, repr=False, default_factory=dict)

    @cached_property
    def noisy(self) -> list[bool]:
        """Whether each row has noise."""
        return [given(row.noise) for row in self.rows]

    @cached_property
    def scaled(self) -> bool:
        """Whether the network's input differs from x in any row, all coefficients being numbers."""
        return any(row.c_in != 1 for row in self.rows)

    def table(self, places: int) -> np.ndarray:
        """Return the rows as one table for a device, (K, columns + places), float64; read-only.

        After `COLUMNS` come the weights of memories by their place in a ring, where the memory of
        row k lies at k modulo `places`.

        Args:
            places: How many memories the ring holds, `depth` or more.
        """
        if places not in self._tables:
            self._tables[places] = _table(self, places)
        return self._tables[places]


def rows_of(plan: "Plan", x: Array, *, raw: bool, clamp: Clamp | None) -> Rows:
    """Return the rows of a plan with the way from output to memory multiplied out.

    Args:
        plan: The table.
        x: What the numbers will multiply, or any array of its library and dtype.
        raw: Whether d is the network's own output, which is combined with x in one go. Otherwise it
            is an x0 prediction.
        clamp: The bounds of x0, if the update is to read the output and clamp it.

    Raises:
        ValueError: x is in float32, which cannot hold a coefficient.
    """
    rows: Rows = plan.kept(("rows", raw), lambda: _made(plan, x, raw, clamp), clamp)
    if rows.largest > _LARGEST and "float32" in str(x.dtype):
        _raise_out_of_range(rows, plan)
    return rows


def _made(plan: "Plan", x: Array, raw: bool, clamp: Clamp | None) -> Rows:
    of_x, of_d = plan.m_x, plan.m_d
    with np.errstate(invalid="ignore"):  # where x0 is not determined, which is found in time
        if raw:
            of_x, of_d = plan.m_x + plan.m_d * plan.c_x, plan.m_d * plan.c_out
        newest = plan.b[:, 0]
        columns = {
            "c_in": plan.c_in,
            "c_x": plan.c_x,
            "c_out": plan.c_out,
            "x": plan.a + newest * of_x,
            "d": newest * of_d,
            "noise": plan.c,
            "memory_x": of_x,
            "memory_d": of_d,
        }
    of = {name: numbers_of(column, x) for name, column in columns.items()}
    weights, read = numbers_of(plan.b, x), to_host(plan.b) != 0
    noisy, asked = to_host(plan.c) != 0, _asked_for(to_host(plan.b))
    learned = None if plan.log_variance is None else numbers_of(plan.log_variance, x)
    rows = [
        Row(
            c_in=of["c_in"][k],
            read=None if clamp is None else (of["c_x"][k], of["c_out"][k]),
            x=of["x"][k],
            d=of["d"][k],
            memories=tuple((weights[k][j], j) for j in range(1, read.shape[1]) if read[k, j]),
            memory=(of["memory_x"][k], of["memory_d"][k]) if asked[k] else None,
            noise=of["noise"][k] if noisy[k] else 0.0,
            log_variance=None if learned is None else _middle_and_half(*learned[k]),
        )
        for k in range(len(plan))
    ]
    numbers = all(not carries_gradient(column) for column in columns.values())
    depth = max((back for row in rows for _, back in row.memories), default=0)
    clip = None if clamp is None else (clamp.low, clamp.high)
    largest = max(map(_largest, rows), default=0.0) if numbers else 0.0
    return Rows(rows, depth, clip, numbers, largest)


def _weights(row: Row) -> list[float]:
    """Return everything that multiplies an array."""
    memories = [weight for weight, _ in row.memories]
    return [row.c_in, row.x, row.d, row.noise, *(row.memory or ()), *(row.read or ()), *memories]


def _largest(row: Row) -> float:
    """Return the largest finite weight of a row."""
    return max(abs(weight) for weight in _weights(row) if abs(weight) < np.inf)


def _raise_out_of_range(rows: Rows, plan: "Plan") -> None:
    """Say which coefficient is beyond float32, and what remedies it."""
    k = next(k for k, row in enumerate(rows.rows) if _largest(row) > _LARGEST)
    weight = next(weight for weight in _weights(rows.rows[k]) if _LARGEST < abs(weight) < np.inf)
    raise ValueError(
        f"a coefficient of row {k} (timestep {plan.timesteps[k]}) is {weight:.3g}, which float32 "
        "cannot hold: give x in float64, or use a network that predicts 'v' or 'x0'"
    )


def _table(rows: Rows, places: int) -> np.ndarray:
    table = np.zeros((len(rows.rows), len(COLUMNS) + places))
    low, high = rows.clip or (0.0, 0.0)
    for k, row in enumerate(rows.rows):
        remembered = row.memory is not None and rows.depth > 0
        values = {
            "x": row.x,
            "d": row.d,
            "noise": row.noise,
            "memory_x": row.memory[0] if row.memory else 0.0,
            "memory_d": row.memory[1] if row.memory else 0.0,
            "remembered": float(remembered),
            "c_x": row.read[0] if row.read else 0.0,
            "c_out": row.read[1] if row.read else 0.0,
            "next_c_in": rows.rows[k + 1].c_in if k + 1 < len(rows.rows) else 1.0,
            "middle": row.log_variance[0] if row.log_variance else 0.0,
            "half": row.log_variance[1] if row.log_variance else 0.0,
            "low": low,
            "high": high,
        }
        table[k, : len(COLUMNS)] = [values[name] for name in COLUMNS]
        for weight, back in row.memories:
            table[k, len(COLUMNS) + (k - back) % places] = weight
    table.flags.writeable = False
    return table


def _middle_and_half(low: Any, high: Any) -> tuple[Any, Any]:
    return (low + high) / 2, (high - low) / 2


def _asked_for(b: np.ndarray) -> np.ndarray:
    """Return for each row whether a later one reads its memory."""
    asked = np.zeros(len(b), dtype=bool)
    for back in range(1, b.shape[1]):
        asked[: max(len(b) - back, 0)] |= b[back:, back] != 0
    return asked


def numbers_of(column: Array, x: Array) -> list[Any]:
    """Return the entries of a column, ready to multiply x: floats, unless a gradient flows."""
    if not carries_gradient(column):
        return list(to_host(column).tolist())
    return [
        numbers_of(entry, x) if entry.ndim else multiplier(entry, x)
        for entry in (column[(k, ...)] for k in range(column.shape[0]))
    ]
