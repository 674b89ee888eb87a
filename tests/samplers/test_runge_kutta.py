"""Methods of Runge and Kutta on a flow, and the churn of EDM."""

import math
from itertools import pairwise

import numpy as np
import pytest
from mpmath import mp, mpf

from schedalg import Euler, Heun, Midpoint, Schedule, sample

X = np.random.default_rng(5).standard_normal((3, 4))
NOISE = np.random.default_rng(6).standard_normal((40, 3, 4))


def test_churn_is_algorithm_2_of_edm() -> None:
    """Karras et al., arXiv 2206.00364, for Heun's method; the timestep is sigma."""
    path = Schedule.karras(8)
    churn, low, high, noise = 4.0, 0.05, 50.0, 1.003  # 4/8 is more than sqrt(2) - 1

    def denoise(x: np.ndarray, sigma: float) -> np.ndarray:
        return 0.4 * x / (1 + sigma) + 0.1

    x, draws = X * 80, iter(NOISE)
    sigmas = [*path.timesteps[::-1].tolist(), 0.0]
    for here, there in pairwise(sigmas):
        gamma = min(churn / 8, math.sqrt(2) - 1) if low <= here <= high else 0.0
        raised = here * (1 + gamma)
        if gamma > 0:
            x = x + math.sqrt(raised**2 - here**2) * noise * next(draws)
        d = (x - denoise(x, raised)) / raised
        after = x + (there - raised) * d
        if there > 0:
            after = x + (there - raised) * (d + (after - denoise(after, there)) / there) / 2
        x = after
    sampler = Heun(s_churn=churn, s_tmin=low, s_tmax=high, s_noise=noise)
    draws = iter(NOISE)
    result = sample(
        lambda x, t: denoise(x, t[0]),
        path,
        sampler,
        X * 80,
        prediction="x0",
        noise=lambda x: next(draws),
    )
    np.testing.assert_allclose(result, x, rtol=1e-10)
    # If the first step has churn too, its noise is added before the first row.
    first = Euler(s_churn=1.0).plan(path)
    raised = 80 * (1 + 1 / 8)
    assert first.alpha[0] == 1
    assert first.sigma[0] == pytest.approx(raised, rel=1e-14)
    assert first.timesteps[0] == pytest.approx(raised, rel=1e-14)
    assert first.start == pytest.approx((1, math.sqrt(raised**2 - 80**2)), rel=1e-14)


def test_heun_on_a_flow_is_the_flow_s() -> None:
    """dx/dt = v, with the mean of the slopes at both ends, with and without a shift."""
    path = Schedule.flow(6, shift=3.0)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return np.sin(x) - t

    x, times = X, [*path.timesteps[::-1].tolist(), 0.0]
    for here, there in pairwise(times):
        v = velocity(x, here)
        euler = x + (there - here) * v
        x = x + (there - here) * (v + velocity(euler, there)) / 2
    result = sample(lambda x, t: velocity(x, t[0]), path, Heun(), X, prediction="flow")
    np.testing.assert_allclose(result, x, rtol=1e-12)
    # With an Euler step to clean data, as diffusers has it.
    result = sample(
        lambda x, t: velocity(x, t[0]), path, Heun(clean_stages=False), X, prediction="flow"
    )
    np.testing.assert_allclose(result, euler, rtol=1e-12)


@pytest.mark.parametrize("shift", [3.0, 1e6, 1e50])
def test_stages_close_to_pure_noise_keep_the_digits_of_their_signal(shift: float) -> None:
    """Halfway between two points of a flow in t, against 150 digits."""
    with mp.workdps(150):
        times = [mpf(i) / 6 for i in range(6, 0, -1)]
        times = [mpf(shift) * t / (1 + (mpf(shift) - 1) * t) for t in times] + [mpf(0)]
        middle = [1 - (t + s) / 2 for t, s in pairwise(times)]
        plan = Midpoint().plan(Schedule.flow(6, shift=shift))
        np.testing.assert_allclose(plan.alpha[1::2], [float(m) for m in middle], rtol=4e-16)
