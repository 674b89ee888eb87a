"""A schedule as a value: reading, slicing, equality, copies, points between points."""

import copy
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import Point, Schedule
from schedalg.testing.strategies import schedules
from tests.registry import has_signal, on_every_schedule

ALL = on_every_schedule((1, 2, 30))


@ALL
def test_points_read_like_the_tables(schedule: Schedule) -> None:
    points = list(schedule)
    assert len(points) == len(schedule)
    assert [p.alpha for p in points] == schedule.alpha.tolist()
    assert [p.sigma for p in points] == schedule.sigma.tolist()
    assert [p.timestep for p in points] == schedule.timesteps.tolist()
    assert schedule[0] == points[0]
    assert schedule[-1] == schedule[len(schedule) - 1] == points[-1]
    assert [schedule[k] for k in range(len(schedule))] == points
    np.testing.assert_allclose([p.log_snr for p in points], schedule.to_log_snr(), atol=1e-13)


@ALL
def test_noise_rises_along_the_path(schedule: Schedule) -> None:
    levels = [schedule.origin, *schedule]
    assert all(s.log_snr > t.log_snr for s, t in pairwise(levels))
    assert all(s.sigma <= t.sigma for s, t in pairwise(levels))
    assert all(s.alpha >= t.alpha for s, t in pairwise(levels))
    for array in (schedule.alpha, schedule.sigma, schedule.timesteps):
        assert array.shape == (len(schedule),)
        assert not np.isnan(array).any()


@ALL
def test_tables_cannot_be_written_to(schedule: Schedule) -> None:
    before = hash(schedule)
    for array in (schedule.alpha, schedule.sigma, schedule.timesteps, *schedule.log_alpha_bar):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    exported = schedule.to_log_snr()
    exported[:] = 7  # an export belongs to whoever asked for it
    assert hash(schedule) == before
    with pytest.raises(AttributeError):
        schedule.kind = "ve"  # type: ignore[misc]


@ALL
def test_copies_are_equal_and_as_immutable(schedule: Schedule) -> None:
    for other in (copy.copy(schedule), copy.deepcopy(schedule)):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert not other.log_alpha_bar.high.flags.writeable
        np.testing.assert_array_equal(other.log_alpha_bar.low, schedule.log_alpha_bar.low)


@ALL
def test_json_is_lossless(schedule: Schedule) -> None:
    text = json.dumps(schedule.to_dict(), allow_nan=False)
    again = Schedule.from_dict(json.loads(text))
    assert again == schedule
    np.testing.assert_array_equal(again.log_alpha_bar.low, schedule.log_alpha_bar.low)
    assert again.timesteps.dtype == schedule.timesteps.dtype
    assert again.shift(2.0) == schedule.shift(2.0)


def test_arrays_given_are_not_shared() -> None:
    alphas_cumprod, timesteps = np.array([0.9, 0.5]), np.array([3, 7])
    schedule = Schedule.from_alphas_cumprod(alphas_cumprod, timesteps=timesteps)
    before = schedule.to_dict()
    alphas_cumprod[0] = timesteps[0] = 0
    assert schedule.to_dict() == before


def test_equality_is_by_content() -> None:
    a = Schedule.linear(10)
    assert a == Schedule.linear(10)
    assert hash(a) == hash(Schedule.linear(10))
    assert a != Schedule.linear(11)
    assert a != Schedule.linear(10, beta_end=0.03)
    assert a != a.as_flow()
    assert a != a[1:].compose(a[:0])
    assert a[5:] != a[[5, 6, 7, 8, 9]]
    assert a != Schedule.from_betas(a.to_betas(), timesteps=np.arange(10) + 0.5)
    assert a != Schedule.from_betas(a.to_betas(), timesteps=np.arange(1, 11))
    assert a != "linear"
    assert len({a, Schedule.linear(10), a[:], a[:5]}) == 2


def test_repr_is_short() -> None:
    assert repr(Schedule.linear(1000)) == (
        "<Schedule vp: 1000 points, timesteps 0 … 999, log SNR 9.210 … -10.118>"
    )
    assert repr(Schedule.flow(4)[:0]) == "<Schedule flow: no points>"
    assert len(repr(Schedule.karras(3))) < 100


