"""What mypy knows of the results, besides that it finds no error in the code of users."""

from typing import Any, assert_type

import numpy as np

from schedalg import DDIM, Schedule, run, sample

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
