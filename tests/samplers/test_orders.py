"""The declared order of a sampler is the measured one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DEIS,
    IPNDM,
    LMS,
    PNDM,
    DPMSolverPP,
    Euler,
    Heun,
    Midpoint,
    RungeKutta,
    Schedule,
    Steps,
    UniPC,
    sample,
)
from schedalg.testing import Mixture, check_order, measured_order
from tests.registry.samplers import KUTTA, RK4, SAMPLERS, Entry

NOISE_FREE = pytest.mark.parametrize(
    "entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items() if e.order is not None]
)

#: Two sharp peaks, unlike the Gaussian that orders are measured with.
PEAKS = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])


@NOISE_FREE
@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_the_declared_order_is_measured(entry: Entry, kind: Any) -> None:
    if isinstance(entry.sampler, Midpoint):
        pytest.skip("of order 3 on a Gaussian: see the test below")
    assert entry.order is not None
    counts: tuple[int, ...] = (180, 360, 720)
    # Order 4 with fewer steps: with more, rounding and the first steps of lower order matter.
    if entry.order == 4:
        counts = (90, 180, 360) if kind == "flow" else (180, 360)
    check_order(entry.sampler, entry.order, kind=kind, counts=counts)


def test_the_midpoint_method_is_of_order_2_on_a_mixture() -> None:
    """For a Gaussian, x = sqrt(tau² + s²), its leading error x'''/24 + f_x x''/8 is 0."""
    assert measured_order(Midpoint()) == pytest.approx(3, abs=0.1)
    check_order(Midpoint(), 2, PEAKS)


@NOISE_FREE
def test_the_order_holds_for_two_peaks(entry: Entry) -> None:
    assert entry.order is not None
    measured = measured_order(entry.sampler, PEAKS, counts=(180, 360))
    assert entry.order - 0.15 < measured < entry.order + 0.35


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(
    ("sampler", "order"),
    [(Euler(), 1), (Heun(), 2), (LMS(order=2), 2), (RungeKutta(KUTTA), 3), (RungeKutta(RK4), 4)],
)
def test_flow_matching_from_pure_noise_to_clean_data(
    sampler: Any, order: int, shift: float
) -> None:
    """On the whole path, with both ends: x0 = mean + spread x, for standard normal x."""
    data = Mixture([0.7], [0.4])
    x = np.array([[-1.3, 0.2, 0.9, 2.0]])
    errors = []
    counts = np.array([400, 800, 1600]) // (4 if order == 4 else 1)
    for steps in counts.tolist():
        schedule = Schedule.flow(steps, shift=shift)
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        errors.append(np.abs(result - (0.7 + 0.4 * x)).max())
    measured = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert measured == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("sampler", "error"),
    [(Midpoint(), 6.93e-5), (Heun(), 1.202e-3), (RungeKutta(RK4), 5.16e-6)],
)
def test_the_step_to_clean_data_has_all_stages_on_a_flow(sampler: Any, error: float) -> None:
    """On 28 steps with a shift of 3, where an Euler step at the end has an error of 0.023."""
    data, x = Mixture([0.7], [0.5]), np.linspace(-2, 2, 9)[None, :]
    schedule = Schedule.flow(28, shift=3.0)
    for one, expected in ((sampler, error), (replace(sampler, clean_stages=False), 0.023)):
        result = sample(data.denoiser(schedule), schedule, one, x)
        assert np.abs(result - (0.7 + 0.5 * x)).max() == pytest.approx(expected, rel=0.05)
    plan = sampler.plan(schedule)
    assert len(plan) == 28 * len(sampler.tableau.b)
    assert plan.timesteps[-1] == (plan.sigma[-1] if 1 in sampler.tableau.c else plan.timesteps[-1])


def test_clean_data_are_told_by_the_rule_of_the_timesteps() -> None:
    """Where the timesteps are a list, that of clean data is not known, and the step is Euler's."""
    log_snr = Schedule.flow(3).to_log_snr()

    def last(timesteps: Any, sampler: Any = Heun()) -> tuple[int, float]:  # noqa: B008
        schedule = Schedule.from_log_snr(log_snr, kind="flow", timesteps=timesteps)
        plan = sampler.plan(schedule)
        return len(plan), float(plan.timesteps[-1])

    assert last("flow_time") == last("1000 flow_time") == (6, 0.0)
    assert last(lambda alpha, sigma: 7 * sigma + alpha) == (6, 1.0)
    assert last("flow_time", Heun(eta=0.5)) == last("flow_time", Heun(s_churn=1.0)) == (6, 0.0)
    assert last([100, 500, 1000]) == (5, 100.0)
    assert last(lambda alpha, sigma: np.log(sigma))[0] == 5
    assert len(Heun().plan(Schedule.linear(3).as_flow())) == 5


def test_no_slope_at_clean_data_follows_from_x0() -> None:
    schedule, x = Schedule.flow(3), np.ones((1, 2))
    for how in ({"prediction": "x0"}, {"clip": (-1, 1)}):
        with pytest.raises(ValueError, match=r"timestep 0.0.*Heun\(clean_stages=False\)"):
            sample(lambda x, t: x, schedule, Heun(), x, **how)
        sample(lambda x, t: x, schedule, Heun(clean_stages=False), x, **how)
        sample(lambda x, t: x, schedule, Midpoint(), x, **how)


def test_3m_gives_the_square_half_of_its_weight() -> None:
    """As the authors' code does, and so is of order 2; with the whole weight it is of order 3."""
    for schedule in (Schedule.karras(9)[1:], Schedule.linear(1000).subsample(steps=9)):
        for eta in (0.0, 1.0):
            exact = DPMSolverPP(order=3, eta=eta, exact=True).plan(schedule)
            steps = Steps.of(schedule)
            h = np.where(steps.finite, steps.h, 1.0)
            # The second difference of x0[now, before, before that], of u² / h².
            h1, h2 = np.append(1.0, h[:-1]), np.append([1.0, 1.0], h[:-2])
            difference = np.stack([1 / h1, -1 / h1 - 1 / h2, 1 / h2], axis=1) / (h1 + h2)[:, None]
            q = 1 + eta
            of_u = h - (1 - np.exp(-q * h)) / q  # the integrals of q e^(-q(h - u)) u, and u²
            of_square = h**2 - 2 * of_u / q
            half = exact.b - steps.alpha_s[:, None] * (of_square / 2)[:, None] * difference
            half[:2], half[~steps.finite] = exact.b[:2], exact.b[~steps.finite]
            plan = DPMSolverPP(order=3, eta=eta).plan(schedule)
            np.testing.assert_allclose(plan.b, half, rtol=1e-11, atol=1e-12)
            np.testing.assert_array_equal(plan.a, exact.a)


def order_from(schedules: list[Schedule], sampler: Any, data: Mixture) -> float:
    """Return the order over schedules of growing length, at their ends."""
    errors = []
    for schedule in schedules:
        x = data.marginal_std(schedule[-1]) * np.array([[-1.3, 0.2, 0.9, 2.0]])
        exact = data.flow(x, schedule[-1], schedule.origin)
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        errors.append(np.abs(result - exact).max())
    return float(-np.polyfit(np.log([len(s) for s in schedules]), np.log(errors), 1)[0])


@pytest.mark.parametrize(
    ("sampler", "order", "plain"),
    [
        (LMS(order=3, full_start=True), 3, 2.5),
        (LMS(order=4, full_start=True), 4, 2.4),
        (DEIS(order=3, full_start=True), 3, 2.1),
        (DEIS(order=4, full_start=True), 4, 2.1),
        (DPMSolverPP(order=3, exact=True, full_start=True), 3, 2.1),
        (UniPC(order=3, corrector=False, full_start=True), 3, 2.1),
        (UniPC(order=3, full_start=True), 4, 3.6),
    ],
)
def test_a_full_start_keeps_the_order_where_the_path_starts_with_little_noise(
    sampler: Any, order: int, plain: float
) -> None:
    """There the errors of the first steps show: without it, the order is about 2."""
    counts = (40, 80, 160)
    schedules = [Schedule.from_log_snr(np.linspace(6, -2, n + 1))[1:] for n in counts]
    assert order_from(schedules, sampler, PEAKS) > order - 0.3
    assert order_from(schedules, replace(sampler, full_start=False), PEAKS) < plain


def test_lms_with_a_full_start_is_of_order_4_on_a_flow_from_pure_noise() -> None:
    """Its slopes are smooth in t. Polynomials in log-SNR are of order 2 there, whatever the start.

    The first step is infinite in log-SNR, and the next are h = log 2, log 3/2, ..., however many
    there are; their errors are O(1/N²) (1/2^(k-1) + 1/3^(k-1) + ...) in a method of order k.
    """
    schedules = [Schedule.flow(n) for n in (100, 200, 400)]
    for data in (Mixture([0.7], [0.4]), PEAKS):
        assert order_from(schedules, LMS(full_start=True), data) > 3.9
        assert order_from(schedules, LMS(), data) < 2.1
        for sampler in (
            DEIS(order=4, full_start=True),
            DPMSolverPP(3, exact=True, full_start=True),
        ):
            assert order_from(schedules, sampler, data) < 2.2


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_even_weights_are_of_full_order_on_even_steps(order: int) -> None:
    """There the weights for uneven steps are the same."""

    def image(sampler: Any, steps: int) -> float:
        schedule = Schedule.from_sigmas(np.linspace(0.5, 30, steps + 1))[1:]
        s, t = schedule.origin, schedule[-1]
        data = Mixture([0.7], [2.0])
        x = np.array([[24.0]])
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        return abs((result - data.flow(x, t, s)).item())

    sampler = IPNDM(order=order)
    errors = [image(sampler, steps) for steps in (400, 800, 1600)]
    measured = -np.polyfit(np.log([400, 800, 1600]), np.log(errors), 1)[0]
    assert measured == pytest.approx(order, abs=0.15)
    even = Schedule.from_sigmas(np.linspace(0.5, 30, 20))
    np.testing.assert_allclose(
        sampler.plan(even).b[:-1], LMS(order=order).plan(even).b[:-1], atol=1e-10
    )
    if order == 4:
        errors = [image(PNDM(), steps) for steps in (400, 800, 1600)]
        measured = -np.polyfit(np.log([400, 800, 1600]), np.log(errors), 1)[0]
        assert measured > 3.85
