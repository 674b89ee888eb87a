"""The column that a schedule is made of, and what follows from it."""

import math
from itertools import pairwise

import numpy as np
import pytest

from schedalg import Schedule
from tests.registry.schedules import on_every_schedule

ALL = on_every_schedule((1, 2, 30))


@ALL
def test_noise_rises_along_the_path(schedule: Schedule) -> None:
    levels = [schedule.origin, *schedule]
    assert all(s.log_snr > t.log_snr for s, t in pairwise(levels))
    assert all(s.sigma <= t.sigma for s, t in pairwise(levels))
    assert all(s.alpha >= t.alpha for s, t in pairwise(levels))
    for array in (schedule.alpha, schedule.sigma, schedule.timesteps):
        assert array.shape == (len(schedule),)
        assert not np.isnan(array).any()


def test_a_path_without_any_signal_left_in_float64() -> None:
    """ᾱ = 1e-1000 is below float64; what follows from it is still exact."""
    s = Schedule.from_betas(np.full(1000, 0.9))
    assert s.to_log_snr()[-1] == pytest.approx(1000 * math.log(0.1), rel=1e-14)
    assert s.to_sigmas()[-1] == pytest.approx(math.inf)
    np.testing.assert_allclose(s[[0, 999]].to_betas(), [0.9, 1.0])
    assert s[990:].to_betas()[5] == pytest.approx(0.9, rel=1e-15)
    assert not np.isnan(s.posterior_mean_coef2).any()


def test_steps_longer_than_the_range_of_float64() -> None:
    """One step from ᾱ = 0.1 to 1e-1000 is no step to pure noise."""
    s = Schedule.from_betas(np.full(1000, 0.9))[[0, 999]]
    ends = s.to_log_snr()
    np.testing.assert_allclose(s.shift(3.0).to_log_snr(), ends - 2 * math.log(3), rtol=1e-15)
    two = Schedule.from_log_snr(ends)
    np.testing.assert_allclose(two.refine(4).to_log_snr(), np.linspace(*ends, 5), rtol=1e-15)
    spaced = s.subsample(steps=5, spacing="log_snr")
    np.testing.assert_allclose(spaced.to_log_snr(), np.linspace(*ends, 5), rtol=1e-15)
    tail = s[1:].shift(3.0)
    assert tail.to_log_snr()[0] == pytest.approx(ends[1] - 2 * math.log(3), rel=1e-15)
    far = [700.0, 0.0, -2000.0, -2001.0]
    np.testing.assert_allclose(Schedule.from_log_snr(far).to_log_snr(), far, rtol=1e-15)


@pytest.mark.parametrize("rho", [0.1, 7.0, 100.0])
def test_sigmas_over_all_of_the_range(rho: float) -> None:
    s = Schedule.karras(5, 1e-152, 1e152, rho)
    assert s.to_sigmas()[[0, -1]] == pytest.approx([1e-152, 1e152], rel=1e-15)
    low, high = s.to_sigmas()[:-1], s.to_sigmas()[1:]
    np.testing.assert_allclose(s.refine(2).to_sigmas()[1::2], low / 2 + high / 2, rtol=2e-15)
    spaced = np.log(s.subsample(steps=3, spacing="log_snr").to_sigmas())
    np.testing.assert_allclose(spaced, [-152 * math.log(10), 0, 152 * math.log(10)], atol=1e-12)
