"""Which timesteps points are labelled with."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Heun, Midpoint, RungeKutta, Schedule, Tableau, sample
from tests.bad_input import check_named


def test_labels_follow_the_noise_only_where_they_are_the_noise() -> None:
    np.testing.assert_array_equal(Schedule.linear(10).shift(2.0).timesteps, np.arange(10))
    flow = Schedule.flow(10)
    np.testing.assert_array_equal(flow.shift(2.0).as_vp().timesteps, flow.shift(2.0).sigma)
    np.testing.assert_array_equal(Schedule.karras(5).as_vp().timesteps, Schedule.karras(5).sigma)


def test_composing_labels_of_two_sorts_lists_them() -> None:
    told = Schedule.from_log_snr([9.0, 8.0], kind="ve", timesteps=[3, 7]).as_vp()
    measured = Schedule.from_sigmas([0.5, 2.0]).as_vp()
    expected = [3, 7, *measured.timesteps.tolist()]
    assert told.compose(measured).timesteps.tolist() == expected
    assert measured.compose(told).timesteps.tolist() == [*expected[2:], 3, 7]
    assert measured.compose(measured).timestep_rule == "sigma"


def angle(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return what a network of TrigFlow is told."""
    return np.arctan2(sigma, alpha)


def sigma_alone(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return sigma, which on a path that preserves variance is between 0 and 1."""
    return sigma


def thousand(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return 1000 t."""
    return 1000 * sigma / (alpha + sigma)


def quarter(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return what EDM's networks are told."""
    return np.log(sigma / alpha) / 4


RULES: list[Any] = ["sigma", "log_sigma/4", "flow_time", "1000 flow_time"]
FUNCTIONS = [angle, sigma_alone, thousand, quarter]
LOG_SNR = np.linspace(4, -3, 15)


@pytest.mark.parametrize("rule", [*RULES, *FUNCTIONS])
@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_timesteps_follow_from_the_noise(rule: Any, kind: Any) -> None:
    s = Schedule.from_log_snr(LOG_SNR, kind=kind, timesteps=rule)
    formula = {"sigma": lambda a, b: b / a, "flow_time": lambda a, b: b / (a + b)} | {
        "log_sigma/4": quarter,
        "1000 flow_time": thousand,
    }
    told = formula.get(rule, rule)
    np.testing.assert_allclose(s.timesteps, told(s.alpha, s.sigma), rtol=1e-13)
    # They move with the noise, stay in the scale of the network, and are no property of the choice.
    np.testing.assert_allclose(
        s.shift(2.0).timesteps, told(s.shift(2.0).alpha, s.shift(2.0).sigma), rtol=1e-13
    )
    np.testing.assert_array_equal(s.as_ve().as_flow().timesteps, s.timesteps)
    assert s[::3].curve is None
    plan = Midpoint().plan(s)
    np.testing.assert_allclose(plan.timesteps, told(plan.alpha, plan.sigma), rtol=1e-12)
    churned = Heun(s_churn=3.0).plan(s.as_flow())
    expected = Heun(s_churn=3.0).plan(s)
    np.testing.assert_allclose(churned.timesteps, expected.timesteps, rtol=1e-12)
    # Evenly between timesteps, each where the network is told so.
    fine = s.refine(3)
    assert fine[::3] == s
    even = np.interp(np.arange(43) / 3, np.arange(15), s.timesteps)
    np.testing.assert_allclose(fine.timesteps, even, rtol=1e-12)
    np.testing.assert_allclose(told(fine.alpha, fine.sigma), even, rtol=1e-12)
    for t in even:
        np.testing.assert_allclose(told(s.at(t).alpha, s.at(t).sigma), t, rtol=1e-12)
        assert s.at(t).timestep == t
        assert s[[3, 14]].at(t).log_snr == pytest.approx(s.at(t).log_snr, rel=1e-13, abs=1e-13)
    assert s[5:].origin.timestep == pytest.approx(s.timesteps[4], rel=1e-14)
    assert s[:5].compose(s[5:]) == s
    if isinstance(rule, str):
        assert Schedule.from_dict(json.loads(json.dumps(s.to_dict()))) == s
    else:
        with pytest.raises(ValueError, match="a function, which JSON cannot hold"):
            s.to_dict()


@pytest.mark.parametrize("rule", [*RULES, *FUNCTIONS])
def test_a_method_of_order_four_is_of_order_four(rule: Any) -> None:
    """Where the network finds its noise level by what it is told, in the stages too."""
    c, tableau = 0.5, [[], [0.5], [0, 0.5], [0, 0, 1]]
    rk4 = RungeKutta(Tableau(tableau, [1 / 6, 1 / 3, 1 / 3, 1 / 6], order=4))
    trained = Schedule.from_log_snr(np.linspace(4, -4, 9), timesteps=rule)

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        level = trained.at(float(timesteps[0]))
        return level.sigma * x / (level.alpha**2 * c**2 + level.sigma**2)

    errors = []
    for n in (12, 24):
        s = Schedule.from_log_snr(np.linspace(3, -3, n + 1), timesteps=rule)[1:]
        x = np.array([[1.0]])
        spread = np.sqrt(s.origin.alpha**2 * c**2 + s.origin.sigma**2)
        exact = spread / np.sqrt(s[-1].alpha ** 2 * c**2 + s[-1].sigma ** 2)
        errors.append(abs(sample(network, s, rk4, x).item() - exact))
    assert np.log2(errors[0] / errors[1]) > 3.7


CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a name": (
        lambda: Schedule.from_betas([0.1], timesteps="angle"),
        ValueError,
        ["timesteps", "'angle'", "'log_sigma/4'"],
    ),
    "text": (
        lambda: Schedule.from_betas([0.1], timesteps=lambda a, b: np.array(["x"])),
        TypeError,
        ["timesteps", "real numbers"],
    ),
    "a shape": (
        lambda: Schedule.from_betas([0.1, 0.2], timesteps=lambda a, b: a[:1]),
        ValueError,
        ["timesteps", "shape"],
    ),
    "differences beyond float64": (
        lambda: Schedule.from_betas([0.1, 0.2], timesteps=[-1.7e308, 1.7e308]),
        ValueError,
        ["timesteps[0]", "-1.7e+308", "1e+300"],
    ),
    "differences beyond 64 bits": (
        lambda: Schedule.from_betas([0.1, 0.2], timesteps=[0, 2**63 - 1]),
        ValueError,
        ["timesteps[1]", "9223372036854775807", str(2**62)],
    ),
    "infinite": (
        lambda: Schedule.from_betas([0.1, 1.0], timesteps="sigma"),
        ValueError,
        ["timesteps[1]", "inf"],
    ),
    "a name in JSON": (
        lambda: Schedule.from_dict({**Schedule.karras(3).to_dict(), "timesteps": "angle"}),
        ValueError,
        ["'angle'"],
    ),
    "at": (
        lambda: Schedule.from_log_snr([3.0, 1.0], timesteps="log_sigma/4").at(1.0),
        ValueError,
        ["(-inf", "1.0"],
    ),
}


def test_whole_timesteps_that_floats_skip_are_kept() -> None:
    schedule = Schedule.from_betas([0.1, 0.2], timesteps=[2**62 - 2, 2**62 - 1])
    assert schedule.timesteps.tolist() == [2**62 - 2, 2**62 - 1]
    assert schedule.at(2.0**62) == schedule[1]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
