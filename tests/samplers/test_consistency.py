"""Samplers of consistency models."""

import math

import numpy as np
import pytest
from mpmath import mp, mpf

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


@pytest.mark.parametrize(
    "options",
    [{"timestep_scaling": 1e59}, {"timestep_scaling": 1e-59}, {"sigma_data": 1e-59}],
    ids=str,
)
def test_the_boundary_condition_of_lcm_in_60_digits(options: dict[str, float]) -> None:
    schedule = Schedule.linear(1000).subsample(steps=4)
    plan = LCM(**{"timestep_scaling": 10.0, **options}).plan(schedule)
    scale, data = (
        mpf(options.get(n, d)) for n, d in (("timestep_scaling", 10), ("sigma_data", 0.5))
    )
    for row, t in enumerate(plan.timesteps.tolist()):
        alpha = schedule[2 - row].alpha if row < 3 else 1.0
        with mp.workdps(60):
            total = (t * scale) ** 2 + data**2
            skip, out = data**2 / total, t * scale / mp.sqrt(total)
        np.testing.assert_allclose(plan.a[row], alpha * float(skip), rtol=1e-15)
        np.testing.assert_allclose(plan.b[row, 0], alpha * float(out), rtol=1e-15)
