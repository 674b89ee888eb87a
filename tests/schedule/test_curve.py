"""What a respaced schedule knows of the schedule that it was chosen from."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import EulerAncestral, Heun, Midpoint, RungeKutta, Schedule, Tableau, sample
from schedalg.schedule import curve
from tests.bad_input import LINEAR, check_named

BASE = Schedule.linear(1000)
COSINE = Schedule.cosine(1000)


def trailing(base: Schedule, steps: int = 10) -> Schedule:
    """Return the usual choice of few steps."""
    return base.subsample(steps=steps, spacing="trailing")


def timesteps_of(base: Schedule, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the timesteps at which the base has these noise levels, from its numbers alone."""
    alphas_cumprod = base.to_alphas_cumprod()
    known = np.log(alphas_cumprod) - np.log1p(-alphas_cumprod)
    return np.interp(2 * np.log(sigma / alpha), -known, np.arange(len(base)))


def test_a_choice_keeps_the_base_up_to_its_last_point() -> None:
    fast = trailing(BASE, 4)[:3]
    assert fast.timesteps.tolist() == [249, 499, 749]
    assert fast.curve is not None
    assert fast.curve.base == BASE[:750]
    assert fast.curve.places.tolist() == [0, 500, 1000, 1500]
    assert BASE.curve is None
    assert BASE[:10].curve is None
    assert BASE[10:].curve is None
    assert BASE[np.arange(1000)].curve is None
    part = trailing(BASE, 4)[1:3]
    assert part.curve is not None
    assert part.curve.base == BASE[250:750]
    assert part[:0].curve is None
    assert Schedule.karras(9)[::2].curve is None
    assert Schedule.flow(9)[::2].curve is None


def test_stages_are_told_the_timestep_of_their_noise_level() -> None:
    told = Midpoint().plan(trailing(COSINE)).timesteps
    assert told[1] == pytest.approx(998.7994, abs=1e-4)
    assert told[0] == 999
    # Between timesteps 899 and 999, log SNR is far from straight: 8.4 timesteps.
    assert told[1] - 990.41 > 8
    for base, sampler in (
        (BASE, Midpoint()),
        (COSINE, Midpoint()),
        (BASE, EulerAncestral()),
        (BASE, Heun(s_churn=5.0)),
    ):
        plan = sampler.plan(trailing(base))
        expected = timesteps_of(base, plan.alpha, plan.sigma)
        np.testing.assert_allclose(plan.timesteps, expected, rtol=1e-9, atol=1e-6)


def test_the_stages_of_the_linear_schedule_are_no_longer_timesteps_away() -> None:
    fast = trailing(BASE)
    plan = Midpoint().plan(fast)
    straight = np.interp(2 * np.log(plan.sigma / plan.alpha), -fast.to_log_snr(), fast.timesteps)
    assert np.abs(plan.timesteps - straight).max() == pytest.approx(6.3, abs=0.05)


@pytest.mark.parametrize(("base", "error"), [(BASE, 0.0395), (COSINE, 0.0201)])
def test_midpoint_errs_less_in_twenty_steps(base: Schedule, error: float) -> None:
    """It was 0.0423 and 1.47 where timesteps ran straight between the points of the choice.

    The images are those of a mixture of three Gaussians, whose exact denoiser looks its noise level
    up by timestep in the base.
    """
    means, std = np.array([[-2.0, 0.5], [1.0, 1.5], [0.7, -1.8]]), 0.3
    log_snr = base.to_log_snr()

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        level = np.interp(timesteps[0], np.arange(1000), log_snr)
        alpha, sigma = (1 + np.exp(-level)) ** -0.5, (1 + np.exp(level)) ** -0.5
        variance = alpha**2 * std**2 + sigma**2
        weight = (alpha * x @ means.T - alpha**2 * (means**2).sum(axis=1) / 2) / variance
        weight = np.exp(weight - weight.max(axis=1, keepdims=True))
        weight = weight / weight.sum(axis=1, keepdims=True)
        gain = alpha * std**2 / variance
        x0 = gain * x + (1 - gain * alpha) * (weight @ means)
        return (x - alpha * x0) / sigma

    x = np.random.default_rng(0).standard_normal((2000, 2))
    exact = sample(network, base, Heun(), x)
    result = sample(network, trailing(base, 20), Midpoint(), x)
    assert np.sqrt(((result - exact) ** 2).mean()) == pytest.approx(error, rel=0.01)


def test_at_reads_the_base() -> None:
    for fast in (
        trailing(BASE),
        BASE[::7],
        BASE.subsample(steps=9, spacing="karras"),
        BASE.subsample(steps=9, spacing="karras", rounded=True),
    ):
        last = fast.timesteps[-1]
        for t in (0, 3, 505, 505.3, 0.25, last):
            assert fast.at(t) == BASE.at(t)
        with pytest.raises(ValueError, match=rf"in \[0, {last:g}\]"):
            fast.at(last + 0.5)
    assert trailing(BASE).shift(2.0).at(505.3) == BASE.shift(2.0).at(505.3)
    assert trailing(BASE).as_flow().at(505.3) == BASE.as_flow().at(505.3)
    part = BASE[100:200][::9]
    assert part.at(150.5) == BASE.at(150.5)
    assert part.at(99) == part.origin == BASE[99]
    assert part.at(99.5) == BASE.at(99.5)
    with pytest.raises(ValueError, match=r"in \[99, 199\]"):
        part.at(98.5)


