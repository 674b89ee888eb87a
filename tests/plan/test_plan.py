"""`Plan` as a value."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    Evaluations,
    Heun,
    Plan,
    Schedule,
    Steps,
    UniPC,
    sample,
)
from schedalg.testing.strategies import schedules

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
