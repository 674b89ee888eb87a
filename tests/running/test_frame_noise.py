"""A frame has its part of its sample's noise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schedalg.running import philox
from schedalg.running.frame_noise import frame_normal
from schedalg.running.noise import keyed_normal, keys_for


@given(
    st.integers(1, 9), st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1), st.data()
)
def test_a_frame_has_its_part_of_its_sample_s_draw(
    size: int, asked: list[tuple[int, bool]], data: st.DataObject
) -> None:
    dtype = data.draw(st.sampled_from([np.float64, np.float32]))
    first, count = data.draw(st.integers(0, 5)), len(asked)
    keys = keys_for("noise", [7, 2**80], 2)
    whole = np.empty((2, first + count, size), dtype)
    draws = [keyed_normal(whole, keys, (level, 1, 2)) for level in range(3)]
    words = np.array([(level, 1, 2) for level, _ in asked])
    drawn = np.array([drawn for _, drawn in asked])
    parts = frame_normal(whole[:, first:], keys, words, first + np.arange(count), drawn)
    assert parts.dtype == dtype
    for t, (level, is_drawn) in enumerate(asked):
        np.testing.assert_array_equal(parts[:, t], draws[level][:, first + t] * is_drawn)


def test_a_frame_far_in_its_sample_s_draw_is_reached_at_once() -> None:
    keys, number = keys_for("noise", 7, 1), 10**15 + 1
    x, words = np.empty((1, 1, 3)), np.array([[4, 5, 6]])
    part = frame_normal(x, keys, words, np.array([number]), np.array([True]))
    start = 3 * number // 4 * 4
    block = philox.normal(keys, (4, 5, 6), 8, start=start)
    np.testing.assert_array_equal(part[0, 0], block[0, 3 * number - start :][:3])
