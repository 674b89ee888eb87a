"""Points chosen along a teacher's trajectories: against runs written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    Denoiser,
    Schedule,
    Trajectories,
    choose,
    choose_by_rollout,
    sample,
    trajectories,
    trajectory_costs,
)
from schedalg.schedule.costs import distances
from tests.bad_input import LINEAR, check_named

BASE = Schedule.linear(1000).subsample(steps=9, spacing="log_snr")
X_T = np.random.default_rng(0).standard_normal((3, 2))


def network(x: Any, timesteps: Any) -> Any:
    return 0.7 * x + 0.2 * x**3 / (1 + x**2)


def of(schedule: Schedule, model: Any = network, x: Any = X_T, **options: Any) -> Trajectories:
    return trajectories(model, schedule, x, DDIM().plan(schedule), **options)


def test_costs_are_those_of_the_states_and_their_predictions() -> None:
    teacher = of(BASE)
    denoise = Denoiser(network, BASE)
    states = np.stack(teacher.states[-2::-1])
    predictions = np.stack([denoise(x, t) for x, t in zip(states, BASE, strict=True)])
    np.testing.assert_array_equal(
        trajectory_costs(teacher), BASE.trajectory_costs(states, predictions)
    )
    # DDIM's own steps, of which the trajectory is made, cost nothing.
    assert np.diagonal(trajectory_costs(teacher), 1).max() < 1e-14


def test_trajectories_of_gaussian_data_choose_few_points_well() -> None:
    base = Schedule.linear(1000).subsample(steps=40, spacing="log_snr")
    variances = np.array([1.0, 0.1, 0.02])

    def perfect(schedule: Schedule) -> Any:
        def predict(x: Any, t: Any) -> Any:
            return t.alpha * variances / (t.alpha**2 * variances + t.sigma**2) * x

        return Denoiser.from_function(predict, schedule)

    x = np.random.default_rng(1).standard_normal((6, 3))
    teacher = of(base, perfect(base), x)

    def off(schedule: Schedule) -> float:
        end = sample(perfect(schedule), schedule, DDIM(), x)
        return float(np.sqrt(np.mean((end - teacher.states[-1]) ** 2)))

    least = min(
        off(base.subsample(steps=6, spacing=spacing))
        for spacing in ("linspace", "log_snr", "karras", "quadratic")
    )
    assert off(choose(base, 6, trajectory_costs(teacher))) < least
    assert off(choose_by_rollout(teacher, 6)) < least


def test_of_three_points_the_middle_is_the_best_of_all() -> None:
    teacher = of(BASE)

    def off(schedule: Schedule) -> float:
        return float(distances(sample(network, schedule[1:], DDIM(), X_T), teacher.states[-2]))

    best = min((BASE[[0, k, 8]] for k in range(1, 8)), key=off)
    assert choose_by_rollout(teacher, 3) == best


def test_each_stage_keeps_the_way_that_ends_nearest() -> None:
    teacher = of(BASE)
    # The definition, written out: state and way to each point, k steps from the start.
    reached: dict[int, tuple[Any, tuple[int, ...]]] = {8: (X_T, (8,))}
    for left in (2, 1, 0):
        nearest: dict[int, tuple[float, Any, tuple[int, ...]]] = {}
        for j, (state, way) in reached.items():
            for i in range(left, j) if left else [0]:
                step = sample(network, BASE[[i, j]][1:], DDIM(), state)
                off = float(distances(step, teacher.states[8 - i]))
                if off < nearest.get(i, (np.inf,))[0]:
                    nearest[i] = (off, step, (i, *way))
        reached = {i: (step, way) for i, (_, step, way) in nearest.items()}
    assert choose_by_rollout(teacher, 4) == BASE[list(reached[0][1])]


def test_ends_are_kept_and_all_points_are_all() -> None:
    calls = []

    def counted(x: Any, timesteps: Any) -> Any:
        calls.append(timesteps)
        return network(x, timesteps)

    teacher = of(BASE, counted)
    assert choose_by_rollout(teacher, 2) == BASE[[0, 8]]
    assert choose_by_rollout(teacher, 9) == BASE
    for steps in range(2, 10):
        calls.clear()
        choose_by_rollout(teacher, steps)
        assert len(calls) == (9 - steps + 1) * (steps - 2) + 1


BROKEN = Trajectories(
    LINEAR, [np.ones((2, 3))] * 11, Denoiser(lambda x, timesteps: x * np.nan, LINEAR)
)
GOOD = Trajectories(LINEAR, [np.ones((2, 3))] * 11, Denoiser(network, LINEAR))

#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "costs of states": (lambda: trajectory_costs(X_T), TypeError, ["trajectories", "(3, 2)"]),
    "roll-outs of states": (lambda: choose_by_rollout(X_T, 3), TypeError, ["trajectories"]),
    "one point": (lambda: choose_by_rollout(GOOD, 1), ValueError, ["steps", "from 2", "got 1"]),
    "too many": (lambda: choose_by_rollout(GOOD, 11), ValueError, ["steps", "10", "got 11"]),
    "NaN": (lambda: trajectory_costs(BROKEN), ValueError, ["prediction", "timestep 0", "NaN"]),
    "NaN later": (lambda: choose_by_rollout(BROKEN, 4), ValueError, ["timestep 9", "NaN"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
