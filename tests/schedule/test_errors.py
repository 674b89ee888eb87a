"""The errors of a network along a schedule: from losses, and at other noise levels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from schedalg import Denoiser, Parameterization, Schedule, edm
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.errors import host_log_alpha_bar
from schedalg.testing.strategies import schedules, subsets
from tests.bad_input import LINEAR, ZERO_SNR, check_named
from tests.libraries import Library, lib

__all__ = ["lib"]

mp.dps = 60
BASE = Schedule.linear(1000)


def exact_snr(levels: DoubleDouble) -> list[mpf]:
    """Return the SNRs of a schedule's points in 60 digits, from their log ᾱ."""
    alphas_cumprod = [
        mp.exp(mpf(float(high)) + mpf(float(low)))
        for high, low in zip(levels.high, levels.low, strict=True)
    ]
    return [a / (1 - a) if a < 1 else mp.inf for a in alphas_cumprod]


def gaussian_errors(schedule: Schedule, variance: float) -> np.ndarray:
    """Return the errors of the perfect network for data N(0, variance)."""
    return np.array(
        [float(variance / (1 + variance * snr)) for snr in exact_snr(host_log_alpha_bar(schedule))]
    )


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
@pytest.mark.parametrize(
    "prediction",
    [
        "epsilon",
        "x0",
        "v",
        "flow",
        "score",
        "edm",
        edm(0.7),
        Parameterization(lambda a, s: a, lambda a, s: s),
    ],
    ids=lambda prediction: prediction if isinstance(prediction, str) else "one of its own",
)
def test_the_error_of_a_wrong_output_is_what_its_loss_says(kind: str, prediction: Any) -> None:
    """An output that is off by d has the loss d², and its x0 is off by c_out d."""
    schedule = Schedule.from_log_snr([4.0, 1.0, -3.0], kind=kind)
    losses, x = np.array([0.5, 0.2, 0.1]), np.ones((1, 3))
    errors = schedule.errors_from_losses(losses, prediction)
    for k, point in enumerate(schedule):
        x0 = [
            Denoiser(lambda x, t, d=d: 0 * x + d, schedule, prediction)(x, point).item(0)
            for d in (0.0, losses[k] ** 0.5)
        ]
        np.testing.assert_allclose((x0[1] - x0[0]) ** 2, errors[k], rtol=1e-12)


def test_losses_are_read_in_the_scale_of_the_network() -> None:
    losses = np.linspace(0.9, 0.1, 10)
    for prediction in ("epsilon", "v"):
        np.testing.assert_array_equal(
            LINEAR.as_ve().errors_from_losses(losses, prediction),
            LINEAR.errors_from_losses(losses, prediction),
        )


@given(schedules(), st.data())
def test_errors_on_a_subset_are_those_at_its_points(base: Schedule, data: st.DataObject) -> None:
    errors = np.arange(len(base)) / 3
    kept = data.draw(subsets(len(base)))
    np.testing.assert_array_equal(base.errors_on(errors, base[kept]), errors[kept])
    first = int(kept[0])
    np.testing.assert_array_equal(base.errors_on(errors, base[first:]), errors[first:])


@pytest.mark.parametrize("variance", [0.01, 1.0, 30.0])
def test_errors_of_gaussian_data_are_exact_between_the_points(variance: float) -> None:
    few = BASE[[0, 10, 300, 999]]
    known = gaussian_errors(few, variance)
    for other in (BASE, BASE.as_flow(), BASE.subsample(steps=33, spacing="karras")):
        found = few.errors_on(known, other)
        np.testing.assert_allclose(found, gaussian_errors(other, variance), rtol=4e-15)


def test_errors_at_pure_noise_and_of_a_point_are_found_too() -> None:
    zero = BASE.rescale_zero_terminal_snr()
    np.testing.assert_allclose(
        zero[[0, 500, 999]].errors_on(gaussian_errors(zero, 0.5)[[0, 500, 999]], zero),
        gaussian_errors(zero, 0.5),
        rtol=4e-15,
    )
    np.testing.assert_array_equal(zero[[0, 999]].errors_on([0.0, 0.0], zero), 0)
    np.testing.assert_array_equal(zero[[0, 999]].errors_on([0.0, 1.0], zero)[:-1], 0)


