"""The posterior's columns."""

import math

import pytest

from schedalg import Schedule


def test_one_step_schedules_have_a_posterior() -> None:
    one = Schedule.from_betas([0.3])
    assert one.posterior_variance.tolist() == [0.0]
    assert one.posterior_log_variance_clipped[0] == pytest.approx(math.log(0.3), rel=1e-15)
    assert one.posterior_mean_coef1.tolist() == [1.0]
    assert one.posterior_mean_coef2.tolist() == [0.0]
