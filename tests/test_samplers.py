"""What every sampler declares and every sampler keeps, measured with the kit for authors."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from mpmath import mp, mpf

import schedalg
from schedalg import (
    DDIM,
    DDPM,
    IPNDM,
    LMS,
    PNDM,
    TCD,
    DPMSolverPP,
    Euler,
    Heun,
    Midpoint,
    Plan,
    Restart,
    Schedule,
    Steps,
    sample,
    samplers,
)
from schedalg.testing import (
    Mixture,
    check_arrays,
    check_marginals,
    check_order,
    check_recovery,
    check_respacing,
    check_scales,
    check_table,
    check_threads,
    check_variance,
    measured_order,
    variance_after,
)
from schedalg.testing.cases import cases, has_signal
from tests.libraries import Library, lib
from tests.registry import FAMILIES
from tests.samplers import SAMPLERS, Entry

__all__ = ["lib"]
mp.dps = 60

EVERY = pytest.mark.parametrize("entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items()])
NOISE_FREE = pytest.mark.parametrize(
    "entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items() if e.order is not None]
)
FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))
#: Two sharp peaks: far from the Gaussian of the orders.
PEAKS = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])


def tame(schedule: Schedule) -> bool:
    """Whether no step takes tau to less than a tenth, nor starts beyond 1000."""
    sigmas = schedule.to_sigmas()
    if schedule.origin.sigma > 0:
        sigmas = np.append(schedule.origin.sigma / schedule.origin.alpha, sigmas)
    steps = sigmas[1:] / sigmas[:-1]
    return bool(sigmas[-1] < 1000 and (steps < 10).all())


def planned(sampler: Any, schedule: Schedule) -> Plan | None:
    """Return the table; None if the schedule is too short, the only reason not to take it."""
    try:
        table: Plan = sampler.plan(schedule)
    except ValueError as error:
        if "at least" in str(error) or "outside a schedule" in str(error):
            return None
        raise
    return table


def test_every_sampler_is_registered() -> None:
    kinds = {type(entry.sampler) for entry in SAMPLERS.values()}
    for name in set(samplers.__all__) - {"Planner"}:
        kind = getattr(schedalg, name)
        assert not hasattr(kind, "plan") or kind in kinds, name


@NOISE_FREE
@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_the_declared_order_is_measured(entry: Entry, kind: Any) -> None:
    if isinstance(entry.sampler, Midpoint):
        pytest.skip("of order 3 on a Gaussian: see the test below")
    assert entry.order is not None
    counts: tuple[int, ...] = (180, 360, 720)
    if entry.order == 4:  # before rounding, and the first steps of lower order, show
        counts = (90, 180, 360) if kind == "flow" else (180, 360)
    check_order(entry.sampler, entry.order, kind=kind, counts=counts)


def test_the_midpoint_method_is_of_order_2_on_what_is_no_gaussian() -> None:
    """Its error of third order, x'''/24 + f_x x''/8, is 0 for x = sqrt(tau² + s²)."""
    assert measured_order(Midpoint()) == pytest.approx(3, abs=0.1)
    check_order(Midpoint(), 2, PEAKS)


@NOISE_FREE
def test_the_order_holds_for_two_peaks(entry: Entry) -> None:
    assert entry.order is not None
    measured = measured_order(entry.sampler, PEAKS, counts=(180, 360))
    assert entry.order - 0.15 < measured < entry.order + 0.35


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(("sampler", "order"), [(Euler(), 1), (Heun(), 2), (LMS(order=2), 2)])
def test_flow_matching_from_pure_noise_to_clean_data(
    sampler: Any, order: int, shift: float
) -> None:
    """The whole path, both ends included: x0 = mean + spread x, for standard normal x."""
    data = Mixture([0.7], [0.4])
    x = np.array([[-1.3, 0.2, 0.9, 2.0]])
    errors = []
    for steps in (400, 800, 1600):
        schedule = Schedule.flow(steps, shift=shift)
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        errors.append(np.abs(result - (0.7 + 0.4 * x)).max())
    measured = -np.polyfit(np.log([400, 800, 1600]), np.log(errors), 1)[0]
    assert measured == pytest.approx(order, abs=0.15)


def test_3m_with_half_the_second_difference_is_of_order_2() -> None:
    """As the authors' code has it; with all of it, the method is of order 3."""

    class Half:
        def plan(self, schedule: Schedule) -> Plan:
            third = DPMSolverPP(order=3).plan(schedule)
            steps = Steps.of(schedule)
            h = np.where(steps.finite, steps.h, 1.0)
            # x0[now, before, before that], and its half weight: h² times the integral of u²/2.
            h1, h2 = np.append(1.0, h[:-1]), np.append([1.0, 1.0], h[:-2])
            difference = np.stack([1 / h1, -1 / h1 - 1 / h2, 1 / h2], axis=1) / (h1 + h2)[:, None]
            integral = h**2 - 2 * h + 2 * steps.rise
            half = third.b - steps.alpha_s[:, None] * (integral / 2)[:, None] * difference
            half[:2], half[~steps.finite] = third.b[:2], third.b[~steps.finite]
            return Plan.of(schedule, a=third.a, b=half)

    assert measured_order(Half()) == pytest.approx(2, abs=0.1)
    assert measured_order(DPMSolverPP(order=3)) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_even_weights_are_of_full_order_on_even_steps(order: int) -> None:
    """And then the weights for uneven steps are the same."""

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


@EVERY
def test_marginals(entry: Entry) -> None:
    if entry.distilled == "trajectory":
        pytest.skip("no Gaussian example of such a network is known")
    check_marginals(entry.sampler, distilled=bool(entry.distilled))


CASES = dict(cases((2, 9)))
#: All paths are walked where Hypothesis tries most; elsewhere every fifth, of all transforms.
STRIDE = 1 if settings().max_examples >= 100 else 5


@cache
def paths() -> list[tuple[Schedule, bool]]:
    """Return the cases that a network can be told of, to clean data and to noisy origins.

    With each, whether it is tame.
    """
    found = []
    for schedule in list(CASES.values())[::STRIDE]:
        parts = [schedule] if schedule.origin.sigma == 0 else []
        parts += [schedule[1:]] if len(schedule) > 1 and has_signal(schedule) else []
        for part in parts:
            known = np.isfinite(part.timesteps).all() and np.isfinite(part.to_sigmas()[:-1]).all()
            within = float(part.sigma[-1]) < 1e60 and float(part.alpha[-1]) > 1e-60
            if known and (within or part.alpha[-1] == 0):
                found.append((part, tame(part)))
    return found


@EVERY
def test_a_point_is_recovered_on_every_schedule(entry: Entry) -> None:
    """To clean data, and to noisy origins, with the variance of their level."""
    tried = 0
    rtol = 1e-9 if entry.uneven else 1e-7
    for path, is_tame in paths():
        plan = planned(entry.sampler, path) if entry.uneven or is_tame else None
        if plan is not None:
            check_recovery(plan, path, rtol)
            if path.origin.sigma > 0 and entry.sampler != DDPM("fixed_large"):
                check_variance(plan, path, rtol)
            tried += 1
    assert tried > 40 // STRIDE


@EVERY
def test_arrays_of_any_library(lib: Library, entry: Entry) -> None:
    for dtype in sorted({"float32", lib.widest}):
        check_arrays(entry.sampler, lib.array(X, dtype))


@EVERY
def test_respacing_scales_threads_and_the_table(entry: Entry) -> None:
    check_respacing(entry.sampler)
    check_scales(entry.sampler)
    check_threads(entry.sampler)
    for schedule in (FAST, Schedule.karras(12), Schedule.flow(12), FAST[2:].as_flow()):
        if planned(entry.sampler, schedule) is not None:
            check_table(entry.sampler, schedule)


@EVERY
def test_calls_are_as_declared(entry: Entry) -> None:
    calls = 0

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return x

    sample(network, FAST, entry.sampler, X, noise=0)
    assert calls == entry.calls == entry.sampler.plan(FAST).model_calls


@EVERY
def test_noise_is_drawn_only_where_its_coefficient_is_not_0(entry: Entry) -> None:
    draws = 0

    def noise(x: np.ndarray) -> np.ndarray:
        nonlocal draws
        draws += 1
        return np.zeros_like(x)

    plan = entry.sampler.plan(FAST)
    sample(lambda x, t: x, FAST, entry.sampler, X, noise=noise)
    assert draws == np.count_nonzero(plan.c) + (plan.start[1] != 0)
    assert entry.order is None or draws == 0


@NOISE_FREE
def test_noise_free_methods_agree_as_steps_grow(entry: Entry) -> None:
    """On a network that no formula here knows."""

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.tanh(x + timesteps[:, None] / 500) * 0.8

    schedule = Schedule.linear(1000)[::2]
    x = np.random.default_rng(0).standard_normal((3, 4))
    reference = sample(network, schedule, DPMSolverPP(order=2), x, prediction="v")
    image = sample(network, schedule, entry.sampler, x, prediction="v")
    np.testing.assert_allclose(image, reference, atol=0.01 if entry.order == 1 else 1e-3)


@EVERY
def test_zero_terminal_snr(entry: Entry) -> None:
    """Every sampler starts from pure noise, and tells the network nothing infinite."""
    told: list[float] = []

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        told.append(float(timesteps[0]))
        return 0.5 * np.tanh(x)

    schedule = (
        Schedule.linear(1000).rescale_zero_terminal_snr().subsample(steps=12, spacing="trailing")
    )
    for prediction in ("v", "x0"):
        image = sample(network, schedule, entry.sampler, X[:, 0], prediction=prediction, noise=0)
        assert np.isfinite(image).all()
    assert np.isfinite(told).all()
    with pytest.raises(ValueError, match="zero SNR"):
        sample(network, schedule, entry.sampler, X[:, 0], prediction="epsilon", noise=0)


@EVERY
def test_one_and_two_steps(entry: Entry) -> None:
    """One step to clean data is the prediction; where two are too few, that is said."""
    one, two = FAST[[11]], FAST[[5, 11]]
    if planned(entry.sampler, one) is not None:
        image = sample(lambda x, t: 0 * x + 0.25, one, entry.sampler, X, prediction="x0", noise=0)
        np.testing.assert_allclose(image, 0.25, rtol=1e-12)
    if planned(entry.sampler, two) is not None:
        check_recovery(entry.sampler, two)


@EVERY
def test_gradients_reach_x_and_the_schedule(entry: Entry) -> None:
    """Through the table: that of a sample with respect to the log-SNR is that of differences."""
    torch = pytest.importorskip("torch")
    log_snr = torch.linspace(4, -4, 12, dtype=torch.float64) + torch.sin(torch.arange(12.0)) / 10
    x = torch.tensor(X[:1, 0])

    def image(values: Any, start: Any) -> Any:
        schedule = Schedule.from_log_snr(values)
        return sample(lambda x, t: 0.5 * torch.tanh(x), schedule, entry.sampler, start, noise=0)

    assert torch.autograd.gradcheck(
        image, (log_snr.clone().requires_grad_(), x.clone().requires_grad_()), atol=1e-5
    )


def test_gradients_are_right_where_the_log_snr_is_0() -> None:
    """Where |v| and min(v, 0) have no derivative, and the step after is long."""
    torch = pytest.importorskip("torch")
    values = torch.tensor([6.0, 3.0, 0.0, -3.0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: Schedule.from_log_snr(v).to_log_snr(), values
    )
    np.testing.assert_allclose(jacobian, np.eye(4), atol=1e-12)


def test_an_undetermined_x0_is_an_error_with_a_gradient_too() -> None:
    torch = pytest.importorskip("torch")
    betas = torch.linspace(0.01, 0.3, 12, dtype=torch.float64, requires_grad=True)
    x = torch.ones(1, 2, dtype=torch.float64)
    for entry in SAMPLERS.values():
        schedule = Schedule.from_betas(betas).rescale_zero_terminal_snr()
        image = sample(lambda x, t: 0.3 * x, schedule, entry.sampler, x, prediction="v", noise=0)
        (gradient,) = torch.autograd.grad(image.sum(), betas)
        assert torch.isfinite(gradient).all()
        with pytest.raises(ValueError, match="zero SNR"):
            sample(lambda x, t: 0.3 * x, schedule, entry.sampler, x, noise=0)


def test_weights_are_right_where_old_points_are_close_together() -> None:
    """Against 60 digits: nodes a thousandth of a step apart, seen from elsewhere."""
    log_snr = [9, 8.999, 5, 4.9999, 1, 0.99999, -3, -3.0001, -6, -7, -7.001, -9]
    schedule = Schedule.from_log_snr(log_snr)[1:]
    plan = DPMSolverPP(order=3).plan(schedule)
    lam = [mpf(v) / 2 for v in reversed(log_snr)]
    for row in range(2, len(plan)):
        h = lam[row + 1] - lam[row]
        nodes = [lam[row - j] - lam[row] for j in range(3)]
        rise = -mp.expm1(-h)
        moments = [rise, h - rise, h**2 - 2 * (h - rise)]
        for j, node in enumerate(nodes):
            one, two = (other for k, other in enumerate(nodes) if k != j)
            weight = moments[2] - (one + two) * moments[1] + one * two * moments[0]
            weight *= plan.schedule.alpha[::-1][row + 1] if row + 1 < 11 else schedule.origin.alpha
            weight /= (node - one) * (node - two)
            assert abs(plan.b[row, j] - weight) <= 4e-15 * abs(weight), (row, j)


def test_tcd_with_no_noise_is_ddim() -> None:
    base = Schedule.linear(1000)
    fast = base.subsample(steps=4, spacing="trailing")
    for sampler in (TCD(gamma=0.0), TCD(gamma=0.0, trained=base)):
        plan = sampler.plan(fast)
        assert not plan.c.any()
        np.testing.assert_allclose(plan.b, DDIM().plan(fast).b, rtol=1e-15)


def test_churn_may_be_walked_again() -> None:
    """The noise that a part starts with is added at the end of the part before it."""
    schedule = Schedule.karras(10)
    sampler = Restart(Heun(s_churn=2.0, s_tmax=1.0), [(1, 4, 1)])
    check_recovery(sampler, schedule)
    check_variance(sampler, schedule[1:])
    check_scales(sampler)


def test_fixed_large_is_exact_for_data_of_unit_variance_in_every_scale() -> None:
    base = Schedule.linear(1000)[[0, 3, 7, 50, 51, 300, 640, 999]][1:]
    for schedule in (base, base.as_ve(), base.as_flow()):
        data = Mixture([0.0], [1.0])
        start, end = (data.marginal_std(p) ** 2 for p in (schedule[-1], schedule.origin))
        variance = variance_after(DDPM("fixed_large"), schedule, data.denoiser(schedule), start)
        assert variance == pytest.approx(end, rel=1e-12)


@pytest.mark.parametrize(
    "sampler", [pytest.param(e.sampler, id=n) for n, e in SAMPLERS.items() if e.calls == 12]
)
def test_no_step_looks_back_to_pure_noise(sampler: Any) -> None:
    """After it, the table is that of the path without the point of pure noise."""
    schedule = (
        Schedule.linear(1000).rescale_zero_terminal_snr().subsample(steps=10, spacing="trailing")
    )
    if getattr(sampler, "s_churn", 0):
        pytest.skip("churn counts the steps")
    whole, rest = sampler.plan(schedule), sampler.plan(schedule[:-1])
    for name in ("a", "b", "c", "m_x", "m_d", "timesteps"):
        np.testing.assert_allclose(getattr(whole, name)[1:], getattr(rest, name), rtol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("family", ["linear", "from_betas tiny", "cosine"])
def test_columns_are_exact_however_short_the_step(family: str, eta: float) -> None:
    """Of DDIM, in 60 digits, where 1 - alpha_t/alpha_s and the like would cancel."""
    n = 1000
    plan = DDIM(eta).plan(FAMILIES[family].make(n))
    exact = [mpf(1), *FAMILIES[family].exact(n)][::-1]
    for row in (0, 1, 500, n - 2):
        now, then = exact[row], exact[row + 1]
        std = eta * mp.sqrt((1 - then) * (1 - now * (1 - then) / (then * (1 - now))))
        kept = mp.sqrt((1 - then) - std**2) / mp.sqrt(1 - now)
        expected = (kept, mp.sqrt(then) - kept * mp.sqrt(now), std)
        columns = (plan.a[row], plan.b[row, 0], plan.c[row])
        for value, right in zip(columns, expected, strict=True):
            assert abs(value - right) <= 4e-15 * abs(right), (row, value, right)
