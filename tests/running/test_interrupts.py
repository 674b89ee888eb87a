"""A step that is interrupted takes effect entirely or not at all, or what it left behind says so.

An exception is raised at every line of the library that a step runs, one after the other, as
Ctrl-C and a lack of memory raise theirs. Whoever holds the samples then goes on as if nothing were.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import schedalg
from schedalg import DDIM, DDPM, DPMSolverPP, Pool, Schedule

LIBRARY = str(Path(schedalg.__file__).parent)
#: What `_newly_finished` hands out is the caller's, who did not get it; and nothing undoes what is
#: left of a `finally` that is interrupted itself.
NOT_IN = ("_newly_finished", "_alone")
FAST = Schedule.linear(1000).subsample(steps=3)


def network(x: Any, timesteps: Any) -> Any:
    return 0.3 * x + 1e-4 * timesteps.reshape(-1, *[1] * (x.ndim - 1))


def is_interrupted(line: int, call: Callable[[], Any]) -> bool:
    """Call with an interrupt at the n-th line of the library; whether there was such a line."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        code = frame.f_code
        if not code.co_filename.startswith(LIBRARY) or code.co_name in NOT_IN:
            return None
        if event == "line":
            lines += 1
            if lines == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def full(size: int, clip: Any) -> Pool:
    pool = Pool(None, (size,), 3, clip=clip)
    for seed, sampler in enumerate((DPMSolverPP(order=2), DDPM(), DDIM())):
        pool.add(sampler.plan(FAST[seed:]), seed=seed, x=np.full(size, 1.0 + seed))
    return pool


#: Samples that were finished in a step.
FINISHED: dict[int, np.ndarray] = {}


def emptied(pool: Pool) -> dict[int, np.ndarray]:
    finished: dict[int, np.ndarray] = {}
    while len(pool):
        finished |= pool.advance(network(pool.input, pool.timesteps))
    return finished | pool._newly_finished()


def check_every_line(
    begin: Callable[[], Any], step: Callable[[Any], Any], end: Callable[[Any], Any]
) -> tuple[int, int]:
    """Interrupt a step at each of its lines, and go on; return how often that worked, and not.

    Where it does, the result is the undisturbed one.
    """
    held = begin()
    step(held)
    whole, worked, failed = end(held), 0, 0
    for line in range(1, 10_000):
        held = begin()
        if not is_interrupted(line, lambda held=held: step(held)):
            break
        try:
            result = end(held)
        except ValueError as error:
            if "interrupted" not in str(error):
                raise
            failed += 1
        else:
            worked += 1
            np.testing.assert_array_equal(result, whole, err_msg=f"line {line}")
    return worked, failed


@pytest.mark.parametrize("clip", [(-2, 2), lambda x0: np.clip(x0, -2, 2)])
def test_a_pool_goes_on_or_says_that_it_cannot(clip: Any) -> None:
    def begin() -> Pool:
        pool = full(2, clip)
        pool.advance(network(pool.input, pool.timesteps))
        return pool

    def step(pool: Pool) -> None:
        FINISHED.update(pool.advance(network(pool.input, pool.timesteps)))

    def end(pool: Pool) -> list[np.ndarray]:
        finished = FINISHED | emptied(pool)
        FINISHED.clear()
        return [finished[ticket] for ticket in (1, 2)]

    worked, failed = check_every_line(begin, step, end)
    print(worked, failed)
    assert worked > failed > 0
