"""What the network is given for a frame that is finished."""

import numpy as np
import pytest

from schedalg import DDIM, FrameRun, Schedule, edm, frames

FAST = Schedule.linear(1000).subsample(steps=6)
X = np.random.default_rng(5).standard_normal((2, 3, 2))

#: Schedules, and what the network gets for a finished frame.
CLEAN: dict[str, tuple[Schedule, float]] = {
    "subset": (FAST, 0),
    "part": (FAST[2:], FAST.timesteps[1]),
    "flow": (Schedule.flow(5), 0.0),
    "sigma": (Schedule.karras(5), 0.0),
    "log_sigma/4": (Schedule.from_sigmas([1.0, 9.0], timesteps="log_sigma/4"), 0.0),
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_finished_frame_has_the_least_timestep(name: str) -> None:
    schedule, expected = CLEAN[name]
    plan = DDIM().plan(schedule)
    held = FrameRun(plan, X, frames(plan, [0] * 3, first=[0, 0, len(plan)]), prediction="v")
    assert held.timesteps[0, 2] == expected
    mine = FrameRun(
        plan, X, frames(plan, [0] * 3, first=[0, 0, len(plan)]), prediction="v", clean_timestep=3
    )
    assert mine.timesteps[0, 2] == 3
    whole = DDIM().plan(schedule).round_timesteps()
    held = FrameRun(whole, X, frames(whole, [0] * 3, first=[0, 0, len(plan)]), prediction="v")
    assert held.timesteps[0, 2] == np.rint(expected)


def test_a_finished_frame_is_scaled_as_clean_data() -> None:
    plan = DDIM().plan(Schedule.karras(5))
    held = FrameRun(plan, X, frames(plan, [0] * 3, first=[0, 0, 5]), prediction=edm(0.5))
    np.testing.assert_allclose(held.input[:, 2], X[:, 2] / 0.5, rtol=1e-15)
