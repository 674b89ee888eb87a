"""The variance of samples, for every method with noise."""

import numpy as np
import pytest

from schedalg import Denoiser, Schedule
from tests.registry.references import StepDDIM, StepDDPM
from tests.running.few import EVERY_STEPPER, exact_network


def variance_after(
    schedule: Schedule, sampler: StepDDIM | StepDDPM, spread: float, start: float
) -> list[float]:
    """Return the variance of x after each step, without a random draw.

    The optimal network for Gaussian data of mean 0 is linear, and so is each step, x_s = a x + c z:
    the variance goes to a² v + c². a and c are read off the step itself.
    """
    model = exact_network(schedule, 0.0, spread)
    denoise = Denoiser(model, schedule, "x0")
    points = [schedule.origin, *schedule]
    variances = [start]
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    state = sampler.init(one, schedule)
    for k in range(len(schedule), 0, -1):
        t, s = points[k], points[k - 1]
        a = sampler.step(one, t, s, denoise, np.zeros_like, state)[0].item()
        c = sampler.step(zero, t, s, denoise, np.ones_like, state)[0].item()
        variances.append(a**2 * variances[-1] + c**2)
    return variances


ANY_SUBSET = [0, 3, 7, 50, 51, 300, 640, 999]


@pytest.mark.parametrize(
    "sampler", [StepDDPM(), StepDDIM(), StepDDIM(0.3), StepDDIM(0.5), StepDDIM(1.0)]
)
@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_the_variance_is_exact_for_data_that_are_a_point(
    sampler: StepDDIM | StepDDPM, kind: str
) -> None:
    """x_k ~ N(alpha x0, sigma²) at every step, with few steps too, as DDIM was derived for."""
    base = Schedule.linear(1000)[ANY_SUBSET]
    schedule = Schedule.from_log_snr(base.to_log_snr(), kind=kind)
    start = float(schedule.sigma[-1]) ** 2
    variances = variance_after(schedule, sampler, 0.0, start)
    expected = [*(schedule.sigma[::-1] ** 2), 0.0]
    np.testing.assert_allclose(variances, expected, rtol=1e-12, atol=1e-30)


def test_the_large_variance_is_exact_for_data_of_unit_variance() -> None:
    schedule = Schedule.linear(1000)[ANY_SUBSET][1:]
    variances = variance_after(schedule, StepDDPM("fixed_large"), 1.0, 1.0)
    np.testing.assert_allclose(variances, 1.0, rtol=1e-13)


@EVERY_STEPPER
def test_the_variance_of_gaussian_data_is_reached_as_steps_grow(
    sampler: StepDDIM | StepDDPM,
) -> None:
    spread = 0.5
    errors = []
    for steps in (100, 200, 400, 800):
        schedule = Schedule.from_log_snr(np.linspace(9, -9, steps + 1))[1:]
        start = float(schedule.alpha[-1] ** 2 * spread**2 + schedule.sigma[-1] ** 2)
        origin = schedule.origin
        expected = origin.alpha**2 * spread**2 + origin.sigma**2
        variances = variance_after(schedule, sampler, spread, start)
        errors.append(abs(variances[-1] / expected - 1))
    assert errors[-1] < 0.02
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 2, atol=0.2)  # an error of first order in the step
