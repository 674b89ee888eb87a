"""The rows of a plan made ready to run: what is left to do with the output of each call."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, overload

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    device,
    differs_from_0,
    given,
    has_values,
    multiplier,
    namespace,
    requires_gradient,
    to_host,
    widened,
)
from schedalg.cache import Cache
from schedalg.checks import require_whole
from schedalg.network.bounds import Clamp
from schedalg.network.reading import raise_undetermined, reading_of
from schedalg.parameterization import Parameterization
from schedalg.plan.plan import Plan
from schedalg.running.arrivals import arrivals
from schedalg.running.cache import key_of
from schedalg.running.philox import STEP

#: How the x0 prediction is bounded: not at all; by a clamp, which the update makes itself; or by
#: whoever calls the update, who hands it over.
Bounded: TypeAlias = Clamp | Literal["given"] | None

_LARGEST = float(np.finfo(np.float32).max)

#: What a table for a device holds of each row.
COLUMNS = (
    "x",
    "d",
    "raw",
    "noise",
    "memory_x",
    "memory_d",
    "memory_raw",
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

    With d the output itself; or, where x0 is bounded, the bounded x0 prediction, which is made from
    c_x x + c_out output (by the update, where the rows have `clip`):

        memory = memory[0] x + memory[1] d + memory[2] output
        x      = x_weight x + d_weight d + raw output + Σ weight memory_{k - back} + noise z

    where what has the coefficient 0 is left out, even if it is infinite. Half precision is computed
    in float32, and each of the two results rounded once.

    Attributes:
        c_in: What the network's input is: c_in x.
        read: (c_x, c_out) where x0 is bounded, or None.
        x: Coefficient of x.
        d: Coefficient of d.
        raw: Coefficient of the output itself where x0 is bounded; 0.0 elsewhere.
        memories: (coefficient, how many rows back) of what is read of earlier memories.
        memory: Coefficients of x, d and the output in what is remembered; None if no later row
            reads it.
        noise: Coefficient of the noise; 0.0 where none is drawn.
        log_variance: (middle, half width) of a learned log-variance l, which makes the coefficient
            of the noise noise exp((middle + half l) / 2); or None.
    """

    c_in: Any
    read: tuple[Any, Any] | None
    x: Any
    d: Any
    memories: tuple[tuple[Any, int], ...]
    memory: tuple[Any, Any, Any] | None
    noise: Any
    log_variance: tuple[Any, Any] | None
    raw: Any = 0.0


class Columns(NamedTuple):
    """The numbers of all rows as columns, and which of them count: see `Row` for what they are.

    Where a gradient flows they are arrays of the schedule's library, else NumPy's.

    Attributes:
        c_in: (K,).
        read: (c_x, c_out), (K,) each, or None.
        x: (K,).
        d: (K,).
        raw: (K,).
        weights: (K, m), those of the last memories, newest first.
        memory: (of x, of d, of the output), (K,) each.
        noise: (K,).
        log_variance: (K, 2), or None.
        reads: Whether a row reads each memory, a NumPy array (K, m).
        asked: Whether a later row reads the memory of a row, a NumPy array (K,).
        noisy: Whether a row has noise, a NumPy array (K,).
        unbounded: Whether a row also takes the output itself with a bounded x0, NumPy (K,).
    """

    c_in: Array
    read: tuple[Array, Array] | None
    x: Array
    d: Array
    raw: Array
    weights: Array
    memory: tuple[Array, Array, Array]
    noise: Array
    log_variance: Array | None
    reads: np.ndarray
    asked: np.ndarray
    noisy: np.ndarray
    unbounded: np.ndarray

    @property
    def depth(self) -> int:
        """How many rows back memories are read, at most."""
        for back in range(self.reads.shape[1] - 1, 0, -1):
            if np.count_nonzero(self.reads[:, back]):
                return back
        return 0


