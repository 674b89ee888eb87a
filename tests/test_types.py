"""What mypy knows of the results, besides that it finds no error in the code of users."""

from typing import Any, assert_type

import numpy as np
import pytest

from schedalg import DDIM, Point, Schedule, run, sample

FAST = Schedule.linear(1000).subsample(steps=2)


def test_a_sample_has_the_type_of_x() -> None:
    def model(x: Any, timesteps: Any) -> Any:
        return 0.1 * x

    x: np.ndarray[tuple[int, int], np.dtype[np.float32]] = np.ones((1, 2), dtype=np.float32)
    sampled = sample(model, FAST, DDIM(), x)
    assert_type(sampled, np.ndarray[tuple[int, int], np.dtype[np.float32]])
    ran = run(DDIM().plan(FAST), model, x)
    assert_type(ran, np.ndarray[tuple[int, int], np.dtype[np.float32]])
    np.testing.assert_array_equal(ran, sampled)
    noisy = FAST.add_noise(x, x, 1)
    assert_type(noisy, np.ndarray[tuple[int, int], np.dtype[np.float32]])
    assert_type(FAST.target(noisy, x, 1), np.ndarray[tuple[int, int], np.dtype[np.float32]])


def test_schedules_have_methods_of_a_schedule() -> None:
    assert_type(FAST.subsample(every=2).shift(2.0)[:1], Schedule)
    assert_type(FAST[0], Point)


def test_what_a_schedule_does_not_have_is_found() -> None:
    with pytest.raises(AttributeError, match="to_betas"):
        FAST.betas  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(TypeError, match="by name"):
        FAST.subsample(2)  # type: ignore[call-arg]
