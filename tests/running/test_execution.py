"""Running a plan."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from schedalg import Denoiser, DPMSolverPP, Heun, Plan, Schedule, edm, run, sample, sample_steps
from tests.registry.samplers import SAMPLERS

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


def test_a_run_is_a_sample() -> None:
    for entry in SAMPLERS.values():
        plan = entry.sampler.plan(FAST)
        for prediction in ("epsilon", "v"):
            expected = sample(network, FAST, entry.sampler, X, noise=2, prediction=prediction)
            for result in (
                run(plan, network, X, noise=2, prediction=prediction),
                sample(network, FAST, plan, X, noise=2, prediction=prediction),
                run(plan, Denoiser(network, FAST, prediction), X, noise=2),
                run(Plan.from_dict(plan.to_dict()), network, X, noise=2, prediction=prediction),
            ):
                np.testing.assert_array_equal(result, expected)


def test_a_denoiser_takes_the_place_of_the_network() -> None:
    """One that is called as a function of points, and so through another path, too."""
    inner = Denoiser(network, FAST, "v", clip=(-1, 1))
    outer = Denoiser.from_function(lambda x, t, inner: inner(x, t), FAST, inner)
    for entry in SAMPLERS.values():
        expected = sample(network, FAST, entry.sampler, X, prediction="v", clip=(-1, 1), noise=1)
        for denoise in (inner, outer):
            image = sample(denoise, FAST, entry.sampler, X, noise=1)
            np.testing.assert_allclose(image, expected, rtol=1e-10, atol=1e-10)


def test_stages_are_no_steps() -> None:
    steps = list(sample_steps(network, FAST, Heun(), X))
    assert len(steps) == 12
    np.testing.assert_array_equal(steps[-1], sample(network, FAST, Heun(), X))


def test_rows_that_are_kept_are_right() -> None:
    plan = DPMSolverPP(2).plan(Schedule.linear(1000).subsample(steps=6))
    x = np.linspace(-3.0, 3.0, 10)[None]
    model = np.tanh
    cases = [
        {"prediction": prediction, "clip": clip}
        for prediction in ("epsilon", "v", "epsilon", "x0", None)
        for clip in (None, (-1, 1), (-0.5, 2.0), (-1, 1), None)
    ]
    for case in cases:
        fresh = DPMSolverPP(2).plan(plan.schedule)
        expected = run(fresh, lambda x, t: model(x), x, **case)
        np.testing.assert_array_equal(run(plan, lambda x, t: model(x), x, **case), expected)
    assert plan == DPMSolverPP(2).plan(plan.schedule)
    assert copy.deepcopy(plan) == pickle.loads(pickle.dumps(plan)) == plan


def test_what_networks_predict_unless_said_otherwise() -> None:
    for schedule, usual in (
        (FAST, "epsilon"),
        (FAST.as_flow(), "epsilon"),
        (Schedule.karras(6), "epsilon"),
        (Schedule.flow(6), "flow"),
        (Schedule.flow(6)[2:], "flow"),
        (Schedule.flow(6).as_vp(), "flow"),
    ):
        image = sample(network, schedule, Heun(), X)
        np.testing.assert_array_equal(image, sample(network, schedule, Heun(), X, prediction=usual))
        denoiser = Denoiser(network, schedule)
        assert denoiser.prediction == usual
        np.testing.assert_array_equal(image, sample(denoiser, schedule, Heun(), X))
        np.testing.assert_array_equal(
            image, sample(denoiser, schedule, Heun(), X, prediction=usual)
        )


def test_a_denoiser_and_another_prediction_contradict() -> None:
    denoiser = Denoiser(network, FAST, "v")
    with pytest.raises(ValueError, match=r"prediction is 'epsilon', and the Denoiser .* 'v'"):
        sample(denoiser, FAST, Heun(), X, prediction="epsilon")


def test_equal_predictions_and_empty_slices_go_with_a_denoiser() -> None:
    denoiser = Denoiser(network, FAST, "edm")
    image = sample(denoiser, FAST, Heun(), X, prediction=edm(0.5))
    np.testing.assert_array_equal(image, sample(denoiser, FAST, Heun(), X))
    assert sample(denoiser, FAST[:0], Heun(), X) is X


def test_a_function_of_denoisers_does_not_tell_the_unbounded_prediction() -> None:
    inner = Denoiser(network, FAST, clip=(-1, 1))
    outer = Denoiser.from_function(lambda x, t, inner: inner(x, t), FAST, inner)
    plan = Plan.of(
        FAST, a=np.zeros(12), b=np.ones(12), memory=(np.ones(12), np.zeros(12), np.ones(12))
    )
    with pytest.raises(ValueError, match="before it is bounded"):
        run(plan, outer, X)
