"""Points between points."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule
from tests.bad_input import LINEAR, ZERO_SNR, check_named
from tests.registry.schedules import has_signal, on_every_schedule

ALL = on_every_schedule((1, 2, 30))


@ALL
@pytest.mark.parametrize("k", [1, 2, 5])
def test_refine_adds_points_between_neighbours(schedule: Schedule, k: int) -> None:
    joins_two_lists = (np.diff(schedule.timesteps) < 0).any()
    out_of_reach = not has_signal(schedule) and not isinstance(schedule.timestep_rule, str)
    out_of_reach |= not np.isfinite(schedule.timesteps[-1])
    if out_of_reach and schedule.curve is not None and k > 1:
        # Only what lies after the last point of the curve with a signal is.
        last = schedule.timesteps[-1] - np.diff(schedule.timesteps)[-1:] / k
        out_of_reach = bool((last > schedule.curve.base.timesteps[-2]).any())
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
    assert fast.at(25) == s[25]
    assert fast.at(25.7) == s.at(25.7)


def test_at_is_exact_where_the_timestep_is_the_noise_level() -> None:
    ve = Schedule.karras(10)
    assert ve.at(1.0).sigma == pytest.approx(1.0, rel=1e-15)
    flow = Schedule.flow(10)
    assert flow.at(0.33).sigma == pytest.approx(0.33, rel=1e-14)
    assert flow.at(0.95).sigma == pytest.approx(0.95, rel=1e-14)
    assert flow.as_vp().at(0.33).log_snr == pytest.approx(flow.at(0.33).log_snr, abs=1e-13)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "at no points": (lambda: LINEAR[:0].at(1), ValueError, ["t is 1.0", "no points"]),
    "at outside": (lambda: LINEAR.at(9.5), ValueError, ["t", "9.5", "[0, 9]"]),
    "at below": (lambda: LINEAR.at(-0.1), ValueError, ["t", "-0.1"]),
    "at NaN": (lambda: LINEAR.at(np.nan), ValueError, ["t", "nan"]),
    "at text": (lambda: LINEAR.at("1"), TypeError, ["t", "'1'"]),
    "at zero SNR": (lambda: ZERO_SNR.at(8.5), ValueError, ["8", "9", "zero signal"]),
    "at of repeats": (lambda: LINEAR.compose(LINEAR).at(3), ValueError, ["rise", "9, 0"]),
    "refine 0": (lambda: LINEAR.refine(0), ValueError, ["k", "0"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
