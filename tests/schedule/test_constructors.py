"""Schedules from numbers, and named ones: what is said of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule, Steps
from tests.bad_input import check_named


def test_a_flow_is_made_of_its_times() -> None:
    t = np.arange(1, 11) / 10
    flow, even = Schedule.from_flow_times(t), Schedule.flow(10)
    assert flow.kind == flow.network_kind == "flow"
    np.testing.assert_allclose(flow.sigma, t, rtol=1e-15)
    np.testing.assert_allclose(flow.alpha, even.alpha, rtol=1e-15)
    np.testing.assert_allclose(flow.to_log_snr()[:-1], even.to_log_snr()[:-1], atol=1e-14)
    assert flow.to_log_snr()[-1] == -np.inf
    assert flow.timestep_rule == "flow_time"
    assert flow[:9].as_vp().refine(2)[1].timestep == pytest.approx(0.15, rel=1e-15)
    told = Schedule.from_flow_times(t, timesteps="1000 flow_time")
    np.testing.assert_allclose(told.timesteps, 1000 * t, rtol=1e-15)
    np.testing.assert_allclose(told.shift(3.0).timesteps, 1000 * even.shift(3.0).sigma, rtol=1e-14)
    assert Schedule.from_flow_times([1e-9, 1 - 2.0**-40, 1.0]).alpha[1] == 2.0**-40


@pytest.mark.parametrize("n", [1, 2, 1000, 2**14, 2**14 + 1])
def test_evenly_spaced_betas_are_so_whatever_was_made_before(n: int) -> None:
    """Their shares are kept for a few n, and not for large ones."""
    Schedule.linear(n, 0.5, 0.75)
    betas = Schedule.linear(n, 2**-20, 2**-10).to_betas()
    share = np.arange(n) / max(n - 1, 1)
    expected = 2**-20 + share * (2**-10 - 2**-20)
    np.testing.assert_allclose(betas, expected, rtol=4e-15)
    assert betas[0] == pytest.approx(2**-20, rel=1e-15)


def test_scales_are_made_once_and_handed_out_as_copies() -> None:
    s = Schedule.cosine(40)
    assert not np.shares_memory(s.alpha, s.alpha)
    assert not np.shares_memory(Steps.of(s).sigma_t, Steps.of(s).sigma_t)
    for column in (s.alpha, s.sigma):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0.0
    shifted = s.shift(2.0)
    assert (shifted.sigma > s.sigma).all()
    assert s[3].alpha == s.alpha[3]


def test_no_flow_is_told_positions_unasked() -> None:
    flow = Schedule.from_log_snr([2.0, 0.0, -np.inf], kind="flow")
    np.testing.assert_array_equal(flow.timesteps, flow.sigma)
    assert Schedule.from_log_snr([2.0, 0.0]).timesteps.tolist() == [0, 1]
    told = Schedule.from_log_snr([2.0, 0.0], kind="flow", timesteps=[0, 1])
    assert told.timesteps.tolist() == [0, 1]


def test_lists_are_taken_as_others_write_them() -> None:
    sigmas, expected = [14.6, 6.47, 1.52], Schedule.from_sigmas([1.52, 6.47, 14.6])
    listed: list[Any] = [
        sigmas, [*sigmas, 0], [0.0, *sigmas[::-1]], np.array([*sigmas, 0.0]),
        "14.6, 6.47, 1.52, 0", "0 1.52 6.47 14.6", "[14.6,6.47,1.52,0.000]", "(14.6; 6.47; 1.52)",
        " 1.46e1\n6.47\n1.52\n0\n", "14.6, 6.47, 1.52,",
    ]  # fmt: skip
    for values in listed:
        assert Schedule.from_sigmas(values) == expected
    flow = Schedule.from_flow_times([0.25, 0.5, 1.0])
    for times in ([1.0, 0.5, 0.25], [1.0, 0.5, 0.25, 0.0], "1.0, 0.5, 0.25, 0.0"):
        assert Schedule.from_flow_times(times) == flow


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "ᾱ noisiest first": (
        lambda: Schedule.from_alphas_cumprod([0.0, 0.4, 0.9]),
        ValueError,
        ["fall", "alphas_cumprod[::-1]"],
    ),
    "log-SNR noisiest first": (
        lambda: Schedule.from_log_snr([-3.0, 0.0, 3.0]),
        ValueError,
        ["fall", "log_snr[::-1]"],
    ),
    "betas below the smallest normal float": (
        lambda: Schedule.from_betas([1e-310, 0.5]),
        ValueError,
        ["step 0", "-1e-310", "betas below 2.225e-308"],
    ),
    "time 0 inside": (
        lambda: Schedule.from_flow_times([0.2, 0.0, 0.5]),
        ValueError,
        ["times[1]", "0.0", "rise or fall", "clean end may be 0"],
    ),
    "time 0 twice": (
        lambda: Schedule.from_flow_times([1.0, 0.0, 0.0]),
        ValueError,
        ["times[1]", "0.0", "rise or fall"],
    ),
    "time 0 alone": (lambda: Schedule.from_flow_times([0.0]), ValueError, ["times", "0 alone"]),
    "times in disorder": (
        lambda: Schedule.from_flow_times([0.5, 1.0, 0.7]),
        ValueError,
        ["times[2]", "0.7", "rise or fall"],
    ),
    "time 1000": (
        lambda: Schedule.from_flow_times([0.5, 1000.0]),
        ValueError,
        ["times[1]", "1000.0", "between"],
    ),
    "beta 0": (lambda: Schedule.from_betas([0.1, 0.0]), ValueError, ["betas[1]", "0.0", "(0, 1)"]),
    "beta < 0": (lambda: Schedule.from_betas([-0.5]), ValueError, ["betas[0]", "-0.5"]),
    "beta > 1": (lambda: Schedule.from_betas([0.1, 1.5]), ValueError, ["betas[1]", "1.5"]),
    "beta NaN": (lambda: Schedule.from_betas([0.1, np.nan]), ValueError, ["betas[1]", "nan"]),
    "beta inf": (lambda: Schedule.from_betas([np.inf]), ValueError, ["betas[0]", "inf"]),
    "beta 1 inside": (
        lambda: Schedule.from_betas([0.1, 1.0, 0.5, 1.0]),
        ValueError,
        ["betas[1]", "1.0", "last may be 1"],
    ),
    "no betas": (lambda: Schedule.from_betas([]), ValueError, ["betas", "empty"]),
    "betas 2-D": (lambda: Schedule.from_betas([[0.1]]), ValueError, ["betas", "1-D", "(1, 1)"]),
    "betas 0-D": (lambda: Schedule.from_betas(np.array(0.1)), ValueError, ["betas", "1-D"]),
    "betas a number": (lambda: Schedule.from_betas(0.1), TypeError, ["betas", "float"]),
    "betas a string": (lambda: Schedule.from_betas("0.1"), TypeError, ["betas", "str"]),
    "betas words": (lambda: Schedule.from_betas(["a"]), TypeError, ["betas", "real numbers"]),
    "betas bool": (lambda: Schedule.from_betas([True]), TypeError, ["betas", "bool"]),
    "betas complex": (lambda: Schedule.from_betas([0.1j]), TypeError, ["betas", "complex"]),
    "betas None": (lambda: Schedule.from_betas(None), TypeError, ["betas", "NoneType"]),
    "betas ragged": (lambda: Schedule.from_betas([[0.1], [0.1, 0.2]]), ValueError, ["betas"]),
    "ᾱ rises": (
        lambda: Schedule.from_alphas_cumprod([0.9, 0.5, 0.6]),
        ValueError,
        ["alphas_cumprod[2]", "0.6", "fall"],
    ),
    "ᾱ stays": (
        lambda: Schedule.from_alphas_cumprod([0.9, 0.9]),
        ValueError,
        ["alphas_cumprod[1]", "0.9", "fall"],
    ),
    "ᾱ 1": (lambda: Schedule.from_alphas_cumprod([1.0]), ValueError, ["alphas_cumprod[0]", "1.0"]),
    "ᾱ < 0": (
        lambda: Schedule.from_alphas_cumprod([0.5, -0.1]),
        ValueError,
        ["alphas_cumprod[1]", "-0.1"],
    ),
    "ᾱ NaN": (
        lambda: Schedule.from_alphas_cumprod([np.nan]),
        ValueError,
        ["alphas_cumprod[0]", "nan"],
    ),
    "σ repeats": (
        lambda: Schedule.from_sigmas([10.0, 1.0, 1.0, 0.0]),
        ValueError,
        ["sigmas[1]", "1.0", "rise or fall strictly"],
    ),
    "σ 0 alone": (lambda: Schedule.from_sigmas("0"), ValueError, ["sigmas", "0 alone", "origin"]),
    "σ 0 inside": (lambda: Schedule.from_sigmas([0.5, 0.0, 1.0]), ValueError, ["sigmas[1]", "0.0"]),
    "σ < 0": (lambda: Schedule.from_sigmas([1.0, -1.0]), ValueError, ["sigmas[0]", "-1.0"]),
    "σ words": (
        lambda: Schedule.from_sigmas("14.6, six, 0"),
        ValueError,
        ["sigmas[1]", "'six'", "numbers"],
    ),
    "σ no text": (lambda: Schedule.from_sigmas(" , "), ValueError, ["sigmas", "empty"]),
    "σ NaN in a text": (lambda: Schedule.from_sigmas("1, nan"), ValueError, ["sigmas[1]", "nan"]),
    "σ inf": (lambda: Schedule.from_sigmas([1.0, np.inf]), ValueError, ["sigmas[1]", "inf"]),
    "log SNR rises": (
        lambda: Schedule.from_log_snr([0.0, 1.0]),
        ValueError,
        ["log_snr[1]", "1.0", "fall"],
    ),
    "log SNR inf": (lambda: Schedule.from_log_snr([np.inf]), ValueError, ["log_snr[0]", "inf"]),
    "log SNR kind": (
        lambda: Schedule.from_log_snr([0.0], kind="sub-vp"),
        ValueError,
        ["kind", "'sub-vp'", "'flow'"],
    ),
    "log SNR -inf, ve": (
        lambda: Schedule.from_log_snr([0.0, -np.inf], kind="ve"),
        ValueError,
        ["log_snr[1]", "-inf", "infinite"],
    ),
    "ᾱ(t) rises": (
        lambda: Schedule.from_alpha_bar(lambda t: 0.5 + t / 4, 4),
        ValueError,
        ["alpha_bar(1/4)", "0.5625", "0.5", "fall"],
    ),
    "ᾱ(t) negative": (
        lambda: Schedule.from_alpha_bar(lambda t: 0.9 - t, 4),
        ValueError,
        ["alpha_bar(4/4)", "-0.09", "0.15", "down to 0"],
    ),
    "ᾱ(t) NaN": (
        lambda: Schedule.from_alpha_bar(lambda t: np.nan, 4),
        ValueError,
        ["alpha_bar", "nan"],
    ),
    "timesteps short": (
        lambda: Schedule.from_betas([0.1, 0.2], timesteps=[1]),
        ValueError,
        ["timesteps", "(2,)", "(1,)"],
    ),
    "timesteps NaN": (
        lambda: Schedule.from_betas([0.1], timesteps=[np.nan]),
        ValueError,
        ["timesteps[0]", "nan"],
    ),
    "timesteps words": (
        lambda: Schedule.from_betas([0.1], timesteps=["a"]),
        TypeError,
        ["timesteps", "real numbers"],
    ),
    "n 0": (lambda: Schedule.linear(0), ValueError, ["n", "at least 1", "0"]),
    "n float": (lambda: Schedule.linear(10.0), TypeError, ["n", "integer", "10.0"]),
    "n bool": (lambda: Schedule.cosine(True), TypeError, ["n", "integer", "True"]),
    "beta_end 2": (
        lambda: Schedule.linear(10, beta_end=2.0),
        ValueError,
        ["beta_end", "(0, 1]", "2.0"],
    ),
    "beta_start 0": (lambda: Schedule.sigmoid(10, beta_start=0.0), ValueError, ["beta_start"]),
    "max_beta": (lambda: Schedule.cosine(10, max_beta=1.5), ValueError, ["max_beta", "1.5"]),
    "cosine s": (lambda: Schedule.cosine(10, s=-1.0), ValueError, ["s", "-1.0"]),
    "sigma range": (
        lambda: Schedule.karras(10, sigma_min=5.0, sigma_max=2.0),
        ValueError,
        ["sigma_min", "5.0", "2.0"],
    ),
    "rho": (lambda: Schedule.karras(10, rho=0.0), ValueError, ["rho", "0.0"]),
    "shift 0": (lambda: Schedule.flow(10, shift=0.0), ValueError, ["shift", "0.0"]),
    "masked": (
        lambda: Schedule.from_betas(np.ma.array([0.1, 0.2], mask=[0, 1])),
        TypeError,
        ["betas", "masked"],
    ),
    "uint64": (
        lambda: Schedule.from_betas([0.1], timesteps=np.array([2**64 - 1], dtype=np.uint64)),
        ValueError,
        ["timesteps[0]", "18446744073709551615", "64-bit"],
    ),
    "beta of nothing": (
        lambda: Schedule.from_betas([0.9] * 5 + [1e-32]),
        ValueError,
        ["step 5", "1e-32", "1e-30"],
    ),
    "karras range": (
        lambda: Schedule.karras(10, 1.0, 1e160),
        ValueError,
        ["sigma_max", "1e+153", "1e+160"],
    ),
    "karras rho": (lambda: Schedule.karras(10, rho=1e30), ValueError, ["rho", "[0.1, 100]"]),
    "ve too noisy": (
        lambda: Schedule.from_log_snr([0.0, -1e6], kind="ve"),
        ValueError,
        ["log_snr[1]", "-1000000.0", "infinite"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