class _TracedRows(Sequence[Row]):
    """Rows that a gradient flows through, each made of the columns when it is asked for.

    Args:
        columns: The columns.
        x: What the numbers will multiply.
    """

    def __init__(self, columns: Columns, x: Array) -> None:
        self.columns = columns
        self.x = x

    def __len__(self) -> int:
        return len(self.columns.noisy)

    @overload
    def __getitem__(self, k: int) -> Row: ...
    @overload
    def __getitem__(self, k: slice) -> list[Row]: ...
    def __getitem__(self, k: int | slice) -> Row | list[Row]:
        if isinstance(k, slice):
            return [self[j] for j in range(*k.indices(len(self)))]
        if not -len(self) <= k < len(self):
            raise IndexError(f"row {k} of {len(self)} rows")
        part = slice(k, k + 1) if k >= 0 else slice(k, k + 1 or None)
        return _row_list(_each(self.columns, lambda column: column[(part, ...)]), self.x)[0]


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a run.

    Attributes:
        columns: Their numbers.
        depth: How many rows back memories are read, at most.
        clip: (low, high), between which the update clamps the x0 prediction; or None.
        numbers: Whether all coefficients are floats. Otherwise a gradient flows through them, and
            they are arrays: `reference.Functional` runs them.
        draws: The level and the visit of each row's noise, an int64 array (K, 2); see `arrivals`.
            Zeros if there is no noise at all.
        start: The same of the noise before the first row.
        largest: A bound of all coefficients that are numbers; the largest, where float32 cannot
            hold it.
        timesteps: The timestep of each row: numbers, or an array that is traced.
        like: (0, ...), an array like what the coefficients will multiply, if they are no numbers.
        cache: What was computed from the rows, by keys of the backends: only to be read.
    """

    columns: Columns
    depth: int
    clip: tuple[float, float] | None
    numbers: bool
    draws: np.ndarray
    start: tuple[int, int] = (0, 0)
    largest: float = 0.0
    timesteps: Any = ()
    like: Array | None = None
    cache: dict[Hashable, Any] = field(init=False, repr=False, default_factory=dict)

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The rows in their order, listed when they are asked for: some backends read the table."""
        if not self.numbers:
            return _TracedRows(self.columns, self.like)
        return _row_list(self.columns, self.like)

    @cached_property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.columns.noisy)

    @cached_property
    def learned(self) -> bool:
        """Whether the rows take a learned variance."""
        return self.columns.log_variance is not None and self.count > 0

    @cached_property
    def raw(self) -> bool:
        """Whether a row takes the output itself in addition to a bounded x0."""
        if not np.count_nonzero(self.columns.unbounded):
            return False
        memories = [row.memory for row in self.rows if row.memory is not None]
        return any(given(row.raw) for row in self.rows) or any(given(m[2]) for m in memories)

    @cached_property
    def words(self) -> list[tuple[int, int, int]]:
        """The words of each row's noise: level, visit, and the domain of steps (see `philox`)."""
        return [(level, visit, STEP) for level, visit in self.draws.tolist()]

    @cached_property
    def noisy(self) -> list[bool]:
        """Whether each row has noise."""
        noisy: list[bool] = self.columns.noisy.tolist()
        return noisy

    @cached_property
    def scaled(self) -> bool:
        """Whether the network's input differs from x in any row, all coefficients being numbers."""
        return bool(np.count_nonzero(self.columns.c_in != 1))

    @cached_property
    def without_noise(self) -> "Rows":
        """These rows without their noise: x after each is the mean of what it may become."""
        silent = np.zeros_like(self.columns.noisy)
        return replace(self, columns=self.columns._replace(noisy=silent, log_variance=None))

    def table(self, places: int) -> np.ndarray:
        """Return the rows as one table for a device, (K, columns + places), float64; read-only.

        After `COLUMNS` come the weights of memories by their place in a ring, where the memory of
        row k lies at k modulo `places`. "remembered" is that place + 1, or 0 for none.

        Args:
            places: How many memories the ring holds, `depth` or more.
        """
        key = ("table", places)
        if key not in self.cache:
            self.cache[key] = _table(self.columns, self.depth, self.clip, places)
        table: np.ndarray = self.cache[key]
        return table


def rows_of(plan: Plan, x: Array, meaning: Parameterization, bounded: Bounded = None) -> Rows:
    """Return the rows of a plan with the way from output to memory multiplied out.

    They are made once for equal plans, meanings and bounds, unless a gradient flows.

    Args:
        plan: The table.
        x: What the numbers will multiply.
        meaning: What the network's output means.
        bounded: How the x0 prediction is bounded.

    Raises:
        TypeError: A function of the parameterization returns no numbers.
        ValueError: The output does not determine what a row needs; or x is in float32, which
            cannot hold a coefficient.
    """
    if compiling(x):
        clip = (bounded.low, bounded.high) if isinstance(bounded, Clamp) else bounded
        rows = plan._constant(_constant_rows, meaning, clip)
    else:
        rows = _cached(plan, x, meaning, bounded)
    if rows.largest > _LARGEST and "float64" not in str(x.dtype):
        _raise_out_of_range(rows)
    return rows