def test_errors_lie_between_those_of_the_neighbours() -> None:
    few = BASE[[5, 400, 999]]
    found = few.errors_on([0.1, 0.7, 0.9], BASE[5:])
    assert (np.diff(found) > 0).all()


def test_arrays_of_any_library_are_taken(lib: Library) -> None:
    losses = lib.array(np.linspace(0.9, 0.1, 10), lib.widest)
    expected = LINEAR.errors_from_losses(np.linspace(0.9, 0.1, 10), "epsilon")
    found = LINEAR.errors_from_losses(losses, "epsilon")
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, expected, rtol=1e-6)


RISING = np.linspace(1e-5, 1, 10)

#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a loss whose error is beyond float64": (
        lambda: Schedule.from_log_snr([0.0, -600.0]).errors_from_losses([1.0, 1e200], "epsilon"),
        ValueError,
        ["losses[1]", "1e+200", "beyond float64"],
    ),
    "negative": (
        lambda: LINEAR.step_costs([*RISING[:9], -1.0]),
        ValueError,
        ["errors[9]", "-1.0", "at least 0"],
    ),
    "NaN": (lambda: LINEAR.step_costs([np.nan, *RISING[1:]]), ValueError, ["errors[0]", "nan"]),
    "infinite": (lambda: LINEAR.kl_costs([*RISING[:9], np.inf]), ValueError, ["errors[9]", "inf"]),
    "short": (lambda: LINEAR.step_costs(RISING[1:]), ValueError, ["errors", "10 points", "got 9"]),
    "words": (lambda: LINEAR.step_costs(["1"] * 10), TypeError, ["errors", "real numbers"]),
    "none": (lambda: LINEAR.step_costs(None), TypeError, ["errors", "NoneType"]),
    "two axes": (lambda: LINEAR.step_costs(np.ones((2, 10))), ValueError, ["errors", "(2, 10)"]),
    "a loss of epsilon": (
        lambda: LINEAR.step_costs(np.linspace(0.9, 0.01, 10)),
        ValueError,
        ["errors", "fall", "errors_from_losses(losses, 'epsilon')"],
    ),
    "negative loss": (
        lambda: LINEAR.errors_from_losses([*RISING[:9], -1.0], "v"),
        ValueError,
        ["losses[9]", "-1.0"],
    ),
    "losses short": (
        lambda: LINEAR.errors_from_losses(RISING[1:], "v"),
        ValueError,
        ["losses", "10 points", "got 9"],
    ),
    "no prediction": (
        lambda: LINEAR.errors_from_losses(RISING, "noise"),
        ValueError,
        ["prediction", "'noise'"],
    ),
    "epsilon at zero signal": (
        lambda: ZERO_SNR.errors_from_losses(RISING, "epsilon"),
        ValueError,
        ["losses[9]", "'epsilon'", "timestep 9"],
    ),
    "on nothing": (lambda: LINEAR.errors_on(RISING, None), TypeError, ["other", "NoneType"]),
    "outside": (
        lambda: LINEAR[:5].errors_on(RISING[:5], LINEAR),
        ValueError,
        ["point 5", "log-SNR", "covers"],
    ),
    "outside below": (
        lambda: LINEAR[3:].errors_on(RISING[3:], LINEAR),
        ValueError,
        ["point 0", "log-SNR", "covers"],
    ),
    "errors of nothing": (
        lambda: LINEAR[:0].errors_on([], LINEAR),
        ValueError,
        ["no point", "empty"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_small_losses_where_there_is_hardly_signal() -> None:
    """The factor squared, 1/SNR, is beyond float64; the error is not."""
    schedule = Schedule.from_log_snr([0.0, -1400.0])
    errors = schedule.errors_from_losses([1.0, 1e-320], "epsilon")
    exact = mpf(1e-320) * mp.exp(mpf(1400))
    np.testing.assert_allclose(errors, [1.0, float(exact)], rtol=1e-12)


def test_errors_that_fall_as_those_of_a_network_can_are_no_loss_of_epsilon() -> None:
    """On a short stretch, or where all errors are equal."""
    LINEAR.step_costs(np.full(10, 0.5))
    LINEAR.step_costs(np.linspace(1e-4, 0.9e-4, 10))
