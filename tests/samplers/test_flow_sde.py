"""Flow-GRPO's and Flow-CPS's steps: the limits that are known, and the noise that they add."""

import numpy as np
import pytest

from schedalg import DDIM, LCM, TCD, FlowCPS, FlowSDE, Schedule
from schedalg.testing import Mixture, variance_after

FLOW = Schedule.flow(10, shift=3.0)
WITHIN = Schedule.flow(11)[1:10]
SCHEDULES = [FLOW, WITHIN, Schedule.linear(1000).subsample(steps=8), Schedule.karras(8)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_noise_both_are_ddim(schedule: Schedule) -> None:
    expected = DDIM().plan(schedule)
    assert FlowCPS(0.0).plan(schedule) == expected
    plan = FlowSDE(0.0).plan(schedule)
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(getattr(plan, name), getattr(expected, name), rtol=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_cps_is_a_table_of_tcd_and_ends_in_lcm(schedule: Schedule) -> None:
    half = FlowCPS(2 / 3).plan(schedule)  # cos(60 degrees)
    expected = TCD(gamma=0.5).plan(schedule)
    np.testing.assert_allclose(half.a, expected.a, rtol=1e-15)
    np.testing.assert_allclose(half.c, expected.c, rtol=1e-15)
    plan, expected = FlowCPS(1.0).plan(schedule), LCM().plan(schedule)
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(getattr(plan, name), getattr(expected, name), rtol=1e-15)


def test_cps_keeps_the_coefficients_of_signal_and_noise() -> None:
    for eta in (1e-9, 0.3, 0.8):
        plan = FlowCPS(eta).plan(FLOW)
        alpha, sigma = FLOW.alpha[::-1], FLOW.sigma[::-1]
        signal, noise = plan.a * alpha + plan.b[:, 0], plan.a * sigma
        np.testing.assert_allclose(signal[:-1], alpha[1:], rtol=1e-14)
        np.testing.assert_allclose(np.hypot(noise, plan.c)[:-1], sigma[1:], rtol=1e-14)
        np.testing.assert_allclose(plan.c[:-1], np.sin(eta * np.pi / 2) * sigma[1:], rtol=1e-14)


def test_the_sde_keeps_the_signal_and_adds_noise_by_the_square_of_the_step() -> None:
    a, t, s = 0.7, WITHIN.sigma[:0:-1], WITHIN.sigma[-2::-1]
    plan = FlowSDE(a).plan(WITHIN[1:])
    signal, noise = plan.a * (1 - t) + plan.b[:, 0], plan.a * t
    np.testing.assert_allclose(signal, 1 - s, rtol=1e-14)
    share = a**2 * (t - s) / (1 - t)
    np.testing.assert_allclose(plan.c, np.sqrt(share * t), rtol=1e-13)
    excess = noise**2 + plan.c**2 - s**2
    np.testing.assert_allclose(excess, share * (t - s) + share**2 / 4, rtol=1e-11)


def test_from_pure_noise_the_sde_has_the_signal_of_where_it_arrives() -> None:
    """As the authors' code: s takes the place of t in 1 - t, where t is 1."""
    plan = FlowSDE(0.5).plan(Schedule.flow(4))
    np.testing.assert_allclose(plan.c[0], 0.5 * np.sqrt(1 / (1 - 0.75) * 0.25), rtol=1e-15)
    np.testing.assert_allclose(plan.a[0], 0.75 - 0.5**2 * 0.25 / (2 * (1 - 0.75)), rtol=1e-15)
    assert plan.b[0, 0] == 0.25


#: t of the start is 1 - 2^-k. For 60, t is 1 in float64, and its log-SNR is not that of pure noise.
NEAR = [3, 5, 8, 12, 24, 40, 60]


def near_noise(k: int, kind: str, rest: list[float]) -> Schedule:
    """Return a path that starts at t = 1 - 2^-k, and goes on at these t."""
    t = np.array([2.0**-k, *(1 - np.array(rest))])
    return Schedule.from_log_snr(2 * np.log(t / (1 - t))[::-1], kind=kind)


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
@pytest.mark.parametrize("k", NEAR)
def test_a_start_near_noise_has_bounds(k: int, kind: str) -> None:
    for rest in ([0.7, 0.5, 0.3, 0.1], [0.5], [0.01]):
        schedule = near_noise(k, kind, rest)
        for level in (0.0, 0.3, 0.7, 1.2, 3.0, 1000.0):
            plan = FlowSDE(level).plan(schedule)
            assert (plan.a >= 0).all()
            assert plan.response([0.25]).variances[0] < 0.3


@pytest.mark.parametrize(
    ("schedule", "variance"),
    [
        (Schedule.flow(1000)[:-1].subsample(steps=10), 0.2300),
        (Schedule.cosine(1000).subsample(steps=10), 0.2209),
        (Schedule.from_flow_times([0.1, 0.3, 0.5, 0.7, 0.9, 1 - 2**-24]), 0.2384),
        (Schedule.from_flow_times([0.1, 0.3, 0.5, 0.7, 0.9, 1.0]), 0.2384),
        (Schedule.flow(10, shift=3.0), 0.1754),
    ],
)
def test_the_variance_of_the_sde_is_near_that_of_data(schedule: Schedule, variance: float) -> None:
    """The last two are the authors' own steps, whose variance the others are held against."""
    found = FlowSDE().plan(schedule).response([0.25]).variances[0]
    np.testing.assert_allclose(found, variance, atol=1e-4)


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_the_sde_is_continuous_where_noise_begins(kind: str) -> None:
    times, last = [0.1, 0.4, 0.8], 1 - 2.0**-50
    near, at = (
        FlowSDE().plan(getattr(Schedule.from_flow_times([*times, end]), f"as_{kind}")())
        for end in (last, 1.0)
    )
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(getattr(near, name), getattr(at, name), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shift", [0.1, 1.0, 3.0, 1000.0])
@pytest.mark.parametrize("steps", [2, 3, 4, 10, 40])
def test_even_steps_from_noise_are_the_authors(steps: int, shift: float) -> None:
    """Their code, as they run it: g² = a² t/(1 - t), with s in place of t in the first step."""
    schedule, a = Schedule.flow(steps, shift=shift), 0.3
    t = np.array([1.0, *schedule.sigma[-2::-1], 0.0])
    t, s = t[:-2], t[1:-1]  # all steps but the last one, which adds no noise here
    left = np.array([1 - s[0], *(schedule.alpha[-2:0:-1])])
    plan = FlowSDE(a).plan(schedule)
    expected = a * np.sqrt(t / left * (t - s))
    np.testing.assert_allclose(plan.c[:-1], expected, rtol=1e-9)
    np.testing.assert_allclose(
        plan.a[:-1] * t, s - a**2 / (2 * left) * (t - s), rtol=1e-9, atol=1e-12
    )


def test_the_marginals_of_the_sde_converge_in_its_first_order() -> None:
    data, errors = Mixture([0.0], [0.5]), []
    for steps in (200, 400):
        schedule = Schedule.flow(steps + 1)[: steps + 1 - steps // 10]
        start, end = (data.marginal_std(p) ** 2 for p in (schedule[-1], schedule[0]))
        part = schedule[1:]
        after = variance_after(FlowSDE(), part, data.denoiser(part), start)
        errors.append(abs(after / end - 1))
    assert 1.8 < errors[0] / errors[1] < 2.2