def _cached(plan: Plan, x: Any, meaning: Parameterization, bounded: Bounded) -> Rows:
    key = None
    if isinstance(plan.a, np.ndarray):
        parts = plan, key_of(meaning), key_of(bounded)
        key = None if None in parts[1:] else parts
    return _ROWS.get(key, lambda: _made(plan, x, meaning, bounded))


def _constant_rows(
    plan: Plan, meaning: Parameterization, clip: tuple[float, float] | Literal["given"] | None
) -> Rows:
    """Return the rows of a plan of numbers; what they compute from arrays is computed at once.

    Raises:
        ValueError: A gradient flows through the plan; or the meaning was made in the program.
    """
    if not isinstance(plan.a, np.ndarray):
        raise ValueError("a schedule that requires a gradient cannot be a constant of a program")
    require_whole("prediction", meaning)
    rows = _cached(plan, None, meaning, Clamp(*clip) if isinstance(clip, tuple) else clip)
    # Which cache what they compute, so that no compiler has to.
    _ = rows.rows, rows.count, rows.learned, rows.words, rows.noisy, rows.scaled
    return rows


def _size(rows: Rows) -> int:
    """Return about how many bytes rows take, with their plan and a table for a device."""
    return 2000 + rows.count * (900 + 100 * rows.depth)


_ROWS: Cache[Rows] = Cache(2**26, _size)


def _made(plan: Plan, x: Array, meaning: Parameterization, bounded: Bounded) -> Rows:
    count = int(plan.b.shape[0])
    reading = reading_of(meaning, plan.schedule, plan.alpha, plan.sigma)
    newest = plan.b[:, 0]
    columns = {"c_in": reading.c_in}
    p, q, u = map(_Weights.of, (plan.p, plan.q, plan.u))
    if bounded is None:
        # p x0 + q eps + u x0, with x0 and eps as the output says them.
        of_x = _sum((p, reading.c_x), (u, reading.c_x), (q, reading.e_x))
        of_d = _sum((p, reading.c_out), (u, reading.c_out), (q, reading.e_out))
    else:
        # eps = (x - alpha x0) / sigma, with the bounded x0.
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse, ratio = 1 / plan.sigma, plan.alpha / plan.sigma
        of_x = _sum((q, inverse), (u, reading.c_x))
        of_d = plan.p - _sum((q, ratio))
        of_raw = _sum((u, reading.c_out))
        columns |= {"c_x": reading.c_x, "c_out": reading.c_out}
        columns |= {"of_raw": of_raw, "raw": newest * of_raw}
    columns |= {"of_x": of_x, "of_d": of_d, "x": plan.a + newest * of_x, "d": newest * of_d}
    columns["noise"] = plan.c
    plain = isinstance(plan.a, np.ndarray)
    numbers = plain or not any(map(requires_gradient, columns.values()))
    hosts = columns
    if not plain:
        hosts = {name: to_host(column) for name, column in columns.items() if has_values(column)}
    listed = np.concatenate(list(hosts.values())) if hosts else np.empty(0)
    if np.count_nonzero(np.isfinite(listed)) < listed.size:
        _raise_undetermined(plan, meaning, listed.reshape(len(hosts), -1))
    reads, noisy = _reads(plan), differs_from_0(plan.c)
    zero = np.zeros(count) if plain else namespace(of_x).zeros_like(of_x)
    made = Columns(
        c_in=columns["c_in"],
        read=None if bounded is None else (columns["c_x"], columns["c_out"]),
        x=columns["x"],
        d=columns["d"],
        raw=columns.get("raw", zero),
        weights=plan.b,
        memory=(of_x, of_d, columns.get("of_raw", zero)),
        noise=plan.c,
        log_variance=plan.log_variance,
        reads=reads,
        asked=_asked_for(reads),
        noisy=noisy,
        unbounded=u.counts if bounded is not None else np.zeros(count, dtype=bool),
    )
    if numbers and not plain:
        made = _each(made, to_host)
    draws, start = np.zeros((count, 2), dtype=np.int64), (0, 0)
    if np.count_nonzero(noisy) or given(plan.start[1]):
        start, draws = arrivals(plan)
    draws.flags.writeable = False
    return Rows(
        made,
        made.depth,
        (bounded.low, bounded.high) if isinstance(bounded, Clamp) else None,
        numbers,
        draws,
        start,
        _largest(hosts, listed, made.weights, made.asked) if numbers and count else 0.0,
        plan.timesteps if requires_gradient(plan.timesteps) else tuple(plan.timesteps.tolist()),
        None if numbers else widened(x[:0, ...]),
    )


