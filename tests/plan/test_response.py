"""What a plan makes of Gaussian data: against runs on unit vectors, and in closed form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from schedalg import DDIM, DDPM, DPMSolverPP, Heun, Plan, Schedule
from schedalg.testing import Mixture, variance_after
from tests.bad_input import PLAN, check_named
from tests.plan.test_weights import EVERY, PATHS
from tests.registry.samplers import Entry

SPREADS = np.array([0.05, 0.5, 1.0, 3.0])
FLOW = Schedule.flow(12)
FAST = Schedule.linear(1000).subsample(steps=10)


@EVERY
def test_the_variance_is_that_of_a_run_on_unit_vectors(entry: Entry) -> None:
    for schedule in (*PATHS, FLOW):
        plan = entry.sampler.plan(schedule)
        found = plan.response(SPREADS**2).variances
        for spread, variance in zip(SPREADS, found, strict=True):
            denoise = Mixture([0.0], [spread]).denoiser(schedule)
            exact = variance_after(plan, schedule, denoise, schedule.prior_std**2)
            np.testing.assert_allclose(variance, exact, rtol=1e-9)


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(0.5), DDPM(), DDPM("fixed_large")], ids=str)
def test_a_path_by_parts_has_the_variance_of_the_whole(sampler: Any) -> None:
    """The start may have any variance: here what the first half of the path leaves."""
    whole = sampler.plan(FAST).response(SPREADS**2).variances
    first = sampler.plan(FAST[5:]).response(SPREADS**2).variances
    second = sampler.plan(FAST[:5]).response(SPREADS**2, start=first).variances
    np.testing.assert_allclose(second, whole, rtol=1e-13)


def test_ddim_of_one_step_by_hand() -> None:
    """One step of DDIM to clean data returns alpha v / (alpha² v + sigma²) x."""
    schedule = Schedule.from_sigmas([2.0])
    result = DDIM().plan(schedule).response([4.0, 0.0])
    g = 4 / (4 + 4)
    np.testing.assert_allclose(result.variances, [g**2 * 4, 0], rtol=1e-15)
    np.testing.assert_allclose(result.w2, 2 - 2 * g, rtol=1e-14)
    np.testing.assert_allclose(result.kl, (g**2 - 1 - np.log(g**2)) / 2, rtol=1e-14)


def test_an_unbounded_prediction_counts_as_the_other() -> None:
    schedule = Schedule.from_sigmas([2.0])
    plain = Plan.of(schedule, a=[0.0], b=[1.0]).response([4.0])
    twice = Plan.of(schedule, a=[0.0], b=[1.0], memory=([0.5], [0.0], [1.5])).response([4.0])
    np.testing.assert_allclose(twice.variances, 4 * plain.variances, rtol=1e-15)


def test_distances_are_those_of_the_variances_in_60_digits() -> None:
    v = 1 / np.arange(1, 9.0) ** 2
    for schedule in (FAST, FAST[3:], Schedule.linear(1000)):
        result = DPMSolverPP(order=2).plan(schedule).response(v)
        origin = schedule.origin
        wanted = [mpf(origin.alpha) ** 2 * mpf(c) + mpf(origin.sigma) ** 2 for c in v.tolist()]
        pairs = list(zip(map(mpf, result.variances.tolist()), wanted, strict=True))
        w2 = mp.sqrt(sum((mp.sqrt(a) - mp.sqrt(b)) ** 2 for a, b in pairs))
        kl = sum(a / b - 1 - mp.log(a / b) for a, b in pairs) / 2
        np.testing.assert_allclose(result.w2, float(w2), rtol=1e-12)
        np.testing.assert_allclose(result.kl, float(kl), rtol=1e-12)


@pytest.mark.parametrize("start", [1e-12, 1e-17, 1e-320, 1e200])
def test_the_divergence_of_a_variance_that_is_orders_of_magnitude_off(start: float) -> None:
    result = DDIM().plan(Schedule.linear(4)[:0]).response([0.7], start=[start])
    ratio = mpf(start) / mpf(0.7)
    np.testing.assert_allclose(result.kl, float((ratio - 1 - mp.log(ratio)) / 2), rtol=1e-14)


def test_distances_vanish_as_steps_grow() -> None:
    v = 1 / np.arange(1, 9.0) ** 2
    found = []
    for steps in (50, 100, 200):
        schedule = Schedule.from_log_snr(np.linspace(8, -12, steps))
        start = schedule[-1].alpha ** 2 * v + schedule[-1].sigma ** 2
        found.append(DDIM().plan(schedule[1:]).response(v, start).w2)
    ratios = np.array(found[:-1]) / found[1:]
    np.testing.assert_allclose(ratios, 2, atol=0.1)  # DDIM is of order 1


def test_a_variance_of_0_stays_0_and_is_infinitely_far_from_noise() -> None:
    for sampler in (DDPM(), DDPM("fixed_large")):
        result = sampler.plan(FAST).response([0.0])
        assert (result.variances.item(), result.w2, result.kl) == (0.0, 0.0, 0.0)
    noisy = Plan.of(FAST[:1], a=[0.0], b=[1.0], c=[0.5])
    assert noisy.response([0.0]).variances.item() == 0.25
    assert noisy.response([0.0]).kl == np.inf


def test_a_plan_of_no_rows_returns_its_start() -> None:
    result = DDIM().plan(FAST[:0]).response([0.25, 1.0], start=[0.25, 4.0])
    assert result.variances.tolist() == [0.25, 4.0]
    assert result.w2 == 1.0
    assert result.kl == (4 - 1 - np.log(4)) / 2


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "no variances": (lambda: PLAN.response([]), ValueError, ["variances is empty"]),
    "negative": (lambda: PLAN.response([1.0, -1.0]), ValueError, ["variances[1]", "-1.0"]),
    "NaN": (lambda: PLAN.response([np.nan]), ValueError, ["variances[0]", "nan"]),
    "a number": (lambda: PLAN.response(1.0), TypeError, ["variances", "float"]),
    "start of another length": (
        lambda: PLAN.response([1.0, 2.0], start=[1.0]),
        ValueError,
        ["start", "2 variances", "got 1"],
    ),
    "negative start": (
        lambda: PLAN.response([1.0], start=[-1.0]),
        ValueError,
        ["start[0]", "-1.0"],
    ),
    "learned variance": (
        lambda: DDPM("learned").plan(FAST).response([1.0]),
        ValueError,
        ["log_variance", "learned"],
    ),
    "the slope of a point at clean data": (
        lambda: Heun().plan(Schedule.flow(4)).response([1.0, 0.0]),
        ValueError,
        ["variances[1]", "row 7", "clean data"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
