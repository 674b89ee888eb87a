"""`tune`: what it searches, how it finds it, and that it makes nothing worse."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DEIS,
    Denoiser,
    DPMSolverPP,
    Heun,
    Plan,
    Point,
    Schedule,
    Trajectories,
    UniPC,
    fit,
    run,
    trajectories,
    tune,
)
from schedalg.fitting.family import Family
from schedalg.fitting.samples import Split
from schedalg.fitting.tuning import _Search
from tests.bad_input import check_named
from tests.fitting.mixture import BASE, two_peaks
from tests.libraries import Library, lib

__all__ = ["lib"]

FEW = BASE[[199, 399, 599, 799, 999]]
MANY = BASE[[*range(4, 1000, 5)]]
LOG_SNR = BASE.to_log_snr()
START = np.random.default_rng(0).standard_normal((24, 6))
NEW = np.random.default_rng(1).standard_normal((64, 16))
#: Where no point is listed, from a curve, from pure noise, to another end than clean data.
SCHEDULES = {
    "listed": FEW,
    "with the first of the base": BASE[[0, 199, 599, 999]],
    "between points": BASE.subsample(steps=4, spacing="karras"),
    "no curve": Schedule.from_log_snr([4.0, 1.0, -1.0, -4.0]),
    "ve": Schedule.karras(4),
    "flow from pure noise": Schedule.flow(5),
    "not to clean data": BASE[100:][[99, 399, 899]],
    "one point": BASE[[999]],
}
SAMPLERS = {"DDIM": DDIM(), "2M": DPMSolverPP(order=2), "UniP": UniPC(order=2, corrector=False)}


def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    """Return E[x0 | x] of the two peaks, at any timestep between those of `BASE`."""
    log_snr = np.interp(timesteps, np.arange(1000.0), LOG_SNR)[:, None]
    alpha, sigma = (1 / np.sqrt(1 + np.exp(sign * log_snr)) for sign in (-1, 1))
    return np.asarray(two_peaks.expectation(x, Point(alpha, sigma, None)))


def wavy(x: Any, timesteps: Any) -> Any:
    return 0.8 * x / (1 + x * x) + 0.1 * x


def family_of(schedule: Schedule, sampler: Any, width: int = 3, moving: bool = True) -> Any:
    plan = sampler.plan(schedule)
    return plan, Family.of(plan, max(min(width, len(plan)), plan.b.shape[1]), moving)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_numbers_of_the_start_are_the_start(name: str, sampler: str) -> None:
    if len(SCHEDULES[name]) < 2:
        sampler = "DDIM"
    plan, family = family_of(SCHEDULES[name], SAMPLERS[sampler])
    numbers = family.start(plan)
    made = family.plan(numbers)
    assert len(numbers) == len(family.first_rows())
    assert made.schedule.origin == plan.schedule.origin
    assert made.schedule[-1] == plan.schedule[-1]
    for column in ("alpha", "sigma", "timesteps", "a"):
        np.testing.assert_allclose(getattr(made, column), getattr(plan, column), rtol=1e-12)
    np.testing.assert_allclose(made.b[:, : plan.b.shape[1]], plan.b, rtol=0, atol=1e-11)
    assert not made.b[:, plan.b.shape[1] :].any()


@settings(deadline=None, max_examples=30)
@given(name=st.sampled_from(sorted(SCHEDULES)), seed=st.integers(0, 100))
def test_all_plans_that_are_searched_return_a_point(name: str, seed: int) -> None:
    plan, family = family_of(SCHEDULES[name], DDIM())
    start, step = family.start(plan), np.random.default_rng(seed)
    made = family.plan(family.after(start, step.standard_normal(len(start))))
    x, predictions, _ = made.weights()
    end, first = made.schedule.origin, made.schedule[-1]
    np.testing.assert_allclose(predictions.sum(), end.alpha - x * first.alpha, atol=1e-11)
    if end.sigma == 0:
        assert x == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_number_changes_nothing_before_its_row(name: str) -> None:
    plan, family = family_of(SCHEDULES[name], DDIM())
    denoise = Denoiser(wavy, plan.schedule)
    made = Trajectories(plan.schedule, [START] * (len(plan) + 1), denoise)
    search = _Search(family, made, Split.of(START, 1))
    start = family.start(plan)
    walk = search.walk(family.plan(start))
    for i, first in enumerate(family.first_rows()):
        moved = start.copy()
        moved[i] += 0.01
        after = family.plan(moved)
        short, whole = search.walk(after, first, walk), search.walk(after)
        assert all(map(np.array_equal, short.x, whole.x))
        assert not np.array_equal(short.x[first + 1], walk.x[first + 1])


@pytest.mark.parametrize("name", ["between points", "flow from pure noise"])
def test_a_plan_that_is_searched_is_found(name: str) -> None:
    plan, family = family_of(SCHEDULES[name], DDIM(), width=2)
    start = family.start(plan)
    step = 0.1 * np.random.default_rng(2).standard_normal(len(start))
    wanted = family.plan(family.after(start, step))
    x = plan.schedule.prior_std * START
    end = run(wanted, wavy, x, prediction="x0")
    states = [x] * len(plan) + [end]
    made = Trajectories(plan.schedule, states, Denoiser(wavy, plan.schedule, "x0"))
    tuned = tune(plan, made, memories=2, rounds=60)

    def error(each: Plan) -> float:
        return float(np.sqrt(np.mean((run(each, wavy, x, prediction="x0") - end) ** 2)))

    assert error(tuned) < 1e-3 * error(plan)


def test_five_steps_are_as_good_as_many() -> None:
    x = np.random.default_rng(3).standard_normal((32, 16))
    made = trajectories(network, FEW, x, DPMSolverPP().plan(MANY), prediction="x0")
    exact = two_peaks.flow(NEW, FEW[-1], FEW.origin)

    def error(plan: Plan) -> float:
        return float(np.sqrt(np.mean((run(plan, network, NEW, prediction="x0") - exact) ** 2)))

    start = DPMSolverPP().plan(FEW)
    fitted = fit(start, made, memories=3)
    tuned = tune(start, made, memories=3)
    assert error(tune(fitted, made, noise_levels=False)) < error(fitted)
    assert error(tuned) < error(fitted) / 5
    assert error(tuned) < error(DPMSolverPP().plan(BASE.subsample(steps=30)))
    assert Plan.from_dict(json.loads(json.dumps(tuned.to_dict()))) == tuned
    assert tuned.schedule.curve is not None
    assert FEW.curve is not None
    assert tuned.schedule.curve.base == FEW.curve.base


def test_a_network_may_take_whole_timesteps_alone() -> None:
    def listed(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        assert timesteps.dtype.kind == "i"
        return network(x, timesteps)

    made = trajectories(listed, FEW, START, DPMSolverPP().plan(MANY), prediction="x0")
    start = DPMSolverPP().plan(FEW)
    tuned = tune(start, made, rounded=True, rounds=8)
    assert not np.isin(tuned.alpha[1:], BASE.alpha).any()
    nearest = [np.argmin(abs(LOG_SNR - level)) for level in tuned.schedule.to_log_snr()]
    assert abs(tuned.timesteps[::-1] - nearest).max() <= 1
    before, after = (
        np.mean((run(each, listed, START, prediction="x0") - made.states[-1]) ** 2)
        for each in (start, tuned)
    )
    assert after < before / 10


def test_in_half_precision_close_points_do_not_pass_one_another() -> None:
    close = BASE[[499, 500, 501, 999]]  # 0.01 apart in log-SNR, where differences are of 1/16
    x = START.astype(np.float16)
    states = [x] * 4 + [(0.3 * x).astype(np.float16)]
    made = Trajectories(close, states, Denoiser(wavy, close, "x0"))
    assert len(tune(DDIM().plan(close), made, rounds=1)) == 4


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000), samples=st.integers(5, 9), levels=st.booleans())
def test_no_plan_is_worse_on_samples_that_are_held_out(
    seed: int, samples: int, levels: bool
) -> None:
    x = np.random.default_rng(seed).standard_normal((samples, 6))
    teacher = DPMSolverPP().plan(BASE[[*range(99, 1000, 100)]])
    made = trajectories(network, FEW, x, teacher, prediction="x0")
    plan = DPMSolverPP().plan(FEW)
    tuned = tune(plan, made, memories=3, noise_levels=levels, rounds=5)
    held = slice(samples - samples // 4, None)
    before, after = (
        np.mean((run(each, network, x, prediction="x0") - made.states[-1])[held] ** 2)
        for each in (plan, tuned)
    )
    assert tuned == plan or after < before


def test_the_best_on_held_out_samples_is_returned() -> None:
    plan = DDIM().plan(FEW)
    own = run(plan, wavy, START, prediction="x0")
    # The held-out samples are where the plan takes them, and the others are not.
    states = [START] * 5 + [np.concatenate([0.5 * own[:18], own[18:]])]
    calls = 0

    def counted(x: Any, timesteps: Any) -> Any:
        nonlocal calls
        calls += 1
        return wavy(x, timesteps)

    made, counts = Trajectories(FEW, states, Denoiser(counted, FEW, "x0")), {}
    for rounds in (2, 3, 20):
        calls = 0
        assert tune(plan, made, memories=2, rounds=rounds) is plan
        counts[rounds] = calls
    assert counts[2] < counts[3] == counts[20]


def test_samples_of_any_library_are_taken(lib: Library) -> None:
    schedule = Schedule.flow(3)
    x = lib.array(START[:, :3])
    made = trajectories(wavy, schedule, x, DDIM().plan(schedule.refine(4)))
    plan = DDIM().plan(schedule)
    tuned = tune(plan, made, memories=2, rounds=3)
    off = [np.asarray(run(each, wavy, x) - made.states[-1]) for each in (plan, tuned)]
    assert np.mean(off[1] ** 2) < np.mean(off[0] ** 2) / 10


MADE = trajectories(wavy, FEW, START, DDIM().plan(FEW))
ZERO = BASE.rescale_zero_terminal_snr()[[399, 999]]
BAD: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a sampler": (lambda: tune(DDIM(), MADE), TypeError, ["plan", "DDIM"]),
    "stages": (lambda: tune(Heun().plan(FEW), MADE), ValueError, ["plan", "stages"]),
    "epsilon": (lambda: tune(DEIS().plan(FEW), MADE), ValueError, ["plan", "x0"]),
    "no point": (
        lambda: tune(Plan.of(FEW, a=np.full(5, 0.5), b=np.full(5, 0.5)), MADE),
        ValueError,
        ["plan", "point", "row 0"],
    ),
    "levels that are a number": (
        lambda: tune(DDIM().plan(FEW), MADE, noise_levels=1),
        TypeError,
        ["noise_levels"],
    ),
    "timesteps that are not listed": (
        lambda: tune(
            DDIM().plan(Schedule.flow(2)),
            trajectories(wavy, Schedule.flow(2), START, DDIM().plan(Schedule.flow(2))),
            rounded=True,
        ),
        ValueError,
        ["rounded", "listed", "plan"],
    ),
    "no rounds": (lambda: tune(DDIM().plan(FEW), MADE, rounds=0), ValueError, ["rounds"]),
    "too many memories": (
        lambda: tune(DDIM().plan(FEW), MADE, memories=9),
        ValueError,
        ["memories", "got 9"],
    ),
    "too few samples": (
        lambda: tune(
            DDIM().plan(FEW), trajectories(wavy, FEW, START[:3, :2], DDIM().plan(FEW)), memories=3
        ),
        ValueError,
        ["3 samples", "unknowns"],
    ),
    "pure noise": (
        lambda: tune(DDIM().plan(ZERO), Trajectories(ZERO, [START] * 3, Denoiser(wavy, ZERO, "v"))),
        ValueError,
        ["plan", "pure noise", "noise_levels=False"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    check_named(*BAD[case])
