"""What a result is made of, for every sampler: against runs, and the law of a point."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDPM, LMS, Heun, Plan, Schedule, run
from tests.registry.samplers import SAMPLERS, Entry

EVERY = pytest.mark.parametrize("entry", [pytest.param(e, id=n) for n, e in SAMPLERS.items()])
LINEAR = Schedule.linear(1000).subsample(steps=12)
#: To clean data and to noise, in every scale; no network is called at clean data.
PATHS = (
    LINEAR,
    LINEAR[2:],
    LINEAR.as_flow(),
    Schedule.karras(12, sigma_min=0.1),
    Schedule.karras(14, sigma_min=0.1)[2:],
    Schedule.linear(1000).rescale_zero_terminal_snr().subsample(steps=12),
)


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * np.tanh(x) + 0.1 * np.cos(timesteps[:, None])


@EVERY
def test_the_parts_with_their_weights_are_what_a_run_returns(entry: Entry) -> None:
    for schedule in PATHS:
        plan = entry.sampler.plan(schedule)
        predictions: list[np.ndarray] = []
        draws: list[np.ndarray] = []
        rng = np.random.default_rng(1)

        def recorded(x: Any, timesteps: Any, into: Any = predictions) -> Any:
            into.append(network(x, timesteps))
            return into[-1]

        def drawn(x: Any, into: Any = draws, rng: Any = rng) -> Any:
            into.append(rng.standard_normal(x.shape))
            return into[-1]

        x = rng.standard_normal((2, 3)) * schedule.prior_std
        result = run(plan, recorded, x, prediction="x0", noise=drawn)
        weights = plan.weights()
        used = np.append(plan.start[1], plan.c) != 0
        parts = [
            weights.x * x,
            *(w * x0 for w, x0 in zip(weights.predictions, predictions, strict=True)),
            *(w * z for w, z in zip(weights.noise[used], draws, strict=True)),
        ]
        size = max(np.abs(part).max() for part in parts)
        np.testing.assert_allclose(sum(parts), result, atol=1e-12 * size)


@EVERY
def test_predictions_have_the_share_that_x_leaves(entry: Entry) -> None:
    """Σ predictions = alpha_end - x alpha_start, for a method that returns a point to itself."""
    for schedule in PATHS:
        weights = entry.sampler.plan(schedule).weights()
        total = weights.x * schedule[-1].alpha + weights.predictions.sum()
        size = max(1.0, np.abs(weights.predictions).max())
        np.testing.assert_allclose(total, schedule.origin.alpha, rtol=0, atol=1e-13 * size)


def test_the_noise_of_a_path_to_clean_data_is_gone_but_for_predictions() -> None:
    weights = DDPM().plan(LINEAR).weights()
    assert weights.x == 0
    np.testing.assert_array_equal(weights.noise, 0)
    np.testing.assert_array_equal(weights.predictions, np.eye(12)[11])


def test_weights_of_two_steps_by_hand() -> None:
    """With x' = 2 (3 x + 5 m0 + 7 z) + 11 m1 + 13 m0 + 17 z': m0 = x0 + eps is 2 x.

    And m1 is x0 and thrice the unbounded x0.
    """
    schedule = Schedule.from_flow_times([0.25, 0.5])
    plan = Plan.of(
        schedule,
        a=[3.0, 2.0],
        b=[[5.0, 0.0], [11.0, 13.0]],
        c=[7.0, 17.0],
        memory=([1.0, 1.0], [1.0, 0.0], [0.0, 3.0]),
        start=(19.0, 23.0),
    )
    weights = plan.weights()  # alpha and sigma are 1/2 in the first row
    start = 2 * (3 + 5 * 2) + 13 * 2
    np.testing.assert_allclose(weights.x, start * 19, rtol=1e-14)
    np.testing.assert_allclose(weights.predictions, [0, 44], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(weights.noise, [start * 23, 14, 17], rtol=1e-14)


def test_weights_of_no_rows() -> None:
    weights = DDPM().plan(LINEAR[:0]).weights()
    assert weights.x == 1
    assert weights.predictions.tolist() == []
    assert weights.noise.tolist() == [0.0]


def test_what_has_no_weights_is_named() -> None:
    with pytest.raises(ValueError, match=r"row 7 uses the slope at clean data.*clean_stages=False"):
        Heun().plan(Schedule.flow(4)).weights()
    Heun(clean_stages=False).plan(Schedule.flow(4)).weights()
    LMS().plan(Schedule.flow(4)).weights()
    with pytest.raises(ValueError, match=r"learned \(log_variance is not None\)"):
        DDPM("learned_range").plan(LINEAR).weights()
