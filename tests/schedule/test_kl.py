"""What steps lose, in nats: against 60 digits, the KL divergence itself, and closed forms."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from schedalg import DDPM, Schedule
from schedalg.schedule.errors import host_log_alpha_bar
from schedalg.schedule.kl import less_log
from schedalg.testing.strategies import schedules, subsets
from tests.bad_input import LINEAR, check_named
from tests.libraries import Library, host, lib
from tests.schedule.test_errors import exact_snr, gaussian_errors

__all__ = ["lib"]

BASE = Schedule.linear(1000)
VARIANCES = pytest.mark.parametrize("variance", [0.01, 1.0, 30.0])


@given(schedules())
def test_costs_are_those_of_the_definition_in_60_digits(schedule: Schedule) -> None:
    errors = np.linspace(0.1, 1, len(schedule))
    clean = schedule.origin.sigma == 0
    snr = [mp.inf if clean else exact_snr(schedule.log_alpha_bar)[0]]
    snr += exact_snr(host_log_alpha_bar(schedule))
    exact = [(s - t) * mpf(e) / 2 for (s, t), e in zip(pairwise(snr), errors, strict=True)]
    costs = schedule.step_costs(errors)
    np.testing.assert_allclose(costs, np.array(exact, dtype=float), rtol=1e-14)
    assert (costs[0] == np.inf) == clean
    np.testing.assert_allclose(np.diag(schedule.kl_costs(errors), 1), costs[1:], rtol=1e-15)


@given(schedules(), st.data())
def test_a_slice_has_the_costs_of_its_steps(schedule: Schedule, data: st.DataObject) -> None:
    """The step to an origin that is not clean is counted like any other."""
    errors = np.linspace(0, 1, len(schedule))
    k = data.draw(st.integers(1, len(schedule)))
    costs = schedule.step_costs(errors)
    np.testing.assert_array_equal(schedule[:k].step_costs(errors[:k]), costs[:k])
    np.testing.assert_array_equal(schedule[k:].step_costs(errors[k:]), costs[k:])


def test_a_cost_is_the_kl_divergence_between_the_posterior_and_the_step() -> None:
    """Of N(m, c²) from N(m', c²), with m - m' = b (x0 - prediction): b² error / (2 c²)."""
    schedule = BASE.subsample(steps=12)
    errors = gaussian_errors(schedule, 0.3)
    plan = DDPM().plan(schedule)
    divergences = (plan.b[:-1, 0] ** 2 * errors[:0:-1] / (2 * plan.c[:-1] ** 2))[::-1]
    np.testing.assert_allclose(schedule.step_costs(errors)[1:], divergences, rtol=1e-12)


@given(schedules())
def test_costs_do_not_depend_on_the_scale(schedule: Schedule) -> None:
    errors = np.linspace(0, 1, len(schedule))
    for other in (schedule.as_vp(), schedule.as_flow()):
        np.testing.assert_array_equal(other.step_costs(errors), schedule.step_costs(errors))


@VARIANCES
@pytest.mark.parametrize("count", [2, 5, 40, 1000])
def test_the_integral_is_that_of_gaussian_data_in_60_digits(variance: float, count: int) -> None:
    """∫ ½ c / (1 + c SNR) dSNR = ½ log((1 + c SNR_0) / (1 + c SNR_T))."""
    schedule = BASE[np.linspace(0, 999, count).round().astype(int)]
    snr, c = exact_snr(host_log_alpha_bar(schedule)), mpf(variance)
    errors = [mpf(float(e)) for e in gaussian_errors(schedule, variance)]
    total = sum((snr[k] - snr[k + 1]) * errors[k + 1] / 2 for k in range(count - 1))
    integral = mp.log((1 + c * snr[0]) / (1 + c * snr[-1])) / 2
    exact = float(total - integral)
    found = schedule.excess(gaussian_errors(schedule, variance))
    np.testing.assert_allclose(found, exact, rtol=1e-13)
    assert found > 0


@VARIANCES
def test_what_any_respacing_loses_more_is_the_difference_in_60_digits(variance: float) -> None:
    errors = gaussian_errors(BASE, variance)
    for respaced in (
        BASE[[0, 3, 500, 999]],
        BASE.subsample(steps=7, spacing="trailing"),
        BASE.subsample(steps=9, spacing="karras").as_ve(),
        BASE.subsample(steps=9, spacing="log_snr"),
        BASE[::10],
        BASE[5:].subsample(steps=7, spacing="karras"),
        BASE[100:600:50],
    ):
        chain, snr = exact_snr(host_log_alpha_bar(BASE)), exact_snr(host_log_alpha_bar(respaced))
        origin = float(respaced.origin.sigma)
        top = mp.exp(mpf(float(respaced.origin.log_snr))) if origin else chain[0]
        c = mpf(variance)

        def lost(points: list[mpf], top: mpf = top, c: mpf = c) -> mpf:
            points = [p for p in points if p < top * (1 - mpf(10) ** -13)]
            return sum(
                (s - t) * c / (1 + c * t) / 2
                for s, t in zip([top, *points[:-1]], points, strict=True)
            )

        full = [p for p in chain if p >= snr[-1] * (1 - mpf(10) ** -13)]
        exact = float(lost(snr) - lost(full))
        found = respaced.excess(errors, than=BASE)
        np.testing.assert_allclose(found, exact, rtol=1e-11)


@given(st.data())
def test_excess_is_at_least_0_and_adds_up(data: st.DataObject) -> None:
    """Over base and respacings of respacings, if the error falls with the SNR."""
    base = Schedule.linear(60)
    rises = st.floats(0, 1, allow_subnormal=False)
    errors = np.cumsum(data.draw(st.lists(rises, min_size=60, max_size=60)))
    inner = data.draw(subsets(58)) + 1
    kept = np.array([0, *inner, 59])
    fewer = np.array([0, *inner[::2], 59])
    middle, few = base[kept], base[fewer]
    first = middle.excess(errors, than=base)
    second = few.excess(errors[kept], than=middle)
    assert min(first, second, base.excess(errors)) >= 0
    np.testing.assert_allclose(few.excess(errors, than=base), first + second, rtol=1e-9, atol=1e-12)
    both = middle.step_costs(errors[kept])[1:].sum() - base.step_costs(errors)[1:].sum()
    np.testing.assert_allclose(first, both, rtol=1e-9, atol=1e-9 * errors[-1])
    assert base.excess(errors, than=base) == 0


@VARIANCES
def test_with_the_variance_that_fits_no_subset_of_gaussian_data_loses_more(variance: float) -> None:
    """½ log(1 + (SNR_s - SNR_t) error_t) over the steps sums to the integral."""
    for kept in ([0, 999], [0, 400, 999], np.arange(0, 1000, 37).tolist()):
        schedule = BASE[kept]
        costs = schedule.step_costs(gaussian_errors(schedule, variance))[1:]
        snr, c = exact_snr(host_log_alpha_bar(schedule)), mpf(variance)
        integral = mp.log((1 + c * snr[0]) / (1 + c * snr[-1])) / 2
        np.testing.assert_allclose(np.log1p(2 * costs).sum() / 2, float(integral), rtol=1e-13)


def test_errors_of_0_cost_nothing() -> None:
    zeros = np.zeros(1000)
    assert BASE.excess(zeros) == BASE[::10].excess(zeros, than=BASE) == 0
    assert (BASE.step_costs(zeros)[1:] == 0).all()
    assert BASE[[0, 500, 999]].excess([0.0, 0.0, 1.0]) == BASE[[500, 999]].step_costs([0, 1.0])[1]


def test_pure_noise_and_schedules_of_few_points() -> None:
    zero = BASE.rescale_zero_terminal_snr()
    errors = gaussian_errors(zero, 0.4)
    signal = mpf("0.4") * exact_snr(host_log_alpha_bar(zero))[0]
    exact = float((signal - mp.log1p(signal)) / 2)
    np.testing.assert_allclose(zero[[0, 999]].excess(errors[[0, 999]]), exact, rtol=1e-13)
    assert BASE[:1].step_costs([0.1]).tolist() == [np.inf]
    assert BASE[:0].step_costs([]).tolist() == []
    assert BASE[:0].excess([]) == BASE[:1].excess([1e-5]) == 0
    assert BASE[:0].excess(gaussian_errors(BASE, 1.0), than=BASE) == 0


def test_logarithms_are_without_cancellation() -> None:
    near = [1 + r for r in (-0.3, -0.2499, 0.2499, 0.2501, *10.0 ** -np.arange(1, 16))]
    for a in (*near, 1e-12, 1e-17, 0.1, 4.0, 1e9, 1e300, 5e-324):
        for b in (1.0, 0.7, 1e-7, 1e-200):
            ratio = mpf(a) / mpf(b)
            exact = ratio - 1
            value, r = less_log(np.array(a), np.array(b))
            if abs(exact) < 1e308:
                np.testing.assert_allclose(r, float(exact), rtol=1e-15)
                np.testing.assert_allclose(value, float(exact - mp.log(ratio)), rtol=3e-15)
            else:
                assert r == value == np.inf
    assert [part.item() for part in less_log(np.ones(1), np.ones(1))] == [0.0, 0.0]


def test_costs_beyond_float64_are_infinite_without_a_warning() -> None:
    schedule, errors = Schedule.linear(3), np.full(3, 1.7e308)
    assert (schedule.step_costs(errors) == np.inf).all()
    assert (np.diag(schedule.kl_costs(errors), 1) == np.inf).all()
    assert schedule.excess(errors) == 0


@pytest.mark.parametrize("errors", [[1, 1e-17, 1], [1, 1e-200, 1], [1e-9, 1e9, 1e10]])
def test_the_integral_of_errors_that_change_by_orders_of_magnitude(errors: list[float]) -> None:
    schedule = Schedule.linear(3)
    snr, exact = exact_snr(host_log_alpha_bar(schedule)), mpf(0)
    for (s, t), (e_s, e_t) in zip(pairwise(snr), pairwise(map(mpf, errors)), strict=True):
        r = e_t / e_s - 1
        exact += (s - t) * e_t / 2 * (1 - mp.log(e_t / e_s) / r)
    np.testing.assert_allclose(schedule.excess(errors), float(exact), rtol=1e-13)


def test_costs_are_of_the_library_of_the_schedule(lib: Library) -> None:
    betas = np.linspace(1e-3, 0.2, 10)
    own = Schedule.from_betas(lib.array(betas, lib.widest))
    errors = np.linspace(0.01, 1, 10)
    costs = own.step_costs(errors)
    assert lib.is_mine(costs)
    assert costs.dtype == own.to_betas().dtype
    expected = Schedule.from_betas(betas).step_costs(errors)
    np.testing.assert_allclose(
        host(costs), expected, rtol=1e-12 if lib.widest == "float64" else 1e-4
    )


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a loss beyond float64": (
        lambda: LINEAR.excess(1.7e308 / 10.0 ** np.arange(9, -1, -1)),
        ValueError,
        ["errors up to", "beyond float64"],
    ),
    "errors of the respacing": (
        lambda: LINEAR[::2].excess(np.ones(5), than=LINEAR),
        ValueError,
        ["errors", "10 points", "got 5"],
    ),
    "than what": (
        lambda: LINEAR.excess(np.ones(10), than=[1]),
        TypeError,
        ["than must be a Schedule", "list"],
    ),
    "another chain": (
        lambda: LINEAR.excess(np.ones(5), than=LINEAR[:5]),
        ValueError,
        ["point 5", "log-SNR", "covers"],
    ),
    "a chain that ends before": (
        lambda: LINEAR[5:].excess(np.ones(4), than=LINEAR[6:]),
        ValueError,
        ["point 0", "log-SNR"],
    ),
    "an origin beyond the chain's": (
        lambda: LINEAR[[7, 9]].excess(np.ones(4), than=LINEAR[6:]),
        ValueError,
        ["than ends at log-SNR", "the schedule at inf"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
