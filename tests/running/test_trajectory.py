"""Trajectories, and points chosen by roll-outs along them: against runs written out."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    Heun,
    Schedule,
    choose,
    choose_by_rollout,
    sample,
    sample_steps,
    trajectory,
)
from schedalg.schedule.costs import distances
from tests.bad_input import LINEAR, X, check_named
from tests.libraries import Library, lib

__all__ = ["lib"]

BASE = Schedule.linear(1000).subsample(steps=9, spacing="log_snr")
X_T = np.random.default_rng(0).standard_normal((3, 2))


def network(x: Any, timesteps: Any) -> Any:
    return 0.7 * x + 0.2 * x**3 / (1 + x**2)


@pytest.mark.parametrize("sampler", [None, DPMSolverPP(order=2)])
def test_a_trajectory_is_the_run_turned_round(sampler: Any) -> None:
    states, predictions = trajectory(network, BASE, X_T, sampler)
    steps = list(sample_steps(network, BASE, sampler or DDIM(), X_T, previews=True))
    assert states.shape == predictions.shape == (9, 3, 2)
    np.testing.assert_array_equal(states[::-1], [X_T, *(x for x, _ in steps[:-1])])
    np.testing.assert_array_equal(predictions[::-1], [x0 for _, x0 in steps])


def test_a_fine_trajectory_of_gaussian_data_chooses_few_points_well() -> None:
    base = Schedule.linear(1000).subsample(steps=40, spacing="log_snr")
    variances = np.array([1.0, 0.1, 0.02])

    def perfect(x: Any, timesteps: Any) -> Any:
        point = base[int(np.flatnonzero(base.timesteps == timesteps[0])[0])]
        return point.alpha * variances / (point.alpha**2 * variances + point.sigma**2) * x

    x = np.random.default_rng(1).standard_normal((6, 3))
    teacher = trajectory(perfect, base, x, prediction="x0")
    chosen = choose(base, 6, base.trajectory_costs(*teacher))
    rolled = choose_by_rollout(perfect, base, 6, x, teacher, prediction="x0")

    def off(schedule: Schedule) -> float:
        found = sample(perfect, schedule, DDIM(), x, prediction="x0")
        end = sample(perfect, base, DDIM(), x, prediction="x0")
        return float(np.sqrt(np.mean((found - end) ** 2)))

    even = base.subsample(steps=6, spacing="linspace")
    assert off(chosen) < off(even)
    assert off(rolled) < off(even)


def test_of_three_points_the_middle_is_the_best_of_all(lib: Library) -> None:
    x = lib.array(X_T, lib.widest)
    teacher = trajectory(network, BASE, X_T)

    def off(schedule: Schedule) -> float:
        end = sample(network, schedule[1:], DDIM(), X_T)
        return float(distances(end, teacher.states[0]))

    best = min((BASE[[0, k, 8]] for k in range(1, 8)), key=off)
    assert choose_by_rollout(network, BASE, 3, x, teacher) == best
    assert choose_by_rollout(network, BASE, 3, x, teacher.states) == best


def test_each_stage_keeps_the_way_that_ends_nearest() -> None:
    teacher = trajectory(network, BASE, X_T)
    # The definition, written out: state and way to each point, k steps from the start.
    reached: dict[int, tuple[Any, tuple[int, ...]]] = {8: (X_T, (8,))}
    for left in (2, 1, 0):
        nearest: dict[int, tuple[float, Any, tuple[int, ...]]] = {}
        for j, (state, way) in reached.items():
            for i in range(left, j) if left else [0]:
                step = sample(network, BASE[[i, j]][1:], DDIM(), state)
                off = float(distances(step, teacher.states[i]))
                if off < nearest.get(i, (np.inf,))[0]:
                    nearest[i] = (off, step, (i, *way))
        reached = {i: (step, way) for i, (_, step, way) in nearest.items()}
    expected = reached[0][1]
    assert choose_by_rollout(network, BASE, 4, X_T, teacher) == BASE[list(expected)]
    ways = [(0, *inner, 8) for inner in combinations(range(1, 8), 2)]
    assert expected in ways


def test_ends_are_kept_and_all_points_are_all() -> None:
    teacher = trajectory(network, BASE, X_T)
    assert choose_by_rollout(network, BASE, 2, X_T, teacher) == BASE[[0, 8]]
    assert choose_by_rollout(network, BASE, 9, X_T, teacher) == BASE
    calls = []

    def counted(x: Any, timesteps: Any) -> Any:
        calls.append(timesteps)
        return network(x, timesteps)

    choose_by_rollout(counted, BASE, 4, X_T, teacher)
    assert len(calls) < 9 * 2


TEACHER = np.zeros((10, 2, 3))

#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "no points": (
        lambda: trajectory(network, LINEAR[:0], X),
        ValueError,
        ["schedule", "no points"],
    ),
    "noise": (lambda: trajectory(network, LINEAR, X, DDPM()), ValueError, ["sampler", "noise"]),
    "stages": (
        lambda: trajectory(network, LINEAR, X, Heun()),
        ValueError,
        ["sampler", "once at each", "10 points"],
    ),
    "no x": (lambda: trajectory(network, LINEAR, [1.0]), TypeError, ["x", "list"]),
    "a teacher of another schedule": (
        lambda: choose_by_rollout(network, LINEAR, 3, X, TEACHER[1:]),
        ValueError,
        ["teacher", "(10, B, ...)", "(9, 2, 3)"],
    ),
    "a teacher of another shape": (
        lambda: choose_by_rollout(network, LINEAR, 3, X, TEACHER[..., :2]),
        ValueError,
        ["teacher", "(2, 2)", "(2, 3)"],
    ),
    "a teacher of another x": (
        lambda: choose_by_rollout(network, LINEAR, 3, X, TEACHER),
        ValueError,
        ["teacher", "another x"],
    ),
    "one point": (
        lambda: choose_by_rollout(network, LINEAR, 1, X, TEACHER),
        ValueError,
        ["steps", "from 2", "got 1"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
