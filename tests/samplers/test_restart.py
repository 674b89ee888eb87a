"""Restart and RePaint: repeated stretches."""

import math

import numpy as np

from schedalg import DDPM, Heun, RePaint, Restart, Schedule, sample
from schedalg.testing import check_recovery, check_scales, check_variance
from tests.samplers.loops import network


def test_churn_in_a_repeated_stretch() -> None:
    """The noise at the start of a part is added in the last row of the part before it."""
    schedule = Schedule.karras(10)
    sampler = Restart(Heun(s_churn=2.0, s_tmax=1.0), [(1, 4, 1)])
    check_recovery(sampler, schedule)
    check_variance(sampler, schedule[1:])
    check_scales(sampler)


X = np.random.default_rng(5).standard_normal((3, 4))
NOISE = np.random.default_rng(6).standard_normal((40, 3, 4))


def test_restart_repeats_a_stretch() -> None:
    """Xu et al., arXiv 2306.14878: noise up from point 2 to point 5, twice."""
    path = Schedule.karras(9)
    walk = Heun()

    def model(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return 0.5 * x / (1 + sigma[:, None])

    def go(x: np.ndarray, schedule: Schedule) -> np.ndarray:
        return np.asarray(sample(model, schedule, walk, x, prediction="x0"))

    x = go(X * 80, path[3:])
    for z in NOISE[:2]:
        x = x + math.sqrt(path[5].sigma ** 2 - path[2].sigma ** 2) * z
        x = go(x, path[3:6])
    x = go(x, path[:3])
    draws = iter(NOISE)
    sampler = Restart(walk, [(2, 5, 2)])
    result = sample(model, path, sampler, X * 80, prediction="x0", noise=lambda x: next(draws))
    np.testing.assert_allclose(result, x, rtol=1e-10)


def test_repaint_repeats_every_stretch() -> None:
    """Lugmayr et al., arXiv 2201.09865: jumps up from each multiple of jump_length, times - 1."""
    path = Schedule.linear(1000).subsample(steps=11, spacing="leading")
    rng = np.random.default_rng(9)
    x, visited = X, []
    for low, top in ((8, 11), (4, 9), (0, 5)):
        for time in range(1 if top == 11 else 3):
            if time > 0:
                ratio = path[top - 1].alpha / path[low].alpha
                noise = path[top - 1].sigma ** 2 - (ratio * path[low].sigma) ** 2
                x = ratio * x + math.sqrt(noise) * rng.standard_normal(x.shape)
            x = np.asarray(sample(network, path[low + 1 : top], DDPM(), x, noise=rng))
            visited += path.timesteps[low + 1 : top][::-1].tolist()
    x = np.asarray(sample(network, path[:1], DDPM(), x, noise=rng))
    passed: list[int] = []

    def listening(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        passed.append(int(timesteps[0]))
        return network(x, timesteps)

    sample(listening, path, RePaint(jump_length=4, times=3), X, noise=9)
    assert passed == [*visited, 0]
