"""Two denoisers, each at noise levels of its own."""

from typing import Any

import numpy as np

from schedalg import DDIM, Denoiser, DPMSolverPP, Schedule, sample, switch

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def test_an_interval_takes_each_network_where_it_belongs() -> None:
    passed: dict[str, list[int]] = {"in": [], "out": []}

    def network(name: str) -> Any:
        def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
            passed[name].append(int(timesteps[0]))
            return 0.5 * x

        return Denoiser(model, FAST)

    sigmas = FAST.to_sigmas()
    denoise = switch(network("in"), network("out"), sigmas[3], sigmas[8])
    image = sample(denoise, FAST, DPMSolverPP(order=2), X)
    assert passed["in"] == FAST.timesteps[8:2:-1].tolist()
    assert passed["out"] == [*FAST.timesteps[:8:-1].tolist(), *FAST.timesteps[2::-1].tolist()]
    # With one network in both places, the sample is that of the network, also in multistep
    # samplers.
    expected = sample(network("in"), FAST, DPMSolverPP(order=2), X)
    np.testing.assert_allclose(image, expected, rtol=1e-12)


def calls_of(schedule: Schedule, **bounds: float) -> tuple[int, int]:
    """Return how often each of two experts is called."""
    called = {"high": 0, "low": 0}

    def expert(name: str) -> Denoiser:
        def network(x: Any, timesteps: Any) -> Any:
            called[name] += 1
            return 0 * x

        return Denoiser(network, schedule, "x0")

    sample(switch(expert("high"), expert("low"), **bounds), schedule, DDIM(), X)
    return called["high"], called["low"]


def test_two_experts_meet_where_the_call_says() -> None:
    flow = Schedule.flow(40, shift=12.0)
    assert calls_of(flow, t_min=0.875) == (26, 14)
    assert (flow.sigma >= 0.875).sum() == 26
    assert calls_of(flow, timestep_min=0.875) == (26, 14)
    assert calls_of(flow.as_vp(), t_min=0.875) == (26, 14)
    assert calls_of(flow, log_snr_max=2 * np.log(0.125 / 0.875)) == (26, 14)
    assert calls_of(flow.as_vp(), sigma_min=7.0) == (26, 14)
    thousand = Schedule.from_flow_times(flow.sigma, timesteps="1000 flow_time")
    assert calls_of(thousand, timestep_min=875) == (26, 14)


def test_bounds_are_inclusive_and_open_where_not_given() -> None:
    s = Schedule.karras(10)
    for k in (3, 8):
        point = s[k]
        bounds = {
            "sigma_min": point.sigma,
            "t_min": point.sigma / (1 + point.sigma),
            "timestep_min": point.timestep,
            "log_snr_max": point.log_snr,
        }
        for name, value in bounds.items():
            assert calls_of(s, **{name: value}) == (10 - k, k)
            other = name.replace("min", "x").replace("max", "min").replace("x", "max")
            assert calls_of(s, **{other: value}) == (k + 1, 9 - k)
    assert calls_of(s) == (10, 0)
    assert calls_of(s, timestep_min=s[2].timestep, timestep_max=s[4].timestep) == (3, 7)
