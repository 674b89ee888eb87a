"""What steps cost: against steps of the samplers, straight lines, and all subsets."""

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Schedule, choose
from tests.bad_input import LINEAR, ZERO_SNR, check_named
from tests.libraries import Library, lib
from tests.schedule.test_choosing import sum_of

__all__ = ["lib"]

FOURTEEN = Schedule.linear(14)
KINDS = ["vp", "ve", "flow"]
RNG = np.random.default_rng(0)


def of_kind(kind: str) -> Schedule:
    return Schedule.from_log_snr(np.sort(RNG.uniform(-6, 6, 7))[::-1], kind=kind)


def ddim_step(schedule: Schedule, i: int, j: int) -> tuple[float, float]:
    """Return the coefficients of x and x0 in the step from j to i, as DDIM's table has them."""
    x, predictions, _ = DDIM().plan(schedule[[i, j]][1:]).weights()
    return x, float(predictions[0])


@pytest.mark.parametrize("kind", KINDS)
def test_weight_costs_sum_to_the_bound_of_ddim(kind: str) -> None:
    schedule = of_kind(kind)
    for error in (None, lambda alpha, sigma: 0.3 * sigma**2 / (alpha + 0.1)):
        costs = schedule.weight_costs(error)
        for kept in ([0, 6], [0, 2, 3, 6], list(range(7))):
            bound = DDIM().plan(schedule[kept][1:]).error_bound(error)
            np.testing.assert_allclose(sum_of(costs, kept), bound, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_trajectory_costs_are_steps_of_ddim(kind: str) -> None:
    schedule = of_kind(kind)
    x, x0 = RNG.standard_normal((2, 7, 3, 2, 5))
    costs = schedule.trajectory_costs(x, x0)
    for i, j in combinations(range(7), 2):
        a, b = ddim_step(schedule, i, j)
        off = a * x[j] + b * x0[j] - x[i]
        expected = np.mean([np.sqrt(np.mean(sample**2)) for sample in off])
        np.testing.assert_allclose(costs[i, j], expected, rtol=1e-11)
    assert (costs[np.tril_indices(7)] == np.inf).all()


def test_trajectories_of_one_prediction_cost_nothing(lib: Library) -> None:
    x0, noise = RNG.standard_normal((2, 3, 4))
    levels = zip(FOURTEEN.alpha, FOURTEEN.sigma, strict=True)
    x = np.stack([alpha * x0 + sigma * noise for alpha, sigma in levels])
    predictions = np.broadcast_to(x0, x.shape).copy()
    costs = FOURTEEN.trajectory_costs(lib.array(x, lib.widest), lib.array(predictions, lib.widest))
    tolerance = 1e-14 if str(lib.widest).endswith("64") else 1e-5
    assert costs[np.triu_indices(14, 1)].max() < tolerance


def test_length_costs_divide_a_path_evenly() -> None:
    lengths = np.array([9.0, *RNG.uniform(0, 1, 13)])  # the first is not used
    costs = FOURTEEN.length_costs(lengths)
    reached = np.cumsum(lengths)
    for i, j in combinations(range(14), 2):
        np.testing.assert_allclose(costs[i, j], (reached[j] - reached[i]) ** 2, rtol=1e-12)
    even = choose(FOURTEEN, 5, costs).timesteps.tolist()
    steps = {
        kept: float(np.var(np.diff(reached[[0, *kept, 13]])))
        for kept in combinations(range(1, 13), 3)
    }
    assert tuple(even[1:-1]) == min(steps, key=lambda kept: steps[kept])


def test_evenly_long_steps_are_evenly_chosen() -> None:
    chosen = choose(Schedule.linear(13), 4, Schedule.linear(13).length_costs(np.ones(13)))
    assert chosen.timesteps.tolist() == [0, 4, 8, 12]
    assert all(b - a == 4 for a, b in pairwise(chosen.timesteps.tolist()))


TEN = np.zeros((10, 2, 3))


def holding_nan() -> np.ndarray:
    states = TEN.copy()
    states[4, 1, 2] = np.nan
    return np.asarray(states)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "error at pure noise": (
        lambda: ZERO_SNR.weight_costs(),
        ValueError,
        ["error[9]", "inf", "pure noise"],
    ),
    "error negative": (
        lambda: LINEAR.weight_costs(lambda alpha, sigma: -sigma),
        ValueError,
        ["error[0]", "at least 0"],
    ),
    "error NaN": (
        lambda: LINEAR.weight_costs(lambda alpha, sigma: np.nan),
        ValueError,
        ["error[0]", "nan"],
    ),
    "error of another shape": (
        lambda: LINEAR.weight_costs(lambda alpha, sigma: sigma[1:]),
        ValueError,
        ["error", "(10,)", "(9,)"],
    ),
    "error a list": (lambda: LINEAR.weight_costs([1.0] * 10), TypeError, ["error", "list"]),
    "error of words": (
        lambda: LINEAR.weight_costs(lambda alpha, sigma: np.full(10, "a")),
        TypeError,
        ["error", "real numbers"],
    ),
    "states of another schedule": (
        lambda: LINEAR.trajectory_costs(TEN[1:], TEN),
        ValueError,
        ["states", "(10, B, ...)", "(9, 2, 3)"],
    ),
    "states without samples": (
        lambda: LINEAR.trajectory_costs(TEN[:, :0], TEN[:, :0]),
        ValueError,
        ["states", "at least one sample", "(10, 0, 3)"],
    ),
    "states NaN": (
        lambda: LINEAR.trajectory_costs(holding_nan(), TEN),
        ValueError,
        ["states[4]", "NaN"],
    ),
    "predictions of another shape": (
        lambda: LINEAR.trajectory_costs(TEN, TEN[..., :2]),
        ValueError,
        ["states and predictions", "(10, 2, 3)", "(10, 2, 2)"],
    ),
    "predictions of words": (
        lambda: LINEAR.trajectory_costs(TEN, TEN.astype(str)),
        TypeError,
        ["predictions", "real numbers"],
    ),
    "lengths short": (
        lambda: LINEAR.length_costs([1.0] * 9),
        ValueError,
        ["lengths", "10 points", "got 9"],
    ),
    "a length negative": (
        lambda: LINEAR.length_costs([0.0] * 8 + [-1.0, 0.0]),
        ValueError,
        ["lengths[8]", "-1.0"],
    ),
    "lengths of words": (lambda: LINEAR.length_costs(["a"] * 10), TypeError, ["lengths"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
