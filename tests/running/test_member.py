"""What a sample brings into a pool: its start, its conditions, and whether it fits the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Euler, Pool, Schedule, run
from tests.bad_input import check_named
from tests.libraries import INSTALLED, Library, host

BASE = Schedule.linear(1000)
PLAN = DDIM().plan(BASE.subsample(steps=3))
NOISY = DDPM().plan(BASE.subsample(steps=5))
CHURNED = Euler(s_churn=2.0).plan(BASE.subsample(steps=3)).round_timesteps()
LIBRARIES = [
    pytest.param(each, id=each.name) for each in INSTALLED if each.name in ("numpy", "torch")
]
FLOW = DDIM().plan(Schedule.flow(4))


@pytest.mark.parametrize("size", [3, 4099])  # stacked, and each by itself
def test_what_joins_is_copied(size: int) -> None:
    """So that one array may be filled again for the next sample."""
    plan, x, scale = PLAN, np.empty(size), np.empty(1)
    pool = Pool(lambda x, timesteps, scale: scale * x, (size,), 3, prediction="x0")
    tickets = []
    for value in (1.0, 2.0, 3.0):
        x[:], scale[:] = 10 * value, value
        tickets.append(pool.add(plan, x=x, scale=scale))
    x[:] = scale[:] = np.nan
    assert pool.input[:, 0].tolist() == [10.0, 20.0, 30.0]
    assert pool.conditions["scale"].tolist() == [[1.0], [2.0], [3.0]]
    finished = pool.drain()
    for value, ticket in zip((1.0, 2.0, 3.0), tickets, strict=True):
        alone = run(
            plan, lambda x, t, v=value: v * x, np.full((1, size), 10 * value), prediction="x0"
        )
        assert finished[ticket].tobytes() == alone[0].tobytes()


@pytest.mark.parametrize("library", LIBRARIES)
def test_numbers_of_numpy_are_numbers(library: Library) -> None:
    pool = Pool(None, (3,), 2, like=library.array([0.0]))
    pool.add(PLAN, seed=1, label=3, scale=0.5, flag=True)
    pool.add(PLAN, seed=2, label=np.int16(4), scale=np.float32(0.25), flag=np.bool_(False))
    assert all(library.is_mine(condition) for condition in pool.conditions.values())
    read = {name: host(condition).tolist() for name, condition in pool.conditions.items()}
    assert read == {"label": [3, 4], "scale": [0.5, 0.25], "flag": [True, False]}


def filled() -> Pool:
    """Return a pool of two samples, which takes one more."""
    pool = Pool(None, (3,), 3)
    for seed in range(2):
        pool.add(DDIM().plan(BASE.subsample(steps=2)), seed=seed, labels=seed, mask=np.ones(3))
    return pool


def add(plan: Any = PLAN, seed: Any = 1, **how: Any) -> Any:
    return filled().add(plan, seed=seed, **{"labels": 1, "mask": np.ones(3), **how})


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "another kind of network": (lambda: add(plan=FLOW), ValueError, ["plan", "'flow'", "'vp'"]),
    "fractional timesteps": (
        lambda: add(DDIM().plan(BASE.subsample(steps=4, spacing="karras"))),
        ValueError,
        ["timesteps", "float64", "int64", "round_timesteps"],
    ),
    "no seed": (lambda: add(NOISY, None, x=np.ones(3)), ValueError, ["seed", "adds noise"]),
    "no seed for a start with noise": (
        lambda: add(CHURNED, None, x=np.ones(3)),
        ValueError,
        ["seed", "adds noise"],
    ),
    "neither seed nor x": (lambda: add(seed=None), ValueError, ["seed", "x"]),
    "starts in the middle": (
        lambda: add(PLAN.reversed()),
        ValueError,
        ["starts at timestep 332", "give x"],
    ),
    "x of another shape": (lambda: add(x=np.ones((1, 3))), ValueError, ["x", "(3,)", "(1, 3)"]),
    "x of another dtype": (
        lambda: add(x=np.ones(3, "f4")),
        ValueError,
        ["x", "float64", "float32"],
    ),
    "x a list": (lambda: add(x=[1.0, 2.0, 3.0]), TypeError, ["x", "list"]),
    "a condition less": (
        lambda: filled().add(PLAN, seed=1, mask=np.ones(3)),
        ValueError,
        ["conditions", "['mask']", "['labels', 'mask']"],
    ),
    "a condition more": (lambda: add(other=1), ValueError, ["conditions", "'other'"]),
    "a condition of another shape": (
        lambda: add(mask=np.ones((1, 3))),
        ValueError,
        ["'mask'", "(1, 3)", "(3,)"],
    ),
    "a condition of another dtype": (
        lambda: add(labels=1.0),
        ValueError,
        ["'labels'", "float64", "int64"],
    ),
    "a condition that is no array": (
        lambda: add(labels="a cat"),
        TypeError,
        ["'labels'", "array or a number", "str"],
    ),
    "a condition of objects": (
        lambda: add(mask=np.array([None] * 3)),
        TypeError,
        ["'mask'", "numbers", "object"],
    ),
    "a condition of text": (
        lambda: add(mask=np.array(["a", "b", "c"])),
        TypeError,
        ["'mask'", "numbers", "<U1"],
    ),
    "a condition with a mask": (
        lambda: add(mask=np.ma.ones(3)),
        TypeError,
        ["'mask'", "masked"],
    ),
    "a condition that is too large": (
        lambda: add(labels=2**70),
        ValueError,
        ["'labels'", str(2**70), f"from {-(2**63)} to {2**63 - 1}"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
