"""The variance that fits: exact marginals for every subset, and what is said of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import DDIM, DDPM, EulerAncestral, Plan, Restart, Schedule, sample
from schedalg.running.cache import key_of
from schedalg.testing import Mixture
from schedalg.testing.strategies import subsets
from tests.bad_input import LINEAR, check_named
from tests.schedule.test_errors import RISING, gaussian_errors

BASE = Schedule.linear(1000)
VARIANCES = np.array([0.01, 0.3, 1.0, 20.0])

#: Samplers whose noise fits, from a curve.
FITTED: dict[str, Callable[[Any], Any]] = {
    "DDPM": lambda curve: DDPM(curve),
    "DDIM": lambda curve: DDIM(variance=curve),
    "DDIM 0.3": lambda curve: DDIM(0.3, curve),
    "DDIM 1": lambda curve: DDIM(1.0, curve),
    "EulerAncestral": lambda curve: EulerAncestral(variance=curve),
    "EulerAncestral 0.6": lambda curve: EulerAncestral(eta=0.6, variance=curve),
}
EVERY = pytest.mark.parametrize("make", FITTED.values(), ids=FITTED)


def marginal(point: Any, variance: float) -> float:
    return float(point.alpha**2 * variance + point.sigma**2)


def ratio_at_the_origin(plan: Plan, schedule: Schedule, variance: float) -> float:
    """Return the variance at a noisy origin over the right one, from the right one at the start."""
    start = marginal(schedule[-1], variance)
    return plan.response([variance], [start]).variances.item() / marginal(schedule.origin, variance)


@EVERY
@given(data=st.data())
def test_marginals_of_gaussian_data_are_exact_for_every_subset(
    make: Callable[[Any], Any], data: st.DataObject
) -> None:
    variance = data.draw(st.sampled_from(VARIANCES.tolist()))
    sampler = make((BASE, gaussian_errors(BASE, variance)))
    scaled = data.draw(st.sampled_from([BASE, BASE.as_ve(), BASE.as_flow()]))
    path = scaled[data.draw(subsets(1000, min_size=3))]
    for k in range(1, min(len(path), 6)):
        ratio = ratio_at_the_origin(sampler.plan(path[k:]), path[k:], variance)
        np.testing.assert_allclose(ratio, 1, rtol=0, atol=1e-13)


@EVERY
def test_marginals_are_exact_between_the_points_and_after_restarts(
    make: Callable[[Any], Any],
) -> None:
    sampler = make((BASE, gaussian_errors(BASE, 0.3)))
    between = BASE.subsample(steps=9, spacing="karras")[2:]
    for path, method in (
        (between, sampler),
        (between, Restart(sampler, [(1, 4, 2)])),
        (BASE.rescale_zero_terminal_snr()[5:990:100], sampler),
    ):
        ratio = ratio_at_the_origin(method.plan(path), path, 0.3)
        np.testing.assert_allclose(ratio, 1, rtol=0, atol=1e-13)


def test_other_variances_are_not_exact() -> None:
    for sampler in (DDPM(), DDPM("fixed_large"), DDIM(), DDIM(1.0)):
        path = BASE[[3, 50, 200, 420, 999]][1:]
        assert abs(ratio_at_the_origin(sampler.plan(path), path, 0.3) - 1) > 0.05


def test_data_that_are_no_gaussian_keep_their_variance_over_a_step() -> None:
    """The law of total variance: E of the error plus the variance of the prediction, exactly.

    Over a grid of x at t, with the exact density of two peaks there.
    """
    data, (t, s) = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6]), (BASE[700], BASE[150])
    x = np.linspace(-8, 8, 4001)
    density = sum(
        w * np.exp(-((x - t.alpha * m) ** 2) / (2 * v)) / np.sqrt(v)
        for w, m, v in (
            (w, m, t.alpha**2 * q**2 + t.sigma**2)
            for w, m, q in zip(data.weights or (), data.means, data.spreads, strict=True)
        )
    )
    density /= density.sum()
    x0 = data.expectation(x, t)
    mean = float(density @ x0)
    variance_of_data = data.marginal_std(Schedule.from_sigmas([1.0]).origin) ** 2
    error = variance_of_data - float(density @ (x0 - mean) ** 2)
    path = BASE[[150, 700]]
    for make in FITTED.values():
        row = make((path[1:], [error])).plan(path[1:])
        after = row.a[0] * x + row.b[0, 0] * x0
        spread = float(density @ (after - density @ after) ** 2) + row.c[0] ** 2
        np.testing.assert_allclose(spread, data.marginal_std(s) ** 2, rtol=1e-12)


def test_the_last_step_to_clean_data_has_no_noise() -> None:
    curve = (BASE, gaussian_errors(BASE, 0.3))
    for make in FITTED.values():
        plan = make(curve).plan(BASE[[10, 500, 999]])
        assert plan.c[-1] == 0
        assert (plan.c[:-1] > 0).all()


def test_an_error_of_0_is_the_variance_of_before() -> None:
    curve = (BASE, np.zeros(1000))
    path = BASE.subsample(steps=12)
    for fitted, plain in (
        (DDPM(curve), DDPM()),
        (DDIM(0.5, curve), DDIM(0.5)),
        (EulerAncestral(variance=curve), EulerAncestral()),
    ):
        for schedule in (path, path[3:], path.as_flow()):
            np.testing.assert_allclose(fitted.plan(schedule).c, plain.plan(schedule).c, rtol=1e-15)


def test_all_three_are_the_same_sampler_at_eta_1() -> None:
    curve = (BASE, gaussian_errors(BASE, 0.3))
    path = BASE.subsample(steps=12)
    plans = [s.plan(path) for s in (DDPM(curve), DDIM(1.0, curve), EulerAncestral(variance=curve))]
    for name in ("a", "b", "c"):
        for plan in plans[1:]:
            np.testing.assert_allclose(
                getattr(plan, name), getattr(plans[0], name), rtol=1e-13, atol=1e-16
            )


@EVERY
def test_a_sampler_with_a_curve_is_a_value(make: Callable[[Any], Any]) -> None:
    errors = gaussian_errors(BASE, 0.3)
    sampler, again = make((BASE, errors)), make((BASE, errors.tolist()))
    assert sampler == again
    assert hash(sampler) == hash(again)
    assert key_of(sampler) == key_of(again) is not None
    errors[:] = 0  # what it was made from may change afterwards
    assert sampler == again
    assert sampler != make((BASE, np.ones(1000)))


def test_samples_of_a_spread_have_it() -> None:
    """By 20,000 draws in five steps, of data that are N(0, 1/4) in four elements."""
    spread, path = 0.5, BASE[[0, 30, 150, 400, 700, 999]]
    sampler = DDPM((BASE, gaussian_errors(BASE, spread**2)))
    denoise = Mixture([0.0], [spread]).denoiser(path)
    x = np.random.default_rng(0).standard_normal((20_000, 4))
    result = sample(denoise, path, sampler, x, noise=1)
    np.testing.assert_allclose(result.var(), spread**2, rtol=0.02)  # 5 standard errors
    plain = sample(denoise, path, DDPM(), x, noise=1)
    assert plain.var() < 0.9 * spread**2


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "short": (
        lambda: DDPM((LINEAR, RISING[1:])),
        ValueError,
        ["variance[1]", "10 points", "got 9"],
    ),
    "negative": (lambda: DDIM(variance=(LINEAR, -RISING)), ValueError, ["variance[1]", "at least"]),
    "NaN": (
        lambda: EulerAncestral(variance=(LINEAR, [*RISING[:9], np.nan])),
        ValueError,
        ["variance[1][9]", "nan"],
    ),
    "a loss of epsilon": (
        lambda: DDPM((LINEAR, RISING[::-1])),
        ValueError,
        ["variance[1]", "errors_from_losses"],
    ),
    "three": (lambda: DDPM((LINEAR, RISING, 1)), TypeError, ["variance", "(schedule, errors)"]),
    "no tuple": (lambda: DDIM(variance=RISING), TypeError, ["variance", "(schedule, errors)"]),
    "no schedule": (lambda: DDPM((RISING, RISING)), TypeError, ["variance[0]", "Schedule"]),
    "words": (lambda: DDPM((LINEAR, ["1"] * 10)), TypeError, ["variance[1]", "real numbers"]),
    "a list": (lambda: DDPM([LINEAR, RISING]), ValueError, ["variance", "(schedule, errors)"]),
    "with churn": (
        lambda: EulerAncestral(eta=0.0, s_churn=1.0, variance=(LINEAR, RISING)),
        ValueError,
        ["variance", "s_churn", "one"],
    ),
    "outside": (
        lambda: DDPM((LINEAR[:5], RISING[:5])).plan(LINEAR),
        ValueError,
        ["point 5", "log-SNR", "covers"],
    ),
    "another schedule": (
        lambda: DDIM(variance=(LINEAR, RISING)).plan(LINEAR.rescale_zero_terminal_snr()),
        ValueError,
        ["log-SNR", "covers"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_the_network_of_a_flow_has_a_variance_too() -> None:
    flow = Schedule.flow(100)
    path, sampler = flow[[9, 29, 59, 99]][1:], DDPM((flow, gaussian_errors(flow, 0.3)))
    ratio = ratio_at_the_origin(sampler.plan(path), path, 0.3)
    np.testing.assert_allclose(ratio, 1, rtol=0, atol=1e-13)
