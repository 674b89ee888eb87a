"""Every number of a schedule against 60-digit arithmetic."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from schedalg import DDIM, DDPM, Schedule
from schedalg.schedule import elementary
from schedalg.schedule.double_double import DoubleDouble
from schedalg.testing.strategies import subsets
from tests.registry import oracle
from tests.registry.references import StepDDIM, StepDDPM
from tests.registry.schedules import FAMILIES, Family, has_signal

EVERY_FAMILY = pytest.mark.parametrize(
    "family", [pytest.param(family, id=name) for name, family in FAMILIES.items()]
)
#: One unit in the last place of a number just above 1.
ULP = 2.0**-52
SIZES = pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])


def relative_error(values: np.ndarray, exact: list[mpf]) -> float:
    """Return the largest relative error; where the exact value is 0, the value must be too."""
    worst = mpf(0)
    for value, truth in zip(values.tolist(), exact, strict=True):
        error = abs(mpf(value) - truth)
        worst = max(worst, error / abs(truth) if truth else mp.inf * error if error else mpf(0))
    return float(worst)


def errors(schedule: Schedule, exact: list[mpf], origin: mpf | int = 1) -> dict[str, float]:
    """Return the largest relative errors in ulp, those of log-SNRs relative to at least 1."""
    vp, before = schedule.as_vp(), [origin, *exact[:-1]]
    steps = list(zip(exact, before, strict=True))
    betas = [1 - t / s for t, s in steps]
    variances = [1 - a for a in exact]
    roots = [(mp.sqrt(a), mp.sqrt(1 - a)) for a in exact]
    # What is below float64's range, or infinite, is left out.
    within = [k for k, a in enumerate(exact) if a == 0 or a > mpf("1e-290")]
    bright = [k for k in within if exact[k] != 0]
    columns: dict[str, tuple[np.ndarray, list[mpf], list[int]]] = {
        "β": (vp.to_betas(), betas, list(range(len(exact)))),
        "σ²": (vp.sigma**2, variances, list(range(len(exact)))),
        "ᾱ": (vp.to_alphas_cumprod(), exact, within),
        "alpha": (vp.alpha, [alpha for alpha, _ in roots], within),
        "σ/α": (vp.to_sigmas(), [s / a if a else mp.inf for a, s in roots], bright),
        "posterior variance": (
            vp.posterior_variance,
            [b * (1 - s) / (1 - t) for b, (t, s) in zip(betas, steps, strict=True)],
            within,
        ),
        "coef1": (
            vp.posterior_mean_coef1,
            [mp.sqrt(s) * b / (1 - t) for b, (t, s) in zip(betas, steps, strict=True)],
            within,
        ),
        "coef2": (
            vp.posterior_mean_coef2,
            [mp.sqrt(t / s) * (1 - s) / (1 - t) for t, s in steps],
            within,
        ),
        "t": (vp.as_flow().sigma, [s / (a + s) for a, s in roots], within),
    }
    found = {
        name: relative_error(values[where], [truth[k] for k in where]) / ULP
        for name, (values, truth, where) in columns.items()
    }
    log_snr = vp.to_log_snr()
    true = {k: mp.log(exact[k] / (1 - exact[k])) for k in bright}
    off = [abs(mpf(log_snr[k].item()) - v) / max(1, abs(v)) for k, v in true.items()]
    return found | {"log SNR": float(max(off, default=mpf(0))) / ULP}


def assert_exact(
    schedule: Schedule, exact: list[mpf], *, origin: mpf | int = 1, more: int = 0
) -> None:
    """Check β and 1 - ᾱ to 4 ulp, and what follows from them to 8, and to `more` ulp more."""
    for name, error in errors(schedule, exact, origin).items():
        assert error <= (4 if name in ("β", "σ²") else 8) + more, f"{name}: {error:.1f} ulp"


@EVERY_FAMILY
@SIZES
def test_betas_of_random_subsets(family: Family, n: int) -> None:
    schedule, exact = family.make(n).as_vp(), family.exact(n)
    rng = np.random.default_rng(n)
    subset_sizes = {n, 1, max(1, n // 2), max(1, n // 10), max(1, n // 100)}
    for size in subset_sizes:
        kept = np.sort(rng.choice(n, size, replace=False))
        error = relative_error(schedule[kept].to_betas(), oracle.betas(exact, kept.tolist()))
        assert error <= 4 * ULP


@EVERY_FAMILY
@SIZES
def test_signal_and_noise(family: Family, n: int) -> None:
    schedule, exact = family.make(n).as_vp(), family.exact(n)
    assert relative_error(schedule.sigma**2, [1 - a for a in exact]) <= 4 * ULP
    assert relative_error(schedule.alpha, [mp.sqrt(a) for a in exact]) <= 8 * ULP
    assert relative_error(schedule.to_alphas_cumprod(), exact) <= 8 * ULP
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
        assert abs(mpf(value) - truth) <= 8 * ULP * max(1, abs(truth))
    sigmas = [mp.sqrt((1 - a) / a) for a in exact[:finite]]
    assert relative_error(schedule.to_sigmas()[:finite], sigmas) <= 8 * ULP


@EVERY_FAMILY
@pytest.mark.parametrize("n", [2, 7, 200])
@pytest.mark.parametrize("factor", [1e-6, 1e-3, 0.1, 0.3, 3.0, 17.0, 1e4])
def test_shift(family: Family, n: int, factor: float) -> None:
    exact = oracle.shift(family.exact(n), factor)
    shifted = family.make(n).shift(factor).as_vp()
    assert_exact(shifted, exact)
    # A shifted stretch is a stretch of the shifted path.
    k = n // 2
    tail = family.make(n)[k:].shift(factor).as_vp()
    assert_exact(tail, exact[k:], origin=exact[k - 1])
    assert relative_error(np.array([tail.origin.sigma]) ** 2, [1 - exact[k - 1]]) <= 4 * ULP


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
    assert_exact(rescaled, exact)
    assert rescaled.alpha[-1] == 0.0
    assert rescaled.sigma[-1] == 1.0


@EVERY_FAMILY
def test_posterior(family: Family) -> None:
    schedule, exact = family.make(50).as_vp(), family.exact(50)
    before = [mpf(1), *exact[:-1]]
    beta = oracle.betas(exact, range(50))
    variance = [b * (1 - s) / (1 - t) for b, s, t in zip(beta, before, exact, strict=True)]
    assert relative_error(schedule.posterior_variance, variance) <= 8 * ULP
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


#: Families on which an operation has a condition that others do not.
EXTREMES: dict[str, Family] = {
    "flow 1e6": Family(lambda n: Schedule.flow(n, 1e6), lambda n: oracle.flow(n, 1e6)),
    "flow 1e8": Family(lambda n: Schedule.flow(n, 1e8), lambda n: oracle.flow(n, 1e8)),
    "flow 1e-8": Family(lambda n: Schedule.flow(n, 1e-8), lambda n: oracle.flow(n, 1e-8)),
    "karras of neighbours": Family(
        lambda n: Schedule.karras(n, 1e-3, 1e-3 * (1 + 1e-9)),
        lambda n: oracle.karras(n, 1e-3, 1e-3 * (1 + 1e-9)),
    ),
    "karras far": Family(
        lambda n: Schedule.karras(n, 1e-15, 1e15, 0.1), lambda n: oracle.karras(n, 1e-15, 1e15, 0.1)
    ),
    "karras of rho 100": Family(
        lambda n: Schedule.karras(n, 1e-6, 1e6, 100.0),
        lambda n: oracle.karras(n, 1e-6, 1e6, 100.0),
    ),
    "polyexponential of rho 0.1": Family(
        lambda n: Schedule.polyexponential(n, 1e-6, 1e6, rho=0.1),
        lambda n: oracle.polyexponential(n, 1e-6, 1e6, rho=0.1),
    ),
    "scaled_linear to 1": Family(
        lambda n: Schedule.scaled_linear(n, 1e-12, 0.999999),
        lambda n: oracle.scaled_linear(n, 1e-12, 0.999999),
    ),
    "linear falling": Family(
        lambda n: Schedule.linear(n, 0.9, 1e-9), lambda n: oracle.linear(n, 0.9, 1e-9)
    ),
    "sigmoid falling": Family(
        lambda n: Schedule.sigmoid(n, 0.9, 1e-9), lambda n: oracle.sigmoid(n, 0.9, 1e-9)
    ),
    "cosine of offset 1": Family(
        lambda n: Schedule.cosine(n, 1.0), lambda n: oracle.cosine(n, 1.0)
    ),
}
EVERY_CONDITION = pytest.mark.parametrize(
    "family",
    [pytest.param(family, id=name) for name, family in {**FAMILIES, **EXTREMES}.items()],
)


@pytest.fixture
def digits() -> Iterator[None]:
    """Compute with more digits than 1e-60 or ᾱ near 1 takes away."""
    with mp.workdps(160):
        yield


def line_of(schedule: Schedule) -> oracle.Line:
    """Return the quantity that runs on a straight line between the points."""
    if isinstance(schedule.timestep_rule, np.ndarray):
        return "log_snr"
    return "sigma" if schedule.timestep_rule == "sigma" else "t"


@EVERY_CONDITION
@pytest.mark.parametrize("n", [2, 7, 40])
@pytest.mark.usefixtures("digits")
def test_one_operation(family: Family, n: int) -> None:
    schedule, exact = family.make(n), family.exact(n)
    assert_exact(schedule, exact)
    line, dark = line_of(schedule), exact[-1] == 0
    for k in (2, 7):
        base, levels = schedule, exact
        if dark and line != "t":
            base, levels = schedule[:-1], exact[:-1]
        assert_exact(base.refine(k), oracle.refine(levels, k, line))
    if dark:
        return
    for spacing, rho in (("log_snr", 0), ("karras", 7)):
        spaced = schedule.subsample(steps=9, spacing=spacing)
        assert_exact(spaced, oracle.spaced(exact, 9, rho))


@EVERY_CONDITION
@pytest.mark.parametrize("n", [7, 40])
@pytest.mark.usefixtures("digits")
def test_many_operations(family: Family, n: int) -> None:
    schedule, exact = family.make(n), family.exact(n)
    for factor in [3.0, 0.25, 1.7, 0.6] * 10:
        schedule, exact = schedule.shift(factor), oracle.shift(exact, factor)
    assert_exact(schedule, exact)


@pytest.mark.parametrize(
    "name", ["linear", "cosine", "laplace", "flow", "flow shift", "from_betas"]
)
@pytest.mark.usefixtures("digits")
def test_operations_of_all_sorts(name: str) -> None:
    family = FAMILIES[name]
    schedule, exact = family.make(12), family.exact(12)
    line = line_of(schedule)
    if line == "t":
        schedule, exact = schedule.refine(2), oracle.refine(exact, 2, line)
    schedule, exact = schedule.shift(0.5), oracle.shift(exact, 0.5)
    schedule, exact = schedule[::2], exact[::2]
    schedule = schedule.as_vp().rescale_zero_terminal_snr()
    exact = oracle.rescale_zero_terminal_snr(exact)
    schedule, exact = schedule[:-1].shift(4.0), oracle.shift(exact[:-1], 4.0)
    assert_exact(schedule, exact, more=4)


@pytest.mark.parametrize("wide", [True, False])
def test_without_long_doubles_too(monkeypatch: pytest.MonkeyPatch, wide: bool) -> None:
    """Not every platform has them."""
    monkeypatch.setattr(elementary, "WIDE", wide and elementary.WIDE)
    for name, family in FAMILIES.items():
        if name != "laplace capped":
            assert_exact(family.make(30), family.exact(30))
            assert_exact(family.make(30).shift(3.0), oracle.shift(family.exact(30), 3.0))


def test_named_schedules_end_where_they_are_told_to() -> None:
    assert Schedule.scaled_linear(3, 1e-12, 0.999999).to_betas()[[0, 2]].tolist() == [
        1e-12,
        0.999999,
    ]
    assert Schedule.linear(7, 0.3, 1.0).to_betas()[-1] == 1.0


@pytest.mark.parametrize("t", [505.0 + 1e-9, 505.5, 505.9])
@pytest.mark.usefixtures("digits")
def test_a_point_next_to_another(t: float) -> None:
    """How far it lies from both is exact."""
    base, exact = Schedule.cosine(1000), FAMILIES["cosine"].exact(1000)
    share = mpf(t) - 505
    low, high = (mp.log(a / (1 - a)) for a in exact[505:507])
    level = 1 / (1 + mp.exp(-(low + share * (high - low))))
    points = [base[505].level, base.at(t).level, base[506].level]
    columns = DoubleDouble(*(np.array([0.0, *part]) for part in zip(*points, strict=True)))
    made = Schedule(log_alpha_bar=columns, timestep_rule=np.arange(3), kind="vp", network_kind="vp")
    assert_exact(made, [exact[505], level, exact[506]])


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
