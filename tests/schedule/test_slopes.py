"""How scales and timesteps change with the log-SNR, against differences."""

import numpy as np
import pytest

from schedalg import Schedule
from schedalg.schedule.path import KINDS
from schedalg.schedule.slopes import scale_slopes, timestep_slopes

BASE = Schedule.linear(1000)
LOG_SNR = np.array([4.0, 0.5, -5.0])


@pytest.mark.parametrize("kind", KINDS)
def test_scales_change_as_their_definition_says(kind: str) -> None:
    ratio = np.exp(-LOG_SNR / 2)
    # vp: 1/sqrt(1 + r²) and r/sqrt(1 + r²); ve: 1 and r; flow: 1/(1 + r) and r/(1 + r).
    by_ratio = {
        "vp": (-ratio / np.hypot(1, ratio) ** 3, 1 / np.hypot(1, ratio) ** 3),
        "ve": (np.zeros(3), np.ones(3)),
        "flow": (-1 / (1 + ratio) ** 2, 1 / (1 + ratio) ** 2),
    }[kind]
    s = Schedule.from_log_snr(LOG_SNR, kind=kind)
    slopes = scale_slopes(kind, s.alpha, s.sigma)
    np.testing.assert_allclose(slopes, np.array(by_ratio) * -ratio / 2, rtol=1e-14)


def test_timesteps_change_as_the_stretch_of_the_curve_where_the_point_lies() -> None:
    log_snr = BASE.to_log_snr()
    between = 1 / np.diff(log_snr)
    np.testing.assert_allclose(timestep_slopes(BASE), [*between, between[-1]], rtol=1e-12)
    chosen = BASE.subsample(steps=4, spacing="log_snr")
    places = np.floor(chosen.timesteps[1:3]).astype(int)
    np.testing.assert_allclose(timestep_slopes(chosen)[1:3], between[places], rtol=1e-12)
    rounded = BASE.subsample(steps=4, spacing="log_snr", rounded=True)
    assert not timestep_slopes(rounded)[1:3].any()
    assert not timestep_slopes(BASE.rescale_zero_terminal_snr())[-1]
    assert not timestep_slopes(BASE[:1]).any()


@pytest.mark.parametrize("rule", ["sigma", "log_sigma/4", "flow_time", "1000 flow_time"])
def test_timesteps_that_follow_from_the_noise_change_with_it(rule: str) -> None:
    def at(log_snr: np.ndarray) -> np.ndarray:
        return Schedule.from_log_snr(log_snr, timesteps=rule).timesteps

    exact = (at(LOG_SNR + 1e-5) - at(LOG_SNR - 1e-5)) / 2e-5
    slopes = timestep_slopes(Schedule.from_log_snr(LOG_SNR, timesteps=rule))
    np.testing.assert_allclose(slopes, exact, rtol=1e-8)


def test_a_function_of_ones_own_is_differentiated() -> None:
    s = Schedule.from_log_snr(LOG_SNR, timesteps=lambda alpha, sigma: np.log(sigma) ** 2)
    # d log sigma / d log-SNR is -alpha²/2.
    np.testing.assert_allclose(timestep_slopes(s), -np.log(s.sigma) * s.alpha**2, rtol=1e-8)


def test_at_pure_noise_a_flow_stands_still() -> None:
    assert timestep_slopes(Schedule.flow(4))[-1] == 0
