"""Which points are kept: counts, ends, and the indices of other people's code."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule
from tests.bad_input import KARRAS, LINEAR, ZERO_SNR, check_named
from tests.registry.schedules import has_signal, on_every_schedule

INDEX_SPACINGS = ["leading", "trailing", "linspace", "quadratic", "simple", "ddim_uniform"]
NOISE_SPACINGS = ["log_snr", "exponential", "karras", "kl_optimal"]
if importlib.util.find_spec("scipy"):
    INDEX_SPACINGS.append("beta_timesteps")
    NOISE_SPACINGS.append("beta")
BASE = Schedule.linear(1000)


@pytest.mark.parametrize("spacing", INDEX_SPACINGS)
def test_n_requested_is_n_returned(spacing: str) -> None:
    for n in (1, 2, 3, 10, 97, 100):
        base = Schedule.linear(n)
        for steps in range(1, n + 1):
            kept = base.subsample(steps=steps, spacing=spacing).timesteps
            assert len(kept) == steps
            assert (np.diff(kept) > 0).all()
            assert 0 <= kept[0] <= kept[-1] < n


def test_every_count_of_1000() -> None:
    for steps in range(1, 1001):
        trailing = BASE.subsample(steps=steps, spacing="trailing").timesteps
        assert len(trailing) == steps
        assert trailing[-1] == 999
        published = np.round(np.arange(1000, 0, -1000 / steps)).astype(int) - 1
        if len(published) == steps:
            np.testing.assert_array_equal(trailing, published[::-1])
        assert BASE.subsample(steps=steps).timesteps.tolist() == trailing.tolist()
        leading = BASE.subsample(steps=steps, spacing="leading").timesteps
        assert leading.tolist() == [i * (1000 // steps) for i in range(steps)]
        linspace = BASE.subsample(steps=steps, spacing="linspace").timesteps
        np.testing.assert_array_equal(linspace, np.round(np.linspace(0, 999, steps)))


def test_spacings_by_hand() -> None:
    def kept(spacing: str, **options: int) -> list[int]:
        return list(BASE.subsample(steps=5, spacing=spacing, **options).timesteps.tolist())

    assert kept("leading") == [0, 200, 400, 600, 800]
    assert kept("leading", offset=1) == [1, 201, 401, 601, 801]
    assert kept("leading", offset=199) == [199, 399, 599, 799, 999]
    assert kept("trailing") == [199, 399, 599, 799, 999]
    assert kept("linspace") == [0, 250, 500, 749, 999]
    assert kept("quadratic") == [0, 62, 249, 561, 999]
    assert Schedule.linear(10).subsample(steps=4, spacing="trailing").timesteps.tolist() == (
        [1, 4, 7, 9]  # 2.5 and 7.5 round half to even, to 2 and 8
    )
    assert Schedule.linear(6).subsample(steps=5, spacing="quadratic").timesteps.tolist() == (
        [0, 1, 2, 3, 5]  # floor(5 i²/16) is 0, 0, 1, 2, 5
    )


def test_every_and_strides() -> None:
    assert BASE.subsample(every=10) == BASE[::10]
    assert BASE.subsample(steps=100, spacing="leading") == BASE[::10]
    assert BASE.subsample(every=1000).timesteps.tolist() == [0]
    assert BASE.subsample(every=333).timesteps.tolist() == [0, 333, 666, 999]


def wide(schedule: Schedule) -> bool:
    """Whether there are a hundred noise levels that differ: not on a path of betas of 1e-12."""
    log_snr = schedule.to_log_snr()
    return has_signal(schedule) and bool(log_snr[0] - log_snr[-1] > 1e-6)


@pytest.mark.parametrize("spacing", NOISE_SPACINGS)
@on_every_schedule((2, 30), wide)
def test_noise_spacings_keep_the_ends_and_the_number(schedule: Schedule, spacing: str) -> None:
    rising = bool((np.diff(schedule.timesteps) > 0).all())
    for steps in (1, 2, 5, 100):
        fast = schedule.subsample(steps=steps, spacing=spacing)
        assert len(fast) == steps
        assert fast[-1].log_snr == schedule[-1].log_snr
        if steps > 1:
            assert fast[0].log_snr == schedule[0].log_snr
        assert (np.diff(fast.to_log_snr()) < 0).all()
        assert (np.diff(fast.timesteps) > 0).all() or not rising


def test_noise_spacings_are_what_their_papers_say() -> None:
    low, high = BASE.to_sigmas()[[0, -1]]
    u = np.linspace(0, 1, 9)
    grids = {
        "log_snr": np.exp(np.log(low) + u * (np.log(high) - np.log(low))),
        "exponential": np.exp(np.log(low) + u * (np.log(high) - np.log(low))),
        "karras": (low ** (1 / 7) + u * (high ** (1 / 7) - low ** (1 / 7))) ** 7,
    }
    for spacing, expected in grids.items():
        fast = BASE.subsample(steps=9, spacing=spacing)
        np.testing.assert_allclose(fast.to_sigmas(), expected, rtol=1e-12)
        # Each lies where its timestep says, on the line between its neighbours.
        for point in fast:
            assert point.log_snr == pytest.approx(BASE.at(point.timestep).log_snr, abs=1e-11)
        rounded = BASE.subsample(steps=9, spacing=spacing, rounded=True)
        assert rounded.timesteps.dtype == np.int64
        np.testing.assert_array_equal(rounded.to_sigmas(), fast.to_sigmas())
        assert (np.abs(rounded.timesteps - fast.timesteps) <= 0.5 + 1e-9).all()


@pytest.mark.skipif("beta" not in NOISE_SPACINGS, reason="SciPy is not installed")
def test_beta_spacing_is_the_quantile_function() -> None:
    from scipy.stats import beta

    low, high = BASE.to_sigmas()[[0, -1]]
    expected = low + beta.ppf(np.linspace(0, 1, 12), 0.6, 0.6) * (high - low)
    fast = BASE.subsample(steps=12, spacing="beta")
    np.testing.assert_allclose(fast.to_sigmas(), expected, rtol=1e-12)


def test_rounded_timesteps_may_repeat_and_points_are_still_apart() -> None:
    rounded = BASE.subsample(steps=100, spacing="karras", rounded=True)
    assert len(rounded) == 100
    assert (np.diff(rounded.timesteps) == 0).any()
    assert (np.diff(rounded.to_sigmas()) > 0).all()
    assert set(rounded.timesteps.tolist()) <= set(BASE.timesteps.tolist())


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "every 0": (lambda: LINEAR.subsample(every=0), ValueError, ["every", "0"]),
    "every < 0": (lambda: LINEAR.subsample(every=-2), ValueError, ["every", "-2"]),
    "every > N": (lambda: LINEAR.subsample(every=11), ValueError, ["every", "10", "11"]),
    "every float": (lambda: LINEAR.subsample(every=2.5), TypeError, ["every", "2.5"]),
    "two ways": (
        lambda: LINEAR.subsample(every=2, steps=5),
        ValueError,
        ["one way", "every, steps"],
    ),
    "no points by noise": (
        lambda: LINEAR[:0].subsample(steps=2, spacing="karras"),
        ValueError,
        ["empty schedule"],
    ),
    "no points by sigmas": (
        lambda: LINEAR[:0].subsample(sigmas=[1.0, 2.0]),
        ValueError,
        ["empty schedule"],
    ),
    "no way": (lambda: LINEAR.subsample(), ValueError, ["one way", "subsample(steps=20)", "none"]),
    "a number alone": (
        lambda: LINEAR.subsample(4),  # type: ignore[call-arg]
        TypeError,
        ["by name", "steps=4 keeps 4 points", "every=4 those at 0, 4, 8, ...", "got 4"],
    ),
    "a list alone": (
        lambda: LINEAR.subsample([0, 4]),  # type: ignore[call-arg]
        TypeError,
        ["by name", "indices=", "timesteps=", "got [0, 4]"],
    ),
    "spacing without steps": (
        lambda: LINEAR.subsample(spacing="karras"),
        ValueError,
        ["spacing", "give steps="],
    ),
    "spacing alone": (
        lambda: LINEAR.subsample(every=2, spacing="leading"),
        ValueError,
        ["spacing", "every="],
    ),
    "steps 0": (lambda: LINEAR.subsample(steps=0), ValueError, ["steps", "0"]),
    "steps > N": (lambda: LINEAR.subsample(steps=11), ValueError, ["steps", "10", "11"]),
    "spacing unknown": (
        lambda: LINEAR.subsample(steps=5, spacing="random"),
        ValueError,
        ["spacing", "'random'", "'leading'", "'karras'"],
    ),
    "offset too far": (
        lambda: LINEAR.subsample(steps=10, spacing="leading", offset=1),
        ValueError,
        ["offset", "1", "0 to 9"],
    ),
    "offset alone": (
        lambda: LINEAR.subsample(steps=5, offset=1),
        ValueError,
        ["offset", "without a spacing", "spacing='leading'"],
    ),
    "offset, trailing": (
        lambda: LINEAR.subsample(steps=5, spacing="trailing", offset=1),
        ValueError,
        ["offset", "'trailing'"],
    ),
    "rounded, leading": (
        lambda: LINEAR.subsample(steps=5, spacing="leading", rounded=True),
        ValueError,
        ["rounded", "'leading'"],
    ),
    "rounded, continuous": (
        lambda: KARRAS.subsample(steps=5, spacing="log_snr", rounded=True),
        ValueError,
        ["rounded", "noise levels"],
    ),
    "noise spacing at zero SNR": (
        lambda: ZERO_SNR.subsample(steps=5, spacing="karras"),
        ValueError,
        ["point 9", "zero signal", "schedule[:9]"],
    ),
    "no room between points": (
        lambda: Schedule.from_betas([0.9] * 10 + [1e-28] * 10)[10:].subsample(
            steps=5000, spacing="karras"
        ),
        ValueError,
        ["5000", "float64"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
