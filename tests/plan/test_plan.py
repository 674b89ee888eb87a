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
    DPMSolver,
    DPMSolverPP,
    Evaluations,
    Heun,
    Plan,
    Schedule,
    Steps,
    UniPC,
    run,
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
        assert len(str(plan).splitlines()) == (len(plan) if len(plan) <= 50 else 21) + 2


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


def test_plans_differ_if_a_number_does() -> None:
    plan = DDIM().plan(FAST)
    assert plan == DDIM().plan(FAST)
    for other in (
        DDIM(0.5).plan(FAST),
        DDIM().plan(FAST[1:]),
        replace(plan, start=(1.0, 0.5)),
        replace(plan, step=plan.step + 1),
        plan.to_dict(),
    ):
        assert plan != other
    assert len({plan, DDIM().plan(FAST), DDIM(0.5).plan(FAST)}) == 2


def test_plans_cannot_be_changed() -> None:
    plan = DDPM("learned").plan(FAST)
    for name in (
        "a",
        "b",
        "c",
        "alpha",
        "sigma",
        "p",
        "q",
        "u",
        "timesteps",
        "step",
        "log_variance",
    ):
        with pytest.raises(ValueError, match="read-only"):
            getattr(plan, name)[0] = 1
    with pytest.raises(FrozenInstanceError):
        plan.a = plan.b  # type: ignore[misc]


def test_a_plan_of_one_s_own() -> None:
    """`Plan.of` with Euler's method in the noise prediction, which is DDIM."""
    steps = Steps.of(FAST)
    a = steps.alpha_s / steps.alpha_t
    b = steps.sigma_s - a * steps.sigma_t
    plan = Plan.of(FAST, a=a, b=b, memory="epsilon")
    image = run(plan, network, X)
    np.testing.assert_allclose(image, sample(network, FAST, DDIM(), X), rtol=1e-12)
    evaluations = Evaluations(FAST.timesteps[::-1] * 1.5, steps.alpha_t, steps.sigma_t)
    passed: list[float] = []

    def listening(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        passed.append(float(timesteps[0]))
        return x

    run(Plan.of(FAST, a=a, b=b, memory="epsilon", evaluations=evaluations), listening, X)
    np.testing.assert_array_equal(passed, FAST.timesteps[::-1] * 1.5)


def test_a_start_scales_and_adds_noise_once() -> None:
    plan = replace(DDIM().plan(FAST), start=(2.0, 0.5))
    result = run(plan, network, X, noise=np.ones_like)
    np.testing.assert_allclose(result, run(DDIM().plan(FAST), network, 2 * X + 0.5), rtol=1e-12)


def test_no_copy_of_a_plan_can_be_changed() -> None:
    mine = np.ones(12)
    plan = replace(DDIM().plan(FAST), a=mine[:])
    mine[0] = 5
    assert plan.a[0] == 1
    mine[0] = 1  # the caller's own array stays writable
    for copied in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert copied == plan
        with pytest.raises(ValueError, match="read-only"):
            copied.a[0] = 2


def test_plans_of_version_1_are_read() -> None:
    """In version 1 the memory was m_x x + m_d x0, and a plan held the network's coefficients."""
    for sampler in (DDIM(), DPMSolverPP(order=2), Heun(), DPMSolver(order=2)):
        plan = sampler.plan(FAST)
        data = plan.to_dict()
        p, q = (np.array(data.pop(name)) for name in ("p", "q"))
        del data["u"]
        data["version"] = 1
        data["m_x"] = (q / plan.sigma).tolist()
        data["m_d"] = (p - q * plan.alpha / plan.sigma).tolist()
        data |= {name: plan.alpha.tolist() for name in ("c_in", "c_x", "c_out")}
        again = Plan.from_dict(json.loads(json.dumps(data)))
        for name in ("p", "q", "u", "a", "b", "c"):
            np.testing.assert_allclose(
                getattr(again, name), getattr(plan, name), rtol=1e-12, atol=1e-10
            )


def test_plans_of_a_later_version_say_so() -> None:
    with pytest.raises(
        ValueError, match=r"version 3 of schedalg\.Plan, written by a later schedalg"
    ):
        Plan.from_dict({**DDIM().plan(FAST).to_dict(), "version": 3})


def test_the_slope_of_a_flow_exists_where_no_noise_is_left() -> None:
    """The slope eps - x0 is the output itself, also at t = 0, where x0 does not determine eps."""
    s = Schedule.flow(2)  # t = 1/2, 1
    at = Evaluations(np.array([0.5, 0.0]), np.array([0.5, 1.0]), np.array([0.5, 0.0]))
    plan = Plan.of(
        s,
        a=np.ones(2),
        b=np.array([[-0.25, 0.0], [-0.25, 0.0]]),
        memory=(-np.ones(2), np.ones(2)),
        evaluations=at,
        step=[0, 0],
    )
    velocity = lambda x, t: 3.0 + 0 * x + t[:, None, None]  # noqa: E731
    np.testing.assert_allclose(run(plan, velocity, X), X - 0.25 * 3.5 - 0.25 * 3.0, rtol=1e-14)
    with pytest.raises(ValueError, match=r"does not determine x0 at timestep 0.0"):
        run(plan, network, X, prediction="epsilon", clip=(-1, 1))
    with pytest.raises(ValueError, match=r"sigma\[1\] is 0.0"):
        Plan.of(Schedule.linear(2), a=plan.a, b=plan.b, evaluations=at)


def test_the_memory_can_hold_the_unbounded_prediction_too() -> None:
    """The memory is x0 + 2 (x0 before it was bounded): with a clamp, a function and no bounds."""
    ones, zeros = np.ones(12), np.zeros(12)
    plan = Plan.of(FAST, a=zeros, b=ones / 4, memory=(ones, zeros, 2 * ones))

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return 3 * np.sin(x)

    for clip in (None, (-1, 1), lambda x0: x0.clip(-1, 1)):
        x = X
        for _ in range(12):
            x0 = model(x, FAST.timesteps)
            bounded = x0 if clip is None else x0.clip(-1, 1)
            x = (bounded + 2 * x0) / 4
        np.testing.assert_allclose(run(plan, model, X, prediction="x0", clip=clip), x, rtol=1e-13)
