"""A schedule as a value: reading, slicing, equality, copies."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import Point, Schedule
from schedalg.testing.strategies import schedules
from tests.registry.schedules import on_every_schedule

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
def test_tables_cannot_be_written_to(schedule: Schedule) -> None:
    before, numbers = hash(schedule), schedule.to_dict()
    for array in (schedule.alpha, schedule.sigma, schedule.timesteps, *schedule.log_alpha_bar):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    exported = schedule.to_log_snr()
    exported[:] = 7  # an export belongs to whoever asked for it
    assert hash(schedule) == before
    assert schedule.to_dict() == numbers
    with pytest.raises(AttributeError):
        schedule.kind = "ve"  # type: ignore[misc]


@ALL
def test_what_is_handed_out_is_not_the_schedule(schedule: Schedule) -> None:
    """Torch writes to read-only memory whose address it gets; here NumPy does, given leave."""
    value, numbers = hash(schedule), schedule.to_dict()
    for array in (schedule.alpha, schedule.sigma, schedule.timesteps):
        array.setflags(write=True)
        array[:] = 7
    assert schedule.to_dict() == numbers
    assert value == hash(schedule) == hash(Schedule.from_dict(numbers))


@ALL
def test_copies_are_equal_and_as_immutable(schedule: Schedule) -> None:
    pickled = pickle.loads(pickle.dumps(schedule))
    for other in (copy.copy(schedule), copy.deepcopy(schedule), pickled):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert not other.log_alpha_bar.high.flags.writeable
        assert other.curve is None or not other.curve.places.flags.writeable
        np.testing.assert_array_equal(other.log_alpha_bar.low, schedule.log_alpha_bar.low)


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


def test_prior_std() -> None:
    assert Schedule.linear(10).prior_std == 1.0
    assert Schedule.karras(10, sigma_max=80.0).prior_std == pytest.approx(80.0, rel=1e-14)
    assert Schedule.flow(10).prior_std == 1.0


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("betas", "'to_betas()'"),
        ("alphas_cumprod", "'to_alphas_cumprod()'"),
        ("sigmas", "on a flow, t"),
        ("num_train_timesteps", "'len(schedule)'"),
        ("set_timesteps", "subsample(steps=...)"),
    ],
)
def test_attributes_of_other_libraries_are_named(name: str, word: str) -> None:
    with pytest.raises(AttributeError, match="no attribute") as caught:
        getattr(Schedule.flow(4), name)
    assert word in str(caught.value)
    assert caught.value.name == name
    assert not hasattr(Schedule.flow(4), name)
