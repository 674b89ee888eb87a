"""Properties of every registered sampler, checked with `schedalg.testing`."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import schedalg
from schedalg import DPMSolverPP, Plan, Schedule, UniPC, sample, samplers
from schedalg.testing import (
    Mixture,
    check_arrays,
    check_marginals,
    check_recovery,
    check_respacing,
    check_scales,
    check_table,
    check_threads,
    check_variance,
)
from schedalg.testing.cases import cases, has_signal
from tests.libraries import Library, lib
from tests.registry.samplers import SAMPLERS, Entry
from tests.registry.schedules import to_the_last_bit

__all__ = ["lib"]

EVERY = pytest.mark.parametrize("entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items()])
NOISE_FREE = pytest.mark.parametrize(
    "entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items() if e.order is not None]
)
FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def tame(schedule: Schedule) -> bool:
    """Return whether no step starts beyond tau = 1000 or makes tau more than ten times smaller."""
    sigmas = schedule.to_sigmas()
    if schedule.origin.sigma > 0:
        sigmas = np.append(schedule.origin.sigma / schedule.origin.alpha, sigmas)
    steps = sigmas[1:] / sigmas[:-1]
    return bool(sigmas[-1] < 1000 and (steps < 10).all())


def planned(sampler: Any, schedule: Schedule) -> Plan | None:
    """Return the plan, or None if the schedule is too short; any other error is a failure."""
    try:
        table: Plan = sampler.plan(schedule)
    except ValueError as error:
        if "at least" in str(error) or "outside a schedule" in str(error):
            return None
        raise
    return table


def test_every_sampler_is_registered() -> None:
    kinds = {type(entry.sampler) for entry in SAMPLERS.values()}
    for name in set(samplers.__all__) - {"TableSampler"}:
        kind = getattr(schedalg, name)
        assert not hasattr(kind, "plan") or kind in kinds, name


@EVERY
def test_marginals(entry: Entry) -> None:
    if entry.distilled == "trajectory":
        pytest.skip("no Gaussian example of such a network is known")
    if not entry.converges:
        with pytest.raises(AssertionError, match="relative errors of the variance"):
            check_marginals(entry.sampler)
        return
    check_marginals(entry.sampler, distilled=bool(entry.distilled))


CASES = dict(cases((2, 9)))
#: All schedules are used if Hypothesis makes 100 examples or more, else every fifth.
STRIDE = 1 if settings().max_examples >= 100 else 5


@cache
def paths() -> list[tuple[Schedule, bool]]:
    """Return the schedules with finite timesteps and noise levels, to clean data and noisy origins.

    With each comes whether it is tame.
    """
    found = {}
    for schedule in list(CASES.values())[::STRIDE]:
        parts = [schedule] if schedule.origin.sigma == 0 else []
        parts += [schedule[1:]] if len(schedule) > 1 and has_signal(schedule) else []
        for part in parts:
            known = np.isfinite(part.timesteps).all() and np.isfinite(part.to_sigmas()[:-1]).all()
            within = float(part.sigma[-1]) < 1e60 and float(part.alpha[-1]) > 1e-60
            if known and (within or part.alpha[-1] == 0):
                found[to_the_last_bit(part)] = part, tame(part)
    return list(found.values())


@EVERY
def test_a_point_is_recovered_on_every_schedule(entry: Entry) -> None:
    """At clean data the point itself; at noisy origins with the variance of the noise level."""
    tried = 0
    rtol = 1e-9 if entry.uneven else 1e-7
    for path, is_tame in paths():
        plan = planned(entry.sampler, path) if entry.uneven or is_tame else None
        if plan is not None:
            check_recovery(plan, path, rtol)
            if path.origin.sigma > 0 and entry.of_points:
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
    """For a network that is not of the form that any method is exact for."""

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.tanh(x + timesteps[:, None] / 500) * 0.8

    schedule = Schedule.linear(1000)[::2]
    x = np.random.default_rng(0).standard_normal((3, 4))
    reference = sample(network, schedule, DPMSolverPP(order=2), x, prediction="v")
    image = sample(network, schedule, entry.sampler, x, prediction="v")
    np.testing.assert_allclose(image, reference, atol=0.01 if entry.order == 1 else 1e-3)


@EVERY
def test_zero_terminal_snr(entry: Entry) -> None:
    """Every sampler starts from pure noise, and passes only finite timesteps to the network."""
    passed: list[float] = []

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        passed.append(float(timesteps[0]))
        return 0.5 * np.tanh(x)

    schedule = (
        Schedule.linear(1000).rescale_zero_terminal_snr().subsample(steps=12, spacing="trailing")
    )
    for prediction in ("v", "x0"):
        image = sample(network, schedule, entry.sampler, X[:, 0], prediction=prediction, noise=0)
        assert np.isfinite(image).all()
    assert np.isfinite(passed).all()
    with pytest.raises(ValueError, match="zero SNR"):
        sample(network, schedule, entry.sampler, X[:, 0], prediction="epsilon", noise=0)


@EVERY
def test_one_and_two_steps(entry: Entry) -> None:
    """One step to clean data returns the prediction; too few steps are an error."""
    one, two = FAST[[11]], FAST[[5, 11]]
    if planned(entry.sampler, one) is not None:
        image = sample(lambda x, t: 0 * x + 0.25, one, entry.sampler, X, prediction="x0", noise=0)
        np.testing.assert_allclose(image, 0.25, rtol=1e-12)
    if planned(entry.sampler, two) is not None:
        check_recovery(entry.sampler, two)


def corrects_from_noise(sampler: Any) -> bool:
    """Return whether a step from pure noise is corrected in the row after it."""
    return bool(
        isinstance(sampler, UniPC)
        and sampler.corrector
        and sampler.correct_from_noise
        and sampler.variant == "bh2"
    )


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(e.sampler, id=n)
        for n, e in SAMPLERS.items()
        if e.calls == 12 and not corrects_from_noise(e.sampler)
    ],
)
def test_no_step_looks_back_to_pure_noise(sampler: Any) -> None:
    """After a step from pure noise, the table is that of the schedule without that point."""
    schedule = (
        Schedule.linear(1000).rescale_zero_terminal_snr().subsample(steps=10, spacing="trailing")
    )
    if getattr(sampler, "s_churn", 0):
        pytest.skip("churn counts the steps")
    whole, rest = sampler.plan(schedule), sampler.plan(schedule[:-1])
    for name in ("a", "b", "c", "p", "q", "timesteps"):
        np.testing.assert_allclose(getattr(whole, name)[1:], getattr(rest, name), rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_corrects_a_step_from_noise_as_from_almost_noise(order: int) -> None:
    """By half of the difference of the predictions; the table is the limit for less signal."""
    log_snr = Schedule.flow(8).to_log_snr()
    sampler = UniPC(order=order)
    limit = sampler.plan(Schedule.flow(8))
    plain = UniPC(order=order, correct_from_noise=False).plan(Schedule.flow(8))
    half = limit.a[1] * Schedule.flow(8).alpha[-2] / 2
    np.testing.assert_allclose(limit.b[1, 1], -half, rtol=1e-12)
    np.testing.assert_array_equal(plain.b[1, 1:], 0)
    np.testing.assert_array_equal(
        UniPC(order=order, variant="bh1").plan(Schedule.flow(8)).b[1, 1:], 0
    )
    differences = []
    for least in (-300.0, -600.0, -1200.0):
        almost = Schedule.from_log_snr(np.append(log_snr[:-1], least), kind="flow")
        differences.append(np.abs(sampler.plan(almost).b - limit.b).max())
    # Like 1 / h, the share of a slope over the whole step.
    assert differences[-1] < 4e-3
    if order > 1:
        ratios = np.array(differences[:-1]) / differences[1:]
        np.testing.assert_allclose(ratios, 2, rtol=0.05)


@pytest.mark.parametrize("order", [2, 3])
def test_unipc_from_noise_has_smaller_errors_if_corrected(order: int) -> None:
    """In the first half of a flow, where the error of the first step is not yet hidden."""
    data, x = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6]), np.linspace(-2, 2, 41)[None, :]
    for steps in (5, 10, 20):
        schedule = Schedule.flow(2 * steps)[steps:]
        exact = data.flow(x, schedule[-1], schedule.origin)
        errors = [
            np.square(sample(data.denoiser(schedule), schedule, sampler, x) - exact).mean() ** 0.5
            for sampler in (UniPC(order), UniPC(order, correct_from_noise=False))
        ]
        assert errors[0] < 0.8 * errors[1]
