"""k-diffusion's lists of sigmas and denoisers, both ways, against loops in its own notation."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Denoiser, DPMSolverPP, Euler, EulerAncestral, Heun, Schedule, sample
from schedalg.interop.k_diffusion import Denoised, from_sigmas, to_sigmas
from tests.libraries import Library, host, lib

__all__ = ["lib"]

BASE = Schedule.linear(1000)
X = np.random.default_rng(0).standard_normal((3, 2, 4))


def network(x: Any, timesteps: Any) -> Any:
    """Return an epsilon prediction at integer or fractional timesteps."""
    return x / 3 + timesteps[:, None, None] / 1000


def loop(method: str, denoise: Any, x: Any, sigmas: np.ndarray, z: Any = None) -> Any:
    """Sample along a list of sigmas: algorithms 1 and 2 of EDM, and 2M of DPM-Solver++."""
    old, before = None, 0.0
    for sigma, to in pairwise(sigmas):
        denoised = denoise(x, np.full(len(x), sigma))
        slope = (x - denoised) / sigma
        if method == "ancestral":
            up = min(to, np.sqrt(to**2 * (sigma**2 - to**2) / sigma**2))
            x = x + slope * (np.sqrt(to**2 - up**2) - sigma) + (up * next(z) if up else 0)
        elif method == "heun" and to > 0:
            trial = x + slope * (to - sigma)
            after = (trial - denoise(trial, np.full(len(x), to))) / to
            x = x + (slope + after) / 2 * (to - sigma)
        elif method == "2m" and to > 0:
            h = np.log(sigma / to)
            mixed = denoised
            if old is not None:
                mixed = denoised + h / before / 2 * (denoised - old)
            x, old, before = to / sigma * x - np.expm1(-h) * mixed, denoised, h
        else:
            x = x + slope * (to - sigma)
    return x


@pytest.mark.parametrize("final_zero", [True, False])
@pytest.mark.parametrize(
    ("method", "sampler"),
    [("euler", Euler()), ("heun", Heun()), ("2m", DPMSolverPP(2)), ("ancestral", EulerAncestral())],
)
def test_both_libraries_make_the_same_image(method: str, sampler: Any, final_zero: bool) -> None:
    """Their loop on our denoiser, our sampler on theirs, and our sampler on our network."""
    ours = BASE.subsample(steps=12, spacing="karras").as_ve()
    sigmas = to_sigmas(ours, final_zero=final_zero)
    start = sigmas[0] * X
    denoised = Denoised(network, BASE)
    noise = list(np.random.default_rng(1).standard_normal((20, *X.shape)))
    expected = loop(method, denoised, start, sigmas, iter(noise))
    drawn = iter(noise)
    schedule = from_sigmas(sigmas)
    theirs = sample(
        denoised, schedule, sampler, start, prediction="x0", noise=lambda x: next(drawn)
    )
    np.testing.assert_allclose(theirs, expected, rtol=1e-10, atol=1e-10)
    if final_zero:
        drawn = iter(noise)
        direct = sample(network, ours, sampler, start, noise=lambda x: next(drawn))
        np.testing.assert_allclose(direct, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "schedule",
    [BASE, Schedule.cosine(50), Schedule.karras(9), Schedule.flow(9)[:8], BASE[:1], BASE.as_flow()],
    ids=repr,
)
@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v", "flow", "edm"])
def test_it_is_our_denoiser_at_every_point(schedule: Schedule, prediction: Any) -> None:
    exploding = schedule.as_ve()
    expected = Denoiser(network, exploding, prediction, clip=(-2, 2))
    denoised = Denoised(network, schedule, prediction, clip=(-2, 2))
    for k in {0, len(schedule) // 2, len(schedule) - 1}:
        point = exploding[k]
        result = denoised(X, np.full(3, point.sigma))
        np.testing.assert_allclose(result, expected(X, point), rtol=1e-8, atol=1e-8)
    assert denoised.sigma_min == pytest.approx(exploding[0].sigma)
    assert denoised.sigma_max == pytest.approx(exploding[len(schedule) - 1].sigma)


def test_timesteps_between_trained_ones_are_linear_in_log_sigma() -> None:
    denoised = Denoised(network, BASE)
    sigmas = BASE.to_sigmas()
    between = np.exp(0.25 * np.log(sigmas[[3, 500]]) + 0.75 * np.log(sigmas[[4, 501]]))
    np.testing.assert_allclose(denoised.timesteps(between), [3.75, 500.75], rtol=1e-9)
    outside = np.array([sigmas[0] / 9, sigmas[-1] * 9])
    np.testing.assert_array_equal(denoised.timesteps(outside), [0, 999])
    assert Denoised(network, Schedule.karras(5)).timesteps(outside) is outside
    # Whichever points were chosen, it is the trained ones that tell what lies between.
    fast = BASE.subsample(steps=10, spacing="trailing")
    np.testing.assert_array_equal(
        Denoised(network, fast).timesteps(between), denoised.timesteps(between)
    )


def test_what_follows_from_the_noise_is_told_at_any_sigma() -> None:
    sigma = np.array([0.01, 1.0, 50.0])
    for rule, told in (
        ("log_sigma/4", np.log(sigma) / 4),
        ("1000 flow_time", 1000 * sigma / (1 + sigma)),
        (lambda alpha, sigma: np.arctan2(sigma, alpha), np.arctan(sigma)),
    ):
        s = Schedule.from_log_snr([3.0, 1.0], timesteps=rule)
        np.testing.assert_allclose(Denoised(network, s).timesteps(sigma), told, rtol=1e-13)


def test_any_library_and_precision(lib: Library) -> None:
    denoised = Denoised(lambda x, t: x / 3, BASE, "v")
    sigma = np.array([0.5, 2.0, 30.0])
    expected = denoised(X, sigma)
    for dtype in {lib.widest, "float32"}:
        x = lib.array(X, dtype)
        for given in (lib.array(sigma, dtype), lib.array(sigma)):
            result = denoised(x, given)
            assert lib.is_mine(result)
            assert result.dtype == x.dtype
            np.testing.assert_allclose(host(result), expected, rtol=2e-5, atol=2e-5)
        one = denoised(x, 2.0)
        np.testing.assert_allclose(host(one)[1], expected[1], rtol=2e-5, atol=2e-5)


def test_half_precision_keeps_its_type_and_is_computed_in_single() -> None:
    denoised = Denoised(lambda x, t: x, BASE)
    x = X.astype(np.float16)
    result = denoised(x, np.array([0.5, 2.0, 30.0], dtype=np.float16))
    assert result.dtype == np.float16
    exact = denoised(x.astype(np.float64), np.array([0.5, 2.0, 30.0]))
    np.testing.assert_allclose(result, exact, rtol=4e-3, atol=4e-2)


def test_lists_of_sigmas_convert_both_ways() -> None:
    for sigmas in ([80.0, 3.0, 0.5, 0.0], [80.0, 3.0, 0.5]):
        schedule = from_sigmas(sigmas)
        assert len(schedule) == len(sigmas) - 1
        np.testing.assert_allclose(to_sigmas(schedule), sigmas, rtol=1e-14)
        np.testing.assert_allclose(to_sigmas(schedule, final_zero=False), sigmas[:-1], rtol=1e-14)
    x = 80 * X
    first, second = from_sigmas([80.0, 3.0, 0.5]), from_sigmas([0.5, 0.1, 0.0])
    whole = from_sigmas([80.0, 3.0, 0.5, 0.1, 0.0])
    denoised = Denoised(network, BASE)
    handed = sample(denoised, first, DDIM(), x, prediction="x0")
    handed = sample(denoised, second, DDIM(), handed, prediction="x0")
    np.testing.assert_allclose(
        handed, sample(denoised, whole, DDIM(), x, prediction="x0"), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: from_sigmas([1.0]), ValueError, "sigmas must be 1-D, two or more; got shape (1,)"),
        (lambda: from_sigmas([[1.0, 0.0]]), ValueError, "sigmas must be 1-D"),
        (lambda: from_sigmas([0.1, 1.0, 0.0]), ValueError, "sigmas[1] is 1.0 after 0.1"),
        (lambda: from_sigmas([1.0, 1.0, 0.0]), ValueError, "sigmas[1] is 1.0 after 1.0"),
        (lambda: from_sigmas([1.0, -1.0]), ValueError, "sigmas[1] is -1.0 after 1.0"),
        (lambda: from_sigmas([1.0, np.nan]), ValueError, "sigmas[1] is nan after 1.0"),
        (lambda: from_sigmas("ab"), TypeError, "sigmas must be an array"),
        (lambda: from_sigmas([1j, 0j]), TypeError, "sigmas must hold real numbers"),
        (lambda: Denoised(network, Schedule.flow(9)), ValueError, "signal"),
        (lambda: to_sigmas([1.0]), TypeError, "schedule must be a Schedule"),
        (lambda: to_sigmas(BASE.rescale_zero_terminal_snr()), ValueError, "a point without signal"),
        (lambda: Denoised(3, BASE), TypeError, "model must be callable"),
        (lambda: Denoised(network, BASE[:0]), ValueError, "schedule has no points"),
        (lambda: Denoised(network, BASE, "noise"), ValueError, "prediction must be one of"),
        (lambda: Denoised(network, BASE)(X, np.ones(2)), ValueError, "sigma must be one number or"),
        (lambda: Denoised(network, BASE)([1.0], 1.0), TypeError, "x must be an array"),
        (lambda: Denoised(network, BASE)(X, -1.0), ValueError, "sigma must be above 0"),
        (
            lambda: Denoised(lambda x, t: x[:1], BASE)(X, 1.0),
            ValueError,
            "model output has the wrong shape",
        ),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_churn_draws_noise_only_where_it_adds_some() -> None:
    """k-diffusion draws in every step, and leaves it unused outside of [s_tmin, s_tmax]."""
    sigmas = to_sigmas(Schedule.karras(12))
    draws = 0

    def noise(x: Any) -> Any:
        nonlocal draws
        draws += 1
        return np.zeros_like(x)

    for sampler in (Euler(s_churn=4.0, s_tmin=0.05, s_tmax=10.0), Heun(s_churn=4.0, s_tmax=10.0)):
        draws = 0
        sample(lambda x, t: 0.1 * x, from_sigmas(sigmas), sampler, np.ones((1, 2)), noise=noise)
        inside = (sigmas[:-1] >= sampler.s_tmin) & (sigmas[:-1] <= sampler.s_tmax)
        assert draws == inside.sum() < 12
