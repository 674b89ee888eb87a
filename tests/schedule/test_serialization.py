"""A schedule as JSON, and what is said of JSON that is none."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule
from tests.bad_input import LINEAR, ZERO_SNR, check_named
from tests.registry.schedules import on_every_schedule

ALL = on_every_schedule((1, 2, 30))


@ALL
def test_json_is_lossless(schedule: Schedule) -> None:
    text = json.dumps(schedule.to_dict(), allow_nan=False)
    again = Schedule.from_dict(json.loads(text))
    assert again == schedule
    np.testing.assert_array_equal(again.log_alpha_bar.low, schedule.log_alpha_bar.low)
    assert again.timesteps.dtype == schedule.timesteps.dtype
    assert again.shift(2.0) == schedule.shift(2.0)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "from_dict": (lambda: Schedule.from_dict({}), ValueError, ["data", "None"]),
    "from_dict lacking": (
        lambda: Schedule.from_dict({"type": "schedalg.Schedule", "version": 1}),
        ValueError,
        ["lacks", "timesteps"],
    ),
    "from_dict rising": (
        lambda: Schedule.from_dict(
            {**LINEAR[:2].to_dict(), "log_alphas_cumprod": [[0.0, -2.0, -1.0], [0.0, 0.0, 0.0]]}
        ),
        ValueError,
        ["fall"],
    ),
    "from_dict of None": (lambda: Schedule.from_dict(None), TypeError, ["data", "NoneType"]),
    "from_dict origin": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "origin_timestep": "a"}),
        TypeError,
        ["origin_timestep", "'a'"],
    ),
    "from_dict lists": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "log_alphas_cumprod": "ab"}),
        ValueError,
        ["log_alphas_cumprod", "two lists", "'ab'"],
    ),
    "from_dict positive": (
        lambda: Schedule.from_dict(
            {**LINEAR[:1].to_dict(), "log_alphas_cumprod": [[1.0, -1.0], [0.0, 0.0]]}
        ),
        ValueError,
        ["log_alphas_cumprod[0][0]", "1.0", "at most 0"],
    ),
    "from_dict low": (
        lambda: Schedule.from_dict(
            {**LINEAR[:1].to_dict(), "log_alphas_cumprod": [[0.0, -1.0], [0.0, 0.5]]}
        ),
        ValueError,
        ["log_alphas_cumprod[1][1]", "0.5", "rounding"],
    ),
    "from_dict infinite inside": (
        lambda: Schedule.from_dict(
            {**LINEAR[:2].to_dict(), "log_alphas_cumprod": [[0.0, "-inf", -1.0], [0.0, 0.0, 0.0]]}
        ),
        TypeError,
        ["log_alphas_cumprod[0][1]", "'-inf'"],
    ),
    "from_dict kind": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "kind": "zz"}),
        ValueError,
        ["kind", "'zz'", "'vp'"],
    ),
    "from_dict pure noise": (
        lambda: Schedule.from_dict({**ZERO_SNR.to_dict(), "network_kind": "ve"}),
        ValueError,
        ["network_kind", "'ve'", "pure noise"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