def _row_list(columns: Columns, x: Array) -> list[Row]:
    """Return the rows that columns hold, with numbers that are ready to multiply x."""
    count = len(columns.noisy)
    raw = memory_raw = [0.0] * count
    if np.count_nonzero(columns.unbounded):
        there = columns.unbounded.tolist()
        raw, memory_raw = (
            [value if unbounded else 0.0 for value, unbounded in zip(of, there, strict=True)]
            for of in (numbers_of(columns.raw, x), numbers_of(columns.memory[2], x))
        )
    read: list[Any] = [None] * count
    if columns.read is not None:
        read = list(zip(*(numbers_of(column, x) for column in columns.read), strict=True))
    of_x, of_d = (numbers_of(column, x) for column in columns.memory[:2])
    memory = zip(of_x, of_d, memory_raw, strict=True)
    asked, noisy = columns.asked.tolist(), columns.noisy.tolist()
    log_variance: list[Any] = [None] * count
    if columns.log_variance is not None:
        log_variance = [_middle_and_half(*pair) for pair in numbers_of(columns.log_variance, x)]
    return list(
        map(
            Row,
            numbers_of(columns.c_in, x),
            read,
            numbers_of(columns.x, x),
            numbers_of(columns.d, x),
            [
                tuple([(own[j], j) for j in range(1, len(own)) if reads[j]])
                for own, reads in zip(
                    numbers_of(columns.weights, x), columns.reads.tolist(), strict=True
                )
            ],
            [m if later else None for m, later in zip(memory, asked, strict=True)],
            [
                z if there else 0.0
                for z, there in zip(numbers_of(columns.noise, x), noisy, strict=True)
            ],
            log_variance,
            raw,
        )
    )


def _each(columns: Columns, function: Callable[[Array], Array]) -> Columns:
    """Return the columns that a function makes of these."""

    def made(column: Any) -> Any:
        if isinstance(column, tuple):
            return tuple(map(made, column))
        return None if column is None else function(column)

    return Columns(*map(made, columns))


def _reads(plan: Plan) -> np.ndarray:
    """Return whether each row reads each of the last memories; those before the first are none."""
    reads = np.array(differs_from_0(plan.b))
    for back in range(1, reads.shape[1]):
        reads[:back, back] = False
    return reads


class _Weights(NamedTuple):
    """A column that others are multiplied with.

    Attributes:
        column: (K,).
        number: How many entries differ from 0.
    """

    column: Array
    number: int

    @classmethod
    def of(cls, column: Array) -> "_Weights":
        plain = isinstance(column, np.ndarray)
        return cls(column, int(np.count_nonzero(column if plain else differs_from_0(column))))

    @property
    def counts(self) -> np.ndarray:
        """Whether each entry differs from 0."""
        return differs_from_0(self.column)


def _sum(*terms: tuple[_Weights, Array]) -> Array:
    """Return Σ weights column without what is multiplied by 0, which may be infinite."""
    total: Any = None
    for weights, column in terms:
        if not weights.number:
            continue
        if weights.number < len(column):
            xp = namespace(column)
            mask = xp.asarray(weights.counts, device=device(column))
            column = xp.where(mask, column, xp.zeros_like(column))
        term = weights.column * column
        total = term if total is None else total + term
    return 0.0 * terms[0][0].column if total is None else total


def _raise_undetermined(plan: Plan, meaning: Parameterization, columns: np.ndarray) -> NoReturn:
    """Say in which row the network's output does not determine what the row needs.

    Args:
        plan: The plan.
        meaning: What the output means: an epsilon prediction where there is no signal.
        columns: (R, K), where not all are finite.

    Raises:
        ValueError: Always.
    """
    k = int(np.argmin(np.isfinite(columns).all(axis=0)))
    raise_undetermined(meaning, plan.timesteps[k].item(), float(to_host(plan.alpha)[k]))


