"""Transforms of a schedule: what is said of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Midpoint, Schedule
from tests.bad_input import KARRAS, LINEAR, ZERO_SNR, check_named


def test_timesteps_are_rounded_and_nothing_else() -> None:
    base = Schedule.linear(1000)
    s = base.subsample(steps=7, spacing="karras")
    rounded = s.round_timesteps()
    assert rounded.timesteps.dtype == np.int64
    np.testing.assert_array_equal(rounded.timesteps, np.rint(s.timesteps))
    np.testing.assert_array_equal(rounded.to_betas(), s.to_betas())
    assert rounded.round_timesteps() == rounded
    # What lies between is the base's still, whatever the network is told at the points.
    for t in (12.25, 500.5, 900.0):
        assert rounded.at(t) == base.at(t)
    np.testing.assert_allclose(rounded.refine(2).to_log_snr(), s.refine(2).to_log_snr(), rtol=1e-9)
    assert base.round_timesteps() == base
    flow = Schedule.from_flow_times([0.1004, 0.5, 1.0], timesteps="1000 flow_time")
    assert flow.round_timesteps().timesteps.tolist() == [100, 500, 1000]
    plan = Midpoint().plan(s)
    np.testing.assert_array_equal(plan.round_timesteps().timesteps, np.rint(plan.timesteps))
    assert plan.round_timesteps().schedule == s
    assert plan.round_timesteps() != plan
    assert DDIM().plan(base[:9]).round_timesteps() == DDIM().plan(base[:9])


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "compose kinds": (lambda: LINEAR.compose(KARRAS), ValueError, ["kind", "'vp'", "'ve'"]),
    "compose networks": (
        lambda: LINEAR.compose(KARRAS.as_vp()),
        ValueError,
        ["network_kind", "'vp'", "'ve'"],
    ),
    "compose elsewhere": (
        lambda: LINEAR[:5].compose(LINEAR[7:]),
        ValueError,
        ["origin", "log alpha_cumprod"],
    ),
    "shift below the smallest normal float": (
        lambda: Schedule.from_betas([1e-300, 1e-290]).shift(1e-10),
        ValueError,
        ["factor", "1e-10", "step 0", "betas below 2.225e-308"],
    ),
    "compose ve": (lambda: KARRAS.compose(KARRAS), ValueError, ["'ve'", "as_vp()"]),
    "compose past the end": (lambda: ZERO_SNR.compose(LINEAR), ValueError, ["zero signal"]),
    "compose a list": (lambda: LINEAR.compose([0.1]), TypeError, ["other", "list"]),
    "rounded sigmas": (lambda: KARRAS.round_timesteps(), ValueError, ["'sigma'", "1000 flow_time"]),
    "rounded times": (
        lambda: Schedule.flow(4).round_timesteps(),
        ValueError,
        ["'flow_time'", "1000 flow_time"],
    ),
    "shift < 0": (lambda: LINEAR.shift(-1.0), ValueError, ["factor", "-1.0"]),
    "shift NaN": (lambda: LINEAR.shift(np.nan), ValueError, ["factor", "nan"]),
    "shift text": (lambda: LINEAR.shift("3"), TypeError, ["factor", "'3'"]),
    "zero SNR of ve": (
        lambda: KARRAS.rescale_zero_terminal_snr(),
        ValueError,
        ["variance-preserving", "'ve'"],
    ),
    "zero SNR of one": (
        lambda: LINEAR[:1].rescale_zero_terminal_snr(),
        ValueError,
        ["at least 2", "1"],
    ),
    "as_ve at zero SNR": (lambda: ZERO_SNR.as_ve(), ValueError, ["point 9", "no signal"]),
    "betas of ve": (lambda: KARRAS.to_betas(), ValueError, ["to_betas", "'ve'", "as_vp()"]),
    "alphas of flow": (lambda: Schedule.flow(3).to_alphas(), ValueError, ["to_alphas", "'flow'"]),
    "ᾱ of ve": (lambda: KARRAS.to_alphas_cumprod(), ValueError, ["to_alphas_cumprod", "'ve'"]),
    "prior of nothing": (lambda: LINEAR[:0].prior_std, ValueError, ["empty"]),
    "numpy bool": (lambda: LINEAR.shift(np.True_), TypeError, ["factor", "True"]),
    "shift small": (lambda: LINEAR.shift(1e-200), ValueError, ["factor", "1e-60", "1e-200"]),
    "shift large": (lambda: LINEAR.shift(10**400), ValueError, ["factor", "inf"]),
    "zero SNR of a ve network": (
        lambda: KARRAS.as_vp().rescale_zero_terminal_snr(),
        ValueError,
        ["network_kind 've'", "pure noise"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
