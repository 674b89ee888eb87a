"""Samplers of consistency models."""

import math

import numpy as np
import pytest

from schedalg import DDIM, LCM, TCD, Schedule


def test_tcd_with_no_noise_is_ddim() -> None:
    base = Schedule.linear(1000)
    fast = base.subsample(steps=4, spacing="trailing")
    for sampler in (TCD(gamma=0.0), TCD(gamma=0.0, trained=base)):
        plan = sampler.plan(fast)
        assert not plan.c.any()
        np.testing.assert_allclose(plan.b, DDIM().plan(fast).b, rtol=1e-15)


def test_tcd_with_the_trained_schedule() -> None:
    """The point u is at the trained timestep floor((1 - gamma) s), as in the paper."""
    base = Schedule.scaled_linear(1000)
    fast = base.subsample(steps=4, spacing="trailing")
    plan = TCD(gamma=0.3, trained=base).plan(fast)
    for row, s in enumerate(fast.timesteps[-2::-1].tolist()):
        t, u = fast[3 - row], base[math.floor(0.7 * s)]
        ratio = fast[2 - row].alpha / u.alpha
        assert plan.a[row] == pytest.approx(ratio * u.sigma / t.sigma, rel=1e-12)
        change = u.alpha - u.sigma * t.alpha / t.sigma
        assert plan.b[row, 0] == pytest.approx(ratio * change, rel=1e-12)
        noise = fast[2 - row].sigma ** 2 - (ratio * u.sigma) ** 2
        assert plan.c[row] == pytest.approx(math.sqrt(noise), rel=1e-12)
    assert TCD(gamma=0.0).plan(fast).c.tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(TCD(gamma=1.0).plan(fast).b[:, 0], LCM().plan(fast).b[:, 0])
