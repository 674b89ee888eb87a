"""Which timesteps points are labelled with."""

import numpy as np

from schedalg import Schedule


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
