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
