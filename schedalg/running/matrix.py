"""Schedule matrices: which row of a plan each frame is taken through in each sweep."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import is_array
from schedalg.checks import MOST, described, host_array, integer, shown
from schedalg.plan.plan import Plan, as_plan
from schedalg.running.rows import Rows

#: What a schedule matrix holds for a frame whose first row is still to come. That of a frame which
#: is finished is the number of rows.
NOT_STARTED = -1


def frames(
    plan: Plan,
    offsets: Sequence[int] | np.ndarray,
    *,
    first: int | Sequence[int] | np.ndarray = 0,
) -> np.ndarray:
    """Return a schedule matrix: which row of a plan each frame goes through in each sweep.

    In a sweep, the network is called once for all frames, and each frame advances by its row in the
    matrix, if it has one. Common patterns, for T frames and a plan of K rows:

    - `[0] * T`: all frames at the same noise level, the ordinary run;
    - `range(T)`: a pyramid, each frame one row behind the frame before it;
    - `range(0, 2 * T, 2)`: a steeper pyramid, in which later frames are more uncertain;
    - `range(0, K * T, K)`: one frame after the other, each from the finished ones before it.

    Args:
        plan: The plan, of K rows.
        offsets: (T,), the number of sweeps by which each frame starts later than the first sweep.
        first: The row that each frame starts with, (T,), or one for all. A frame with K is finished
            from the first sweep on: it is given, as a condition of the others.

    Returns:
        (sweeps, T), int64: the row of each frame in each sweep, from 0 to K - 1; -1 where it has
        not started, and K where it is finished. In the last sweep a frame does its last row.

    Raises:
        TypeError: `plan` is not a Plan, or offsets or rows are not integers.
        ValueError: An offset is below 0, a row is not one of the plan's, or there is not one row
            for each frame; or there are no frames, or more entries than memory holds.

    Example:
        >>> from schedalg import DDIM, Schedule, frames
        >>> plan = DDIM().plan(Schedule.linear(1000).subsample(steps=3))
        >>> frames(plan, [0, 1, 2])
        array([[ 0, -1, -1],
               [ 1,  0, -1],
               [ 2,  1,  0],
               [ 3,  2,  1],
               [ 3,  3,  2]])

    Source: Chen et al., "Diffusion Forcing", arXiv 2407.01392; Kim et al., "FIFO-Diffusion", arXiv
    2405.11473.
    """
    _check_plan(plan)
    rows = len(plan)
    later = integers("offsets", offsets)
    if later.ndim != 1 or not later.size:
        raise ValueError(
            "offsets must hold one integer for each frame, such as [0, 1, 2]; got shape "
            f"{later.shape}"
        )
    if (later < 0).any():
        t = int(np.argmax(later < 0))
        raise ValueError(f"offsets[{t}] is {later[t]}: a frame starts 0 or more sweeps later")
    begins = integers("first", first)
    if begins.shape not in ((), later.shape):
        raise ValueError(
            f"first must be one row or {len(later)}, one for each frame; got shape {begins.shape}"
        )
    outside = (begins < 0) | (begins > rows)
    if outside.any():
        t = int(np.argmax(outside))
        place = f"first[{t}]" if begins.ndim else "first"
        raise ValueError(
            f"{place} is {begins.flat[t]}: rows of the plan are 0 to {rows - 1}, and {rows} is a "
            "finished frame"
        )
    later = np.where(begins < rows, later, 0)
    sweeps = int(later.max()) + rows
    if sweeps * later.size > MOST:
        raise ValueError(
            f"offsets are up to {later.max()}: a matrix of {sweeps} sweeps and {later.size} frames "
            f"would hold more than {MOST} entries"
        )
    done = np.arange(sweeps)[:, None] - later  # rows that each frame has done
    matrix = np.where(done < 0, NOT_STARTED, np.minimum(done + begins, rows))
    used: np.ndarray = matrix[: max(int((matrix < rows).any(axis=1).sum()), 1)]
    return used


def _check_plan(plan: object) -> None:
    as_plan("plan", plan)


def integers(name: str, values: Any) -> np.ndarray:
    """Return integers of any library, one or a sequence or an array of them, as int64.

    Raises:
        TypeError: They are not integers.
        ValueError: One is beyond int64.
    """
    array = host_array(name, values if is_array(values) else _listed(name, values))
    if array.size and array.dtype.kind == "f":
        place = _place(name, array.ndim)
        raise TypeError(f"{place} is {array.flat[0]}, {array.dtype}: it must be an integer")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {described(values)}")
    if array.dtype.kind == "u":  # of which the largest are beyond int64, and out of range anyhow
        array = np.minimum(array.astype(np.uint64), np.uint64(2**63 - 1))
    return array.astype(np.int64)


def _place(name: str, dimensions: int) -> str:
    """Return the first entry as it is indexed, such as `first[0]`."""
    return f"{name}[{', '.join('0' * dimensions)}]" if dimensions else name


def _listed(name: str, values: Any) -> Any:
    """Return a sequence as it is, and one integer as an array; numbers in it are checked.

    Raises:
        TypeError: One is not an integer.
        ValueError: One is beyond int64.
    """
    if not isinstance(values, Sequence):
        return np.asarray(integer(name, values))
    for k, value in enumerate(values):
        if isinstance(value, numbers.Number):
            number = integer(f"{name}[{k}]", value)
            if not -(2**63) <= number < 2**63:
                raise ValueError(f"{name}[{k}] is {shown(number)}: it does not fit in 64 bits")
    return values


def walks(rows: int, matrix: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each frame how many sweeps it waits, and the row that it starts with.

    Raises:
        TypeError: The matrix holds no integers.
        ValueError: It is not of so many frames, or a frame does not walk the rows to the end.
    """
    values = integers("matrix", matrix)
    if values.ndim != 2 or values.shape[1] != count or not (len(values) or rows == 0):
        raise ValueError(
            f"matrix must have shape (sweeps, {count}), a column for each frame of x, as "
            f"frames(plan, offsets) returns it; got shape {values.shape}"
        )
    outside = (values < NOT_STARTED) | (values > rows)
    if outside.any():
        m, t = np.argwhere(outside)[0].tolist()
        raise ValueError(
            f"matrix[{m}, {t}] is {values[m, t]}: rows of the plan are 0 to {rows - 1}, "
            f"{NOT_STARTED} is a frame that has not started, and {rows} one that is finished"
        )
    if rows == 0:
        return np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    before, after = values[:-1], values[1:]
    waits = before == NOT_STARTED
    wrong = np.where(waits, after == rows, after != np.minimum(before + 1, rows))
    if wrong.any():
        m, t = np.argwhere(wrong)[0].tolist()
        following = f"-1 to {rows - 1}" if waits[m, t] else f"{min(before[m, t] + 1, rows)}"
        raise ValueError(
            f"matrix[{m + 1}, {t}] is {after[m, t]} after {before[m, t]}, where {following} was "
            f"due: a frame waits (-1), goes through consecutive rows, and stays finished ({rows})"
        )
    if (values[-1] < rows - 1).any():
        t = int(np.argmax(values[-1] < rows - 1))
        raise ValueError(
            f"matrix[{len(values) - 1}, {t}] is {values[-1, t]} in the last sweep, in which every "
            f"frame does the last row, {rows - 1}, or is finished already ({rows})"
        )
    wait = (values == NOT_STARTED).sum(axis=0)
    return wait, values[wait, np.arange(count)]


def check_starts(plan: Plan, rows: Rows, wait: np.ndarray, starts: np.ndarray) -> None:
    """Raise if a frame starts with a row that needs those before it.

    Args:
        plan: The plan.
        rows: The plan multiplied out.
        wait: How many sweeps each frame waits.
        starts: The row that each starts with.

    Raises:
        ValueError: It does.
    """
    for t, first in enumerate(starts.tolist()):
        if not 0 < first < len(plan):
            continue
        what = f"matrix[{wait[t]}, {t}] is {first}, with which frame {t} starts"
        if plan.step[first] == plan.step[first - 1]:
            raise ValueError(
                f"{what}: it is a later stage of step {plan.step[first]}. Start with the first row "
                "of a step"
            )
        for k in range(first, min(first + rows.depth, len(plan))):
            for _, back in rows.rows[k].memories:
                if k - back < first:
                    raise ValueError(
                        f"{what}: row {k} takes what row {k - back} remembered. Use the plan of a "
                        "part of the schedule, or a sampler without memories"
                    )
