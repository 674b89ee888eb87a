"""Every number of a schedule against 60-digit arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from schedalg import DDIM, DDPM, Schedule
from schedalg.testing.strategies import subsets
from tests.registry import oracle
from tests.registry.references import StepDDIM, StepDDPM
from tests.registry.schedules import FAMILIES, Family, has_signal

EVERY_FAMILY = pytest.mark.parametrize(
    "family", [pytest.param(family, id=name) for name, family in FAMILIES.items()]
)
SIZES = pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])


def relative_error(values: np.ndarray, exact: list[mpf]) -> float:
    """Return the largest relative error; where the exact value is 0, the value must be too."""
    worst = mpf(0)
    for value, truth in zip(values.tolist(), exact, strict=True):
        error = abs(mpf(value) - truth)
        worst = max(worst, error / abs(truth) if truth else mp.inf * error if error else mpf(0))
    return float(worst)


@EVERY_FAMILY
@SIZES
def test_betas_of_random_subsets(family: Family, n: int) -> None:
    schedule, exact = family.make(n).as_vp(), family.exact(n)
    rng = np.random.default_rng(n)
    subset_sizes = {n, 1, max(1, n // 2), max(1, n // 10), max(1, n // 100)}
    for size in subset_sizes:
        kept = np.sort(rng.choice(n, size, replace=False))
        error = relative_error(schedule[kept].to_betas(), oracle.betas(exact, kept.tolist()))
        assert error <= 4e-15


@EVERY_FAMILY
@SIZES
def test_signal_and_noise(family: Family, n: int) -> None:
    schedule, exact = family.make(n).as_vp(), family.exact(n)
    assert relative_error(schedule.sigma**2, [1 - a for a in exact]) <= 1e-15
    assert relative_error(schedule.alpha, [mp.sqrt(a) for a in exact]) <= 2e-14
    assert relative_error(schedule.to_alphas_cumprod(), exact) <= 4e-14
    assert relative_error(np.cumprod(schedule.to_alphas()), exact) <= 1e-13


@EVERY_FAMILY
@SIZES
def test_sigmas_and_log_snr(family: Family, n: int) -> None:
    schedule, exact = family.make(n), family.exact(n)
    log_snr = [mp.log(a / (1 - a)) if a else -mp.inf for a in exact]
    if not has_signal(schedule):
        assert schedule.to_log_snr()[-1] == -np.inf
        assert schedule.to_sigmas()[-1] == np.inf
    finite = len(exact) if has_signal(schedule) else len(exact) - 1
    ours = schedule.to_log_snr()[:finite]
    for value, truth in zip(ours.tolist(), log_snr[:finite], strict=True):
        assert abs(mpf(value) - truth) <= 1e-15 * max(1, abs(truth)) + 2e-15
    sigmas = [mp.sqrt((1 - a) / a) for a in exact[:finite]]
    assert relative_error(schedule.to_sigmas()[:finite], sigmas) <= 2e-14


@EVERY_FAMILY
@pytest.mark.parametrize("n", [2, 7, 200])
@pytest.mark.parametrize("factor", [1e-6, 1e-3, 0.1, 0.3, 3.0, 17.0, 1e4])
def test_shift(family: Family, n: int, factor: float) -> None:
    exact = oracle.shift(family.exact(n), factor)
    shifted = family.make(n).shift(factor).as_vp()
    assert relative_error(shifted.to_betas(), oracle.betas(exact, range(n))) <= 1e-14
    assert relative_error(shifted.sigma**2, [1 - a for a in exact]) <= 5e-15
    # A shifted stretch is a stretch of the shifted path.
    k = n // 2
    tail = family.make(n)[k:].shift(factor).as_vp()
    before = [exact[k - 1], *exact[k:-1]]
    betas = [1 - t / s for t, s in zip(exact[k:], before, strict=True)]
    assert relative_error(tail.to_betas(), betas) <= 1e-14
    assert relative_error(tail.sigma**2, [1 - a for a in exact[k:]]) <= 5e-15
    assert float(tail.origin.sigma) ** 2 == pytest.approx(float(1 - exact[k - 1]), rel=5e-15)


VP_FAMILIES = [
    pytest.param(family, id=name)
    for name, family in FAMILIES.items()
    if family.make(1).network_kind != "ve"
]


@pytest.mark.parametrize("family", VP_FAMILIES)
@pytest.mark.parametrize("n", [2, 7, 200])
def test_zero_terminal_snr(family: Family, n: int) -> None:
    exact = oracle.rescale_zero_terminal_snr(family.exact(n))
    rescaled = family.make(n).as_vp().rescale_zero_terminal_snr()
    assert relative_error(rescaled.to_betas(), oracle.betas(exact, range(n))) <= 1e-14
    assert rescaled.alpha[-1] == 0.0
    assert rescaled.sigma[-1] == 1.0


@EVERY_FAMILY
def test_posterior(family: Family) -> None:
    schedule, exact = family.make(50).as_vp(), family.exact(50)
    before = [mpf(1), *exact[:-1]]
    beta = oracle.betas(exact, range(50))
    variance = [b * (1 - s) / (1 - t) for b, s, t in zip(beta, before, exact, strict=True)]
    assert relative_error(schedule.posterior_variance, variance) <= 1e-14
    coef1 = [mp.sqrt(s) * b / (1 - t) for b, s, t in zip(beta, before, exact, strict=True)]
    assert relative_error(schedule.posterior_mean_coef1, coef1) <= 1e-13
    coef2 = [
        mp.sqrt(1 - b) * (1 - s) / (1 - t) for b, s, t in zip(beta, before, exact, strict=True)
    ]
    assert relative_error(schedule.posterior_mean_coef2, coef2) <= 1e-13
    clipped = [mp.log(v) for v in [variance[1], *variance[1:]]]
    np.testing.assert_allclose(
        schedule.posterior_log_variance_clipped, [float(v) for v in clipped], rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_posterior_is_bayes_rule_in_every_scale(kind: str) -> None:
    """Conditioning x_s ~ N(alpha_s x0, sigma_s²) on x_t, by the textbook."""
    base = Schedule.linear(1000).subsample(steps=20)
    schedule = {"vp": base.as_vp, "ve": base.as_ve, "flow": base.as_flow}[kind]()
    for k, (t, s) in enumerate(zip(schedule, [schedule.origin, *schedule], strict=False)):
        alpha_t, sigma_t, alpha_s, sigma_s = map(mpf, (t.alpha, t.sigma, s.alpha, s.sigma))
        step = alpha_t / alpha_s
        gain = step * sigma_s**2 / sigma_t**2
        variance = sigma_s**2 - gain * step * sigma_s**2
        np.testing.assert_allclose(schedule.posterior_mean_coef2[k], float(gain), rtol=1e-13)
        coef1 = float(alpha_s - gain * alpha_t)
        np.testing.assert_allclose(schedule.posterior_mean_coef1[k], coef1, rtol=1e-12)
        np.testing.assert_allclose(
            schedule.posterior_variance[k], float(variance), rtol=1e-12, atol=1e-30
        )


@given(st.data())
def test_betas_of_any_subset_of_the_smallest_betas(data: st.DataObject) -> None:
    """β down to 1e-12, in steps that a difference of float64 logarithms would lose."""
    exponents = data.draw(st.lists(st.floats(-12, 0), min_size=1, max_size=60))
    betas = [min(10.0**exponent, 1 - 2.0**-53) for exponent in exponents]
    if data.draw(st.booleans()):
        betas[-1] = 1.0
    exact = oracle.from_betas(map(mpf, betas))
    kept = data.draw(subsets(len(betas)))
    schedule = Schedule.from_betas(betas)[kept]
    error = relative_error(schedule.to_betas(), oracle.betas(exact, kept.tolist()))
    assert error <= 4 * 2.0**-52


@pytest.mark.parametrize("make", [Schedule.linear, Schedule.cosine, Schedule.karras])
def test_interpolated_points_lie_on_the_line_in_log_snr(make: object) -> None:
    base = make(40).as_vp()
    schedule = Schedule.from_log_snr(base.to_log_snr())  # timesteps 0, 1, …
    log_snr = [mpf(v) for v in schedule.to_log_snr().tolist()]
    fine = schedule.refine(4)
    lines = [
        log_snr[i] + (log_snr[i + 1] - log_snr[i]) * j / 4 for i in range(39) for j in range(4)
    ] + log_snr[-1:]
    exact = oracle.betas([1 / (1 + mp.exp(-v)) for v in lines], range(len(lines)))
    assert relative_error(fine.to_betas(), exact) <= 1e-14
    np.testing.assert_allclose(fine.timesteps, np.arange(0, 39.1, 0.25), rtol=1e-15)
    point = schedule.at(7.3)
    line = log_snr[7] + (log_snr[8] - log_snr[7]) * (mpf(7.3) - 7)
    assert abs(point.log_snr - float(line)) < 1e-13
    assert point.timestep == 7.3


def test_refining_keeps_the_smallest_steps() -> None:
    tiny = Schedule.from_betas([0.5, *[1e-12] * 30])
    fine = tiny.refine(4)[1:]  # behind the first point, all steps are equal
    np.testing.assert_allclose(fine.to_betas(), 0.25e-12, rtol=1e-11)
    np.testing.assert_allclose(fine.to_betas().sum(), 30 * 1e-12, rtol=1e-11)


def test_points_of_continuous_schedules_lie_where_they_say() -> None:
    for make, kind in ((Schedule.karras, "ve"), (Schedule.flow, "flow")):
        base = make(200)
        fine = base[100:].refine(7)
        low, high = base.sigma[100:-1], base.sigma[101:]
        levels = [
            mpf(s) + (mpf(t) - mpf(s)) * j / 7
            for s, t in zip(low.tolist(), high.tolist(), strict=True)
            for j in range(7)
        ] + [mpf(base.sigma[-1].item())]
        assert fine.kind == kind
        assert relative_error(fine.sigma, levels) <= 2e-14


def test_a_small_beta_keeps_its_digits_beside_large_ones() -> None:
    betas = [1e-14, 0.5] * 500
    exact = oracle.betas(oracle.from_betas(map(mpf, betas)), range(1000))
    assert relative_error(Schedule.from_betas(betas).to_betas(), exact) <= 2e-15


@pytest.mark.parametrize("length", [1e-1, 1e-4, 1e-8, 1e-12, 1e-15])
def test_a_short_step_adds_the_right_noise(length: float) -> None:
    """The variance of one step of DDPM, however little of the noise it replaces."""
    schedule = Schedule.from_betas([0.4, length])
    s, t = schedule
    drawn = []
    for sampler in (StepDDPM(), StepDDIM(1.0)):
        x, _ = sampler.step(np.zeros((1, 1)), t, s, lambda x, t: 0 * x, np.ones_like, None)
        drawn.append(x.item())
    for table in (DDPM(), DDIM(1.0)):
        drawn.append(float(table.plan(schedule).c[0]))
    before, after = mpf(0.6), mpf(0.6) * (1 - mpf(length))
    variance = mpf(length) * (1 - before) / (1 - after)
    np.testing.assert_allclose(drawn, float(mp.sqrt(variance)), rtol=1e-14)