def _largest(
    hosts: dict[str, np.ndarray], listed: np.ndarray, b: np.ndarray, asked: np.ndarray
) -> float:
    """Return a bound of all weights of all rows; the largest, where float32 cannot hold the bound.

    Args:
        hosts: The columns by their names.
        listed: The same numbers, all in one array.
        b: (K, m), the weights of the memories; the newest is in `hosts` already.
        asked: Whether a later row reads what a row remembers, (K,).
    """
    if b.shape[1] > 1:
        listed = np.concatenate([listed, b[:, 1:].reshape(-1)])
    bound = float(np.maximum.reduce(np.abs(listed)))
    if bound <= _LARGEST:
        return bound
    in_memory = ("of_x", "of_d", "of_raw")
    weights = [column[asked] if name in in_memory else column for name, column in hosts.items()]
    return float(np.max(np.abs(np.concatenate([*weights, b[:, 1:].reshape(-1)]))))


def _weights(row: Row) -> list[float]:
    """Return everything that multiplies an array."""
    memories = [weight for weight, _ in row.memories]
    own = [row.c_in, row.x, row.d, row.raw, row.noise]
    return [*own, *(row.memory or ()), *(row.read or ()), *memories]


def _raise_out_of_range(rows: Rows) -> None:
    """Say which coefficient is beyond float32, and what remedies it."""
    k, weight = next(
        (k, weight)
        for k, row in enumerate(rows.rows)
        for weight in _weights(row)
        if abs(weight) > _LARGEST
    )
    raise ValueError(
        f"a coefficient of row {k} (timestep {rows.timesteps[k]}) is {weight:.3g}, which float32 "
        "cannot hold: give x in float64, or use a network that predicts 'v' or 'x0'"
    )


def _table(
    columns: Columns, depth: int, clip: tuple[float, float] | None, places: int
) -> np.ndarray:
    """Return numbers as one table for a device; see `Rows.table`."""
    count = len(columns.noisy)
    table = np.zeros((count, len(COLUMNS) + places))
    of = dict(zip(COLUMNS, table.T, strict=False))
    of["x"][:], of["d"][:] = columns.x, columns.d
    of["next_c_in"][:-1], of["next_c_in"][-1:] = columns.c_in[1:], 1.0
    if np.count_nonzero(columns.noisy):
        np.copyto(of["noise"], columns.noise, where=columns.noisy)
    if columns.read is not None:
        of["c_x"][:], of["c_out"][:] = columns.read
    if columns.log_variance is not None:
        of["middle"][:], of["half"][:] = _middle_and_half(*columns.log_variance.T)
    if clip is not None:
        of["low"][:], of["high"][:] = clip
    if np.count_nonzero(columns.unbounded):
        np.copyto(of["raw"], columns.raw, where=columns.unbounded)
    if depth:
        asked, (of_x, of_d, of_raw) = columns.asked, columns.memory
        np.copyto(of["memory_x"], of_x, where=asked)
        np.copyto(of["memory_d"], of_d, where=asked)
        np.copyto(of["memory_raw"], of_raw, where=asked & columns.unbounded)
        np.copyto(of["remembered"], 1.0 + np.arange(count) % places, where=asked)
        row, back = np.nonzero(columns.reads)
        row, back = row[back > 0], back[back > 0]
        table[row, len(COLUMNS) + (row - back) % places] = columns.weights[row, back]
    table.flags.writeable = False
    return table


def _middle_and_half(low: Any, high: Any) -> tuple[Any, Any]:
    return (low + high) / 2, (high - low) / 2


def _asked_for(reads: np.ndarray) -> np.ndarray:
    """Return for each row whether a later one reads its memory."""
    asked = np.zeros(len(reads), dtype=bool)
    for back in range(1, reads.shape[1]):
        asked[: max(len(reads) - back, 0)] |= reads[back:, back]
    return asked


def numbers_of(column: Array, x: Array) -> list[Any]:
    """Return the entries of a column, ready to multiply x: floats, unless a gradient flows."""
    if not requires_gradient(column):
        return list(to_host(column).tolist())
    return [
        numbers_of(entry, x) if entry.ndim else multiplier(entry, x)
        for entry in (column[(k, ...)] for k in range(column.shape[0]))
    ]
