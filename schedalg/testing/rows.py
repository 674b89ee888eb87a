"""Rows of numbers, by which backends are checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from schedalg.running.rows import Columns, Row, Rows


class Case(NamedTuple):
    """The features of a run.

    Attributes:
        depth: How many rows back the memories reach that a row uses.
        clip: Bounds of the x0 prediction, or None.
        noise: "none", "given" as an array, or made from "keys".
        learned: Whether the network has a learned variance.
        scaled: Whether the model input is c_in x with c_in other than 1.
        raw: Whether rows use the network's output in addition to the bounded x0 prediction.
        outside: Whether the x0 prediction is given to the backend.
    """

    depth: int
    clip: tuple[float, float] | None
    noise: str
    learned: bool
    scaled: bool
    raw: bool = False
    outside: bool = False


CASES = [
    Case(0, None, "none", False, False),
    Case(0, (-0.5, 0.75), "keys", False, False),
    Case(0, None, "given", True, True),
    Case(0, (-0.5, 0.75), "keys", True, False),
    Case(1, None, "none", False, True),
    Case(1, (-0.5, 0.75), "given", False, False),
    Case(2, None, "keys", False, False),
    Case(3, None, "none", False, True),
    Case(3, (-0.5, 0.75), "keys", True, True),
    Case(0, (-0.5, 0.75), "none", False, False, raw=True),
    Case(2, (-0.5, 0.75), "keys", False, True, raw=True),
    Case(1, None, "given", False, False, raw=True, outside=True),
    Case(0, None, "none", False, True, outside=True),
]


def random_rows(rng: np.random.Generator, case: Case) -> Rows:
    """Return rows of random numbers, some of them 0."""
    count = 6

    def number() -> float:
        return float(rng.uniform(-1, 1)) if rng.random() < 0.9 else 0.0

    rows = [
        Row(
            c_in=0.25 + 0.5 * rng.random() if case.scaled and k != 2 else 1.0,
            read=(number(), number()) if case.clip else None,
            x=number(),
            d=number(),
            memories=tuple(
                (float(rng.uniform(0.1, 1)), back)
                for back in range(1, min(k, case.depth) + 1)
                if k != 4 or back == case.depth
            ),
            raw=number() if case.raw else 0.0,
            memory=(number(), 1.0, number() if case.raw else 0.0) if case.depth else None,
            noise=0.0 if case.noise == "none" or k == count - 1 else abs(number()),
            log_variance=(-1.0, 0.5) if case.learned else None,
        )
        for k in range(count)
    ]
    return rows_of_numbers(rows, case.depth, case.clip)


def rows_of_numbers(
    rows: Sequence[Row], depth: int, clip: tuple[float, float] | None = None
) -> Rows:
    """Return rows that are given one by one, with the noise of `_draws`."""
    weights = np.zeros((len(rows), 1 + depth))
    for k, row in enumerate(rows):
        for weight, back in row.memories:
            weights[k, back] = weight

    def column(values: Sequence[Any]) -> np.ndarray:
        return np.array(values, dtype=np.float64)

    read, memory, learned = (
        [getattr(row, name) for row in rows] for name in ("read", "memory", "log_variance")
    )
    remembered = [each or (0.0, 0.0, 0.0) for each in memory]
    noise, raw = column([row.noise for row in rows]), column([row.raw for row in rows])
    columns = Columns(
        c_in=column([row.c_in for row in rows]),
        read=None if None in read else tuple(column(read).T),
        x=column([row.x for row in rows]),
        d=column([row.d for row in rows]),
        raw=raw,
        weights=weights,
        memory=tuple(column(remembered).T),
        noise=noise,
        log_variance=None
        if None in learned
        else column([(middle - half, middle + half) for middle, half in learned]),
        reads=weights != 0,
        asked=np.array([each is not None for each in memory]),
        noisy=noise != 0,
        unbounded=(raw != 0) | np.array([each[2] != 0 for each in remembered]),
    )
    return Rows(columns, depth, clip, True, _draws(len(rows)))


def _draws(count: int) -> np.ndarray:
    """Return pairs (level, visit) of the noise: both ends, both signs, repeated visits."""
    levels = [2**63 - 1, -(2**63), 3 << 20, -1, 0, 3 << 20]
    return np.array([(level, k % 3) for k, level in enumerate(levels[:count])], dtype=np.int64)
