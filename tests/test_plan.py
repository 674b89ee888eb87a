"""`Plan` as a value, and running it."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    DPMSolverPP,
    Evaluations,
    Heun,
    Plan,
    Schedule,
    Steps,
    UniPC,
    inpaint,
    sample,
    sample_steps,
    switch,
)
from schedalg.testing import Mixture
from schedalg.testing.strategies import schedules
from tests.samplers import SAMPLERS

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


@given(schedules())
def test_plans_of_any_schedule_survive_json(schedule: Schedule) -> None:
    for sampler in (DDIM(0.5), DDPM("learned_range"), UniPC(order=1)):
        plan = sampler.plan(schedule)
        text = json.dumps(plan.to_dict(), allow_nan=False)
        again = Plan.from_dict(json.loads(text))
        assert again == plan
        assert hash(again) == hash(plan)
        assert len(str(plan).splitlines()) == len(schedule) + 2


@given(schedules(), st.sampled_from([2, 3]))
def test_tables_of_any_schedule_are_finite_or_refused(schedule: Schedule, order: int) -> None:
    for sampler in (DPMSolverPP(order=order, eta=0.5), UniPC(order=order), Heun()):
        try:
            plan = sampler.plan(schedule)
        except ValueError as error:
            if "at least" in str(error):
                continue
            raise
        for column in (plan.a, plan.b, plan.c):
            assert np.isfinite(column).all()


def test_plans_differ_where_a_number_does() -> None:
    plan = DDIM().plan(FAST)
    assert plan == DDIM().plan(FAST)
    for other in (
        DDIM(0.5).plan(FAST),
        DDIM().plan(FAST[1:]),
        plan.for_prediction("v"),
        replace(plan, start=(1.0, 0.5)),
        replace(plan, step=plan.step + 1),
        plan.to_dict(),
    ):
        assert plan != other
    assert len({plan, DDIM().plan(FAST), DDIM(0.5).plan(FAST)}) == 2


def test_plans_cannot_be_changed() -> None:
    plan = DDPM("learned").plan(FAST)
    for name in ("a", "b", "c", "alpha", "sigma", "c_x", "timesteps", "step", "log_variance"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(plan, name)[0] = 1
    with pytest.raises(FrozenInstanceError):
        plan.a = plan.b  # type: ignore[misc]


def test_a_table_shows_its_columns() -> None:
    lines = str(UniPC(order=2).plan(FAST)).splitlines()
    assert lines[0] == "plan of 12 model calls in 12 steps, start: x"
    titles = "row step timestep alpha sigma c_in c_x c_out a b0 b1 b2 c"
    assert " ".join(lines[1].split()) == titles
    assert len({len(line) for line in lines[1:]}) == 1
    assert "m_x" in str(Heun().plan(FAST))
    assert "23 model calls in 12 steps" in repr(Heun().plan(FAST))


def test_a_run_is_a_sample() -> None:
    for entry in SAMPLERS.values():
        plan = entry.sampler.plan(FAST)
        for prediction in ("epsilon", "v"):
            expected = sample(network, FAST, entry.sampler, X, noise=2, prediction=prediction)
            for run in (
                plan.run(network, X, noise=2, prediction=prediction),
                plan.for_prediction(prediction).run(network, X, noise=2),
                plan.run(Denoiser(network, FAST, prediction), X, noise=2),
                Plan.from_dict(plan.to_dict()).run(network, X, noise=2, prediction=prediction),
            ):
                np.testing.assert_array_equal(run, expected)


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


def test_a_plan_of_one_s_own() -> None:
    """Euler's method in the noise prediction, which is DDIM."""
    steps = Steps.of(FAST)
    a = steps.alpha_s / steps.alpha_t
    b = steps.sigma_s - a * steps.sigma_t
    plan = Plan.of(FAST, a=a, b=b, memory="epsilon")
    image = plan.run(network, X)
    np.testing.assert_allclose(image, sample(network, FAST, DDIM(), X), rtol=1e-12)
    evaluations = Evaluations(FAST.timesteps[::-1] * 1.5, steps.alpha_t, steps.sigma_t)
    told: list[float] = []

    def listening(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        told.append(float(timesteps[0]))
        return x

    Plan.of(FAST, a=a, b=b, memory="epsilon", evaluations=evaluations).run(listening, X)
    np.testing.assert_array_equal(told, FAST.timesteps[::-1] * 1.5)


def test_a_start_scales_and_adds_noise_once() -> None:
    plan = replace(DDIM().plan(FAST), start=(2.0, 0.5))
    result = plan.run(network, X, noise=np.ones_like)
    np.testing.assert_allclose(result, DDIM().plan(FAST).run(network, 2 * X + 0.5), rtol=1e-12)


def replay(z: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a source of noise that gives these draws, one after the other."""
    draws = iter(z)
    return lambda x: next(draws)


# Learned variance


def test_a_learned_range_is_between_the_respaced_bounds() -> None:
    """The log-variance is (v + 1) / 2 of the way, between bounds of the short schedule."""
    z = np.random.default_rng(0).standard_normal((20, 4, 2, 3))
    said = np.random.default_rng(1).uniform(-1, 1, (4, 2, 3))

    def two(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.concatenate([network(x, timesteps), said], axis=1)

    low, high = FAST.posterior_log_variance_clipped, np.log(FAST.to_betas())
    x, draws = X, iter(z)
    for k in reversed(range(12)):
        x0 = (x - FAST.sigma[k] * network(x, None)) / FAST.alpha[k]
        x = FAST.posterior_mean_coef1[k] * x0 + FAST.posterior_mean_coef2[k] * x
        if k:
            log_variance = (said + 1) / 2 * high[k] + (1 - said) / 2 * low[k]
            x = x + np.exp(log_variance / 2) * next(draws)
    result = sample(two, FAST, DDPM("learned_range"), X, noise=replay(z))
    np.testing.assert_allclose(result, x, rtol=1e-9)
    # The same images in another scale, and with a variance that is told outright.
    for other in (FAST.as_ve(), FAST.as_flow()):
        start = X * (other.sigma[-1] / FAST.sigma[-1])
        image = sample(two, other, DDPM("learned_range"), start, noise=replay(z))
        np.testing.assert_allclose(image, x, rtol=1e-9)
    for value in (-1.0, 0.3):

        def told(x: np.ndarray, timesteps: np.ndarray, value: float = value) -> np.ndarray:
            k = int(np.flatnonzero(FAST.timesteps == timesteps[0])[0])
            log_variance = (value + 1) / 2 * high[k] + (1 - value) / 2 * low[k]
            return np.concatenate([network(x, None), 0 * x + log_variance], axis=1)

        learned = sample(told, FAST, DDPM("learned"), X, noise=replay(z))
        ranged = sample(
            lambda x, t, v=value: np.concatenate([network(x, t), 0 * x + v], axis=1),
            FAST,
            DDPM("learned_range"),
            X,
            noise=replay(z),
        )
        np.testing.assert_allclose(learned, ranged, rtol=1e-9)
        if value == -1:
            small = sample(network, FAST, DDPM(), X, noise=replay(z))
            np.testing.assert_allclose(ranged, small, rtol=1e-9)


def test_other_samplers_read_the_prediction_of_a_learned_variance_network() -> None:
    def two(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.concatenate([network(x, timesteps), 0 * x], axis=1)

    for sampler in (DDIM(), DPMSolverPP(order=2), DDPM()):
        image = sample(two, FAST, sampler, X, noise=1, clip=(-2, 2))
        expected = sample(network, FAST, sampler, X, noise=1, clip=(-2, 2))
        np.testing.assert_array_equal(image, expected)


# Rounding in float32


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_loses_no_more_than_the_path_does(name: str) -> None:
    """From sigma 80 and for a network that puts out the noise: no method amplifies rounding.

    Stages start from the x before them and remembered slopes; were the start of the step recovered
    by dividing by sigma_s/sigma_t, the error would grow by its inverse in the steps near 0.
    """
    schedule = Schedule.karras(18)
    data = Mixture([0.2], [0.5])
    table = {float(np.float32(p.timestep)): p for p in schedule}

    def eps(x: Any, sigma: Any) -> Any:
        told = min(table, key=lambda t: abs(t - float(sigma[0])))
        level = table[told].sigma if abs(told - float(sigma[0])) < 1e-6 * told else float(sigma[0])
        gain = 0.25 / (0.25 + level**2)
        # The noise itself, without the difference x - x0 that would round.
        return (x - 0.2) * ((1 - gain) / level)

    x = np.random.default_rng(2).standard_normal((64, 8)) * 80
    sampler = SAMPLERS[name].sampler
    exact = sample(eps, schedule, sampler, x.astype(np.float32).astype(np.float64), noise=3)
    result = sample(eps, schedule, sampler, x.astype(np.float32), noise=3)
    assert result.dtype == np.float32
    scale = float(data.marginal_std(schedule[0]))
    assert np.abs(result - exact).max() < 2e-5 * scale


def test_what_a_run_keeps_with_a_plan_is_bounded_and_right() -> None:
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
        expected = fresh.run(lambda x, t: model(x), x, **case)
        np.testing.assert_array_equal(plan.run(lambda x, t: model(x), x, **case), expected)
    assert plan.for_prediction("v") is plan.for_prediction("v")
    before = len(plan._kept)
    for high in range(1, 9):
        plan.run(lambda x, t: model(x), x, clip=(-1, high))
    assert len(plan._kept) == before
    assert plan == DPMSolverPP(2).plan(plan.schedule)
    assert copy.deepcopy(plan) == pickle.loads(pickle.dumps(plan)) == plan


def test_a_table_shows_and_loads_without_rows() -> None:
    for entry in SAMPLERS.values():
        plan = entry.sampler.plan(FAST[:0])
        assert len(str(plan).splitlines()) == 2
        assert Plan.from_dict(plan.to_dict()) == plan
        assert plan.run(network, X) is X
    plan = DDPM("learned").plan(FAST[:0])
    assert Plan.from_dict(plan.to_dict()) == plan


def test_no_copy_of_a_plan_can_be_changed() -> None:
    mine = np.ones(12)
    plan = replace(DDIM().plan(FAST), a=mine[:])
    mine[0] = 5
    assert plan.a[0] == 1
    mine[0] = 1  # and the caller's own array is not frozen
    for copied in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert copied == plan
        with pytest.raises(ValueError, match="read-only"):
            copied.a[0] = 2


def test_a_learned_variance_reaches_through_wrappers() -> None:
    def two(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.concatenate([network(x, timesteps), 0 * x + 0.3], axis=1)

    denoise = Denoiser(two, FAST)
    wrapped = switch(inpaint(denoise, X, np.zeros(3)), denoise, sigma_min=1.0)
    image = sample(wrapped, FAST, DDPM("learned_range"), X, noise=1)
    expected = sample(two, FAST, DDPM("learned_range"), X, noise=1)
    np.testing.assert_allclose(image, expected, rtol=1e-12)
