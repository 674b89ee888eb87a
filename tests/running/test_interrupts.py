"""A step that is interrupted takes effect entirely or not at all, or what it left behind says so.

An exception is raised at every line of `schedalg/running` that a step runs, but those of `finally`
and `with`, as Ctrl-C and a lack of memory raise theirs. Whoever holds the samples then goes on as
if nothing were.
"""

import ast
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import schedalg
from schedalg import DDPM, DPMSolverPP, FrameRun, Plan, Pool, Schedule, begin, frames
from schedalg.running.state import Run

LIBRARY = str(Path(schedalg.__file__).parent / "running")
#: What it hands out is the caller's, who did not get it.
NOT_IN = "_newly_finished"
FAST = Schedule.linear(1000).subsample(steps=3)
PLANS = [DPMSolverPP(order=2).plan(FAST), DDPM().plan(FAST[1:])]


def network(x: Any, timesteps: Any) -> Any:
    return 0.3 * x + 1e-4 * timesteps.reshape(*timesteps.shape, *[1] * (x.ndim - timesteps.ndim))


@functools.cache
def last_words(path: str) -> set[int]:
    """Return the lines of a file in which what was begun is ended: of `finally`, and of `with`.

    Nothing mends one that is interrupted itself: a lock would stay taken. The lines of `finally`
    here call nothing, and Ctrl-C comes only where something is called; at the end of a `with`, it
    comes when the lock was given back.
    """
    last = set()
    for each in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(each, ast.With):
            last |= set(range(each.lineno, each.body[0].lineno))
        elif isinstance(each, ast.Try):
            last |= {n for of in each.finalbody for n in range(of.lineno, of.end_lineno + 1)}
    return last


def is_interrupted(line: int, call: Callable[[], Any]) -> bool:
    """Call with an interrupt at the n-th line of the room; whether there was such a line."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        code = frame.f_code
        if not code.co_filename.startswith(LIBRARY) or code.co_name == NOT_IN:
            return None
        if event == "line" and frame.f_lineno not in last_words(code.co_filename):
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
    pool = Pool(None, (size,), 2, clip=clip)
    for seed, plan in enumerate(PLANS):
        pool.add(plan, seed=seed, x=np.full(size, 1.0 + seed))
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
        if not is_interrupted(line, functools.partial(step, held)):
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
    assert worked > 0
    assert failed > 0


def advance(run: Run | FrameRun) -> None:
    run.advance(network(run.input, run.timesteps))


def finish(run: Run | FrameRun) -> Any:
    while not run.done:
        advance(run)
    return run.x


@pytest.mark.parametrize("plan", [DDPM().plan(FAST), PLANS[0]])
def test_a_run_goes_on_or_says_that_it_cannot(plan: Plan) -> None:
    def start() -> Run:
        run = begin(plan, np.ones((1, 2)), noise=3)
        advance(run)
        return run

    worked, failed = check_every_line(start, advance, finish)
    assert worked > 0
    assert (failed > 0) == (plan is PLANS[0])  # the other remembers nothing, and loses nothing


@pytest.mark.parametrize("plan", [DDPM().plan(FAST), PLANS[0]])
@pytest.mark.parametrize("offsets", [[0, 0], [0, 1]])
def test_frames_go_on_or_say_that_they_cannot(plan: Plan, offsets: list[int]) -> None:
    def start() -> FrameRun:
        run = FrameRun(plan, np.ones((1, 2, 2)), frames(plan, offsets), noise=3)
        advance(run)
        return run

    worked, failed = check_every_line(start, advance, finish)
    assert worked > 0
    assert (failed > 0) == (plan is PLANS[0])


@pytest.mark.parametrize("offsets", [[0, 0], [0, 1]])
def test_a_frame_leaves_or_stays(offsets: list[int]) -> None:
    plan = PLANS[0]

    def start() -> FrameRun:
        run = FrameRun(plan, np.ones((1, 2, 2)), frames(plan, offsets), noise=3)
        while run.row[0] < len(plan):
            advance(run)
        return run

    def shift(run: FrameRun) -> None:
        run.shift()

    def end(run: FrameRun) -> Any:
        if not run.first:
            shift(run)
        return finish(run)

    worked, failed = check_every_line(start, shift, end)
    assert worked > 0
    assert failed == 0