def test_at_is_anywhere_where_timesteps_follow_from_the_noise() -> None:
    karras, flow = Schedule.karras(20), Schedule.flow(20)
    assert karras[[5, 19]].at(0.001).sigma == pytest.approx(0.001, rel=1e-15)
    assert flow[[5, 19]].at(0.01).sigma == pytest.approx(0.01, rel=1e-15)
    assert flow[[0, 19]].at(0.9999).alpha == pytest.approx(1e-4, rel=1e-12)
    assert flow[10:].at(0.52).sigma == pytest.approx(0.52, rel=1e-15)
    assert flow[10:].at(flow.timesteps[9]) == flow[9]
    for t in (0.0, 0.3):
        with pytest.raises(ValueError, match="t is"):
            (flow if t == 0 else flow[10:]).at(t)


def test_refine_gives_the_base_back() -> None:
    assert BASE[::2].refine(2) == BASE[:999]
    assert BASE[::4].refine(2) == BASE[:997][::2]
    fine = trailing(BASE).refine(3)
    assert fine[::3] == trailing(BASE)
    for point in fine:
        assert point.log_snr == pytest.approx(BASE.at(point.timestep).log_snr, abs=1e-12)
    spaced = BASE.subsample(steps=9, spacing="log_snr")
    for point in spaced.refine(4):
        assert point.log_snr == pytest.approx(BASE.at(point.timestep).log_snr, abs=1e-11)
    rounded = BASE.subsample(steps=9, spacing="log_snr", rounded=True)
    assert rounded.refine(4)[::4] == rounded
    np.testing.assert_allclose(rounded.refine(4).to_log_snr(), spaced.refine(4).to_log_snr())


def test_zero_terminal_snr_has_no_curve_before_its_first_point_or_after_its_last() -> None:
    fast = trailing(BASE).rescale_zero_terminal_snr()
    assert fast.curve is not None
    np.testing.assert_array_equal(fast.curve.base.timesteps, np.arange(99, 1000))
    assert fast[0].alpha == pytest.approx(BASE[99].alpha, rel=1e-15)
    assert fast.alpha[-1] == 0
    # What lies between is scaled as the points are.
    first, last = BASE[99].alpha, BASE[999].alpha
    scaled = (BASE[505].alpha - last) * first / (first - last)
    assert fast.at(505).alpha == pytest.approx(scaled, rel=1e-13)
    with pytest.raises(ValueError, match=r"in \[99, 999\]"):
        fast.at(50)
    spaced = BASE.subsample(steps=9, spacing="karras")[2:7].rescale_zero_terminal_snr()
    assert spaced.curve is not None
    assert spaced.curve.base.timesteps[[0, -1]].tolist() == spaced.timesteps[[0, -1]].tolist()