def test_the_origin_is_clean_unless_sliced() -> None:
    s = Schedule.linear(10)
    assert s.origin == Point(1.0, 0.0, None)
    assert math.copysign(1, s.origin.sigma) == 1
    assert s.origin.log_snr == math.inf
    assert s[4:].origin == s[3]
    assert s[4:][2:].origin == s[5]
    assert s[4:4].origin == s[3]
    assert s[[4, 7]].origin == s[np.arange(10) > 3].origin == s.origin
    assert s[4:][[1, 3]].origin == s[3]


@given(schedules(), st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 7))
def test_a_stepped_slice_is_the_slice_and_then_the_step(
    schedule: Schedule, start: int, stop: int, step: int
) -> None:
    assert schedule[start:stop:step] == schedule[start:stop][::step]
    positions = range(len(schedule))[start:stop:step]
    assert [p.timestep for p in schedule[start:stop:step]] == [
        schedule.timesteps[k] for k in positions
    ]


@ALL
@pytest.mark.parametrize("k", [1, 2, 5])
def test_refine_adds_points_between_neighbours(schedule: Schedule, k: int) -> None:
    joins_two_lists = (np.diff(schedule.timesteps) < 0).any()
    out_of_reach = not has_signal(schedule) and not isinstance(schedule.timestep_rule, str)
    out_of_reach |= not np.isfinite(schedule.timesteps[-1])
    if k > 1 and len(schedule) > 1 and (out_of_reach or joins_two_lists):
        with pytest.raises(ValueError, match=r"no point lies between|do not fall"):
            schedule.refine(k)
        return
    fine = schedule.refine(k)
    assert len(fine) == (len(schedule) - 1) * k + 1
    assert fine[::k] == schedule
    assert (np.diff(fine.to_log_snr()) < 0).all()


def test_refine_keeps_the_schedule_exactly() -> None:
    s = Schedule.linear(100)
    assert s.refine(4)[::4] == s
    assert Schedule.karras(9).refine(3)[::3] == Schedule.karras(9)


def test_at_finds_points_and_what_lies_between() -> None:
    s = Schedule.linear(1000)
    assert s.at(10) == s.at(10.0) == s[10]
    assert s.at(999) == s[999]
    middle = s.at(10.25)
    assert middle.timestep == 10.25
    assert middle.log_snr == pytest.approx(0.75 * s[10].log_snr + 0.25 * s[11].log_snr, abs=1e-13)
    assert middle.alpha**2 + middle.sigma**2 == pytest.approx(1, abs=1e-15)
    fast = s.subsample(every=10)
    assert fast.at(20) == s[20]
    between = fast.at(25).log_snr
    assert between == pytest.approx((s[20].log_snr + s[30].log_snr) / 2, abs=1e-13)


def test_at_is_exact_where_the_timestep_is_the_noise_level() -> None:
    ve = Schedule.karras(10)
    assert ve.at(1.0).sigma == pytest.approx(1.0, rel=1e-15)
    flow = Schedule.flow(10)
    assert flow.at(0.33).sigma == pytest.approx(0.33, rel=1e-14)
    assert flow.at(0.95).sigma == pytest.approx(0.95, rel=1e-14)
    assert flow.as_vp().at(0.33).log_snr == pytest.approx(flow.at(0.33).log_snr, abs=1e-13)


def test_prior_std() -> None:
    assert Schedule.linear(10).prior_std == 1.0
    assert Schedule.karras(10, sigma_max=80.0).prior_std == pytest.approx(80.0, rel=1e-14)
    assert Schedule.flow(10).prior_std == 1.0


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


def test_one_step_schedules_have_a_posterior() -> None:
    one = Schedule.from_betas([0.3])
    assert one.posterior_variance.tolist() == [0.0]
    assert one.posterior_log_variance_clipped[0] == pytest.approx(math.log(0.3), rel=1e-15)
    assert one.posterior_mean_coef1.tolist() == [1.0]
    assert one.posterior_mean_coef2.tolist() == [0.0]


def test_a_path_without_any_signal_left_in_float64() -> None:
    """ᾱ = 1e-1000 is below float64; what follows from it is still exact."""
    s = Schedule.from_betas(np.full(1000, 0.9))
    assert s.to_log_snr()[-1] == pytest.approx(1000 * math.log(0.1), rel=1e-14)
    assert s.to_sigmas()[-1] == pytest.approx(math.inf)
    np.testing.assert_allclose(s[[0, 999]].to_betas(), [0.9, 1.0])
    assert s[990:].to_betas()[5] == pytest.approx(0.9, rel=1e-15)
    assert not np.isnan(s.posterior_mean_coef2).any()
