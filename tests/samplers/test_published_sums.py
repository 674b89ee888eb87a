"""Samples against the sums and means that the test suite of diffusers checks.

Sums and means of absolute values, for its sample and its network, x t / (t + 1).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schedalg import LMS, DPMSolverPP, Euler, Heun, Schedule, UniPC, sample


def deterministic_sample() -> np.ndarray:
    ramp = np.arange(768, dtype=np.float64).reshape(3, 8, 8, 4) / 768
    return np.moveaxis(ramp, 3, 0)


def residual(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    t = timesteps[:, None, None, None].astype(x.dtype)
    return np.asarray(x * t / (t + 1))


@pytest.mark.parametrize(
    ("sampler", "total"), [(Euler(), 168.0516), (Heun(), 244.6025), (LMS(), 191.1941)]
)
def test_the_sums_of_diffusers_for_samplers_in_sigma(sampler: Any, total: float) -> None:
    base = Schedule.linear(1100)
    at = np.linspace(0, 1099, 10)
    path = Schedule.from_sigmas(np.interp(at, base.timesteps, base.to_sigmas()), timesteps=at)
    x = deterministic_sample() * path.prior_std

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        # The model input is x in the variance-preserving scale.
        sigma = np.interp(timesteps, at, path.to_sigmas())[:, None, None, None]
        return residual(x / np.sqrt(sigma**2 + 1), timesteps)

    result = sample(model, path, sampler, x)
    assert np.abs(result).sum() == pytest.approx(total, abs=1e-2)


def karras_path(base: Schedule, n: int) -> Schedule:
    """Return n Karras noise rho of a schedule with rounded timesteps, the last of them twice.

    The second is lower by a billionth, since the last step of diffusers has no length, but a call.
    """
    sigmas = base.to_sigmas()
    low, high = sigmas[0] ** (1 / 7), sigmas[-1] ** (1 / 7)
    rho = np.linspace(low, high, n) ** 7
    timesteps = np.interp(np.log(rho), np.log(sigmas), np.arange(len(base))).round()
    rho, timesteps = np.append(rho[0] * (1 - 1e-9), rho), np.append(0, timesteps)
    return replace(Schedule.from_sigmas(rho, timesteps=timesteps).as_vp()[1:], network_kind="vp")


@pytest.mark.parametrize(
    ("sampler", "prediction", "karras", "mean"),
    [
        (DPMSolverPP(order=2), "epsilon", False, 0.3301),
        (DPMSolverPP(order=2), "v", True, 0.2096),
        (UniPC(order=2, lower_order_final=True), "epsilon", False, 0.2464),
        (UniPC(order=2, lower_order_final=True), "epsilon", True, 0.2925),
        (UniPC(order=2, lower_order_final=True), "v", False, 0.1014),
    ],
)
def test_the_means_of_diffusers_for_samplers_in_log_snr(
    sampler: Any, prediction: Any, karras: bool, mean: float
) -> None:
    """Samples end at the noise level of timestep 0, which is the origin of this schedule."""
    base = Schedule.linear(1000)
    path = base.subsample(steps=11, spacing="linspace")[1:]
    if karras:
        path = karras_path(base, 10)
    result = sample(residual, path, sampler, deterministic_sample(), prediction=prediction)
    assert np.abs(result).mean() == pytest.approx(mean, abs=1e-3)


def test_the_sum_of_diffusers_for_a_flow() -> None:
    t = np.linspace(0.001, 1, 10)
    with np.errstate(divide="ignore"):
        log_snr = 2 * np.log((1 - t) / t)
    path = Schedule.from_log_snr(log_snr, kind="flow", timesteps=1000 * t)
    result = sample(residual, path, Euler(), deterministic_sample(), prediction="flow")
    assert np.abs(result).sum() == pytest.approx(133.362, abs=1e-2)