def test_points_of_a_curve_move_as_the_points_of_the_schedule() -> None:
    for factor in (0.2, 3.0, 50.0):
        fast = trailing(COSINE).shift(factor)
        assert fast == trailing(COSINE.shift(factor))
        assert fast.curve is not None
        assert fast.curve.base == COSINE.shift(factor)
    spaced = COSINE.subsample(steps=9, spacing="log_snr")
    there = spaced.shift(3.0)
    straight = COSINE.shift(3.0).subsample(steps=9, spacing="log_snr")
    np.testing.assert_allclose(there.to_log_snr(), straight.to_log_snr(), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(there.timesteps, straight.timesteps, rtol=1e-12)


def test_joining_two_halves_that_meet_between_points() -> None:
    spaced = BASE.subsample(steps=9, spacing="log_snr")
    for k in range(10):
        assert spaced[:k].compose(spaced[k:]) == spaced
    apart = spaced[:4].shift(1.5).compose(spaced[4:].shift(1.5))
    assert apart.at(505.3).log_snr == pytest.approx(spaced.shift(1.5).at(505.3).log_snr, abs=1e-12)
    follows = trailing(BASE).compose(Schedule.from_betas([0.1, 0.2], timesteps=[1005, 1010]))
    assert follows.at(505.3) == BASE.at(505.3)
    assert follows.at(1000).log_snr < BASE[999].log_snr


def test_a_schedule_of_another_curve_is_another_schedule() -> None:
    fast = trailing(BASE)
    bare = Schedule.from_alphas_cumprod(fast.to_alphas_cumprod(), timesteps=fast.timesteps)
    np.testing.assert_allclose(bare.to_log_snr(), fast.to_log_snr(), rtol=1e-14)
    assert bare != fast
    assert fast == trailing(Schedule.linear(1000))
    assert hash(fast) == hash(trailing(Schedule.linear(1000)))
    assert {fast: 1}[trailing(Schedule.linear(1000))] == 1


def test_timesteps_keep_their_dtype() -> None:
    schedule = Schedule.from_betas([0.1] * 4, timesteps=[0.5, 1.0, 2.0, 3.0])
    for part in (schedule[1:], schedule[[1, 3]], schedule[:0]):
        assert part.timesteps.dtype == np.float64
        again = Schedule.from_dict(json.loads(json.dumps(part.to_dict())))
        assert again.timesteps.dtype == np.float64
        assert again == part
    assert schedule[1:].origin.timestep == 0.5
    assert Schedule.from_betas([0.1] * 2, timesteps=[1.0, 2.0]).timesteps.dtype == np.int64


def test_json_of_the_first_version_is_read() -> None:
    old = {
        "type": "schedalg.Schedule",
        "version": 1,
        "kind": "vp",
        "network_kind": "vp",
        "origin_timestep": None,
        "timesteps": [3.0, 7.0],
        "log_alphas_cumprod": [[0.0, -0.5, -1.5], [0.0, 0.0, 0.0]],
    }
    schedule = Schedule.from_dict(old)
    assert schedule.timesteps.tolist() == [3, 7]
    assert schedule.timesteps.dtype == np.int64
    assert schedule.curve is None
    assert schedule.to_dict()["version"] == 2
    assert Schedule.from_dict(schedule.to_dict()) == schedule


def test_json_holds_the_curve() -> None:
    data = trailing(BASE, 4).to_dict()
    assert data["curve"]["timesteps"] == list(range(1000))
    assert BASE.to_dict()["curve"] is None
    assert Schedule.from_dict(data).at(505.3) == BASE.at(505.3)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_gradient_flows_through_the_curve(library: str) -> None:
    pytest.importorskip(library)
    log_snr = np.linspace(6, -5, 7)  # as many as the refined: JAX compiles for each length

    def value(s: Schedule) -> Any:
        fast = s[::2]
        assert fast.curve is not None
        assert type(fast.curve.base.log_alpha_bar.high) is type(s.log_alpha_bar.high)
        return fast.at(3).log_snr + fast.shift(2.0).refine(2).to_betas()[3]

    def numeric(k: int) -> float:
        step = np.eye(7)[k] * 1e-6
        above, below = (Schedule.from_log_snr(log_snr + sign * step) for sign in (1, -1))
        return float((value(above) - value(below)) / 2e-6)

    if library == "torch":
        import torch

        x = torch.tensor(log_snr, requires_grad=True)
        value(Schedule.from_log_snr(x)).backward()
        assert x.grad is not None
        slope = x.grad.numpy()
    else:
        import jax

        with jax.enable_x64(True):
            slope = np.asarray(jax.grad(lambda v: value(Schedule.from_log_snr(v)))(log_snr))
    np.testing.assert_allclose(slope, [numeric(k) for k in range(7)], atol=1e-8)


def test_places_are_found_in_numbers() -> None:
    fast = BASE.subsample(steps=9, spacing="log_snr")
    assert fast.curve is not None
    base, places = fast.curve
    np.testing.assert_array_equal(curve.located(base, fast.log_alpha_bar), places)


def test_kutta_s_stages_are_on_the_curve_too() -> None:
    kutta = RungeKutta(Tableau([[], [0.5], [-1, 2]], [1 / 6, 2 / 3, 1 / 6], order=3))
    plan = kutta.plan(trailing(COSINE))
    expected = timesteps_of(COSINE, plan.alpha, plan.sigma)
    np.testing.assert_allclose(plan.timesteps, expected, rtol=1e-9, atol=1e-6)


def _with_curve(**changes: Any) -> dict[str, Any]:
    data = LINEAR[::3].to_dict()
    return {**data, "curve": {**data["curve"], **changes}}


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "halves of two lengths": (
        lambda: Schedule.from_dict(
            {**LINEAR.to_dict(), "log_alphas_cumprod": [[0.0, -1.0], [0.0]]}
        ),
        ValueError,
        ["log_alphas_cumprod", "one length", "2 and 1"],
    ),
    "timesteps are a number": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "timesteps": 3}),
        TypeError,
        ["timesteps", "list of numbers", "3"],
    ),
    "no mapping": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "curve": 3}),
        TypeError,
        ["curve", "int"],
    ),
    "lacking": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "curve": {}}),
        ValueError,
        ["curve", "lacks", "timesteps"],
    ),
    "a rule": (
        lambda: Schedule.from_dict(_with_curve(timesteps="sigma")),
        ValueError,
        ["curve", "numbers"],
    ),
    "too short": (
        lambda: Schedule.from_dict(
            _with_curve(timesteps=[0], log_alphas_cumprod=[[0.0, -1e-3], [0.0, 0.0]])
        ),
        ValueError,
        ["beyond the curve"],
    ),
    "version": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "version": 3}),
        ValueError,
        ["version 3 of schedalg.Schedule", "later schedalg"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
