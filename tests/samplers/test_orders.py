"""The declared order of a sampler is the measured one."""

from typing import Any

import numpy as np
import pytest

from schedalg import (
    IPNDM,
    LMS,
    PNDM,
    DPMSolverPP,
    Euler,
    Heun,
    Midpoint,
    Plan,
    Schedule,
    Steps,
    sample,
)
from schedalg.testing import Mixture, check_order, measured_order
from tests.registry.samplers import SAMPLERS, Entry

NOISE_FREE = pytest.mark.parametrize(
    "entry", [pytest.param(e, id=name) for name, e in SAMPLERS.items() if e.order is not None]
)

#: Two sharp peaks, unlike the Gaussian that orders are measured with.
PEAKS = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])


@NOISE_FREE
@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_the_declared_order_is_measured(entry: Entry, kind: Any) -> None:
    if isinstance(entry.sampler, Midpoint):
        pytest.skip("of order 3 on a Gaussian: see the test below")
    assert entry.order is not None
    counts: tuple[int, ...] = (180, 360, 720)
    # Order 4 with fewer steps: with more, rounding and the first steps of lower order matter.
    if entry.order == 4:
        counts = (90, 180, 360) if kind == "flow" else (180, 360)
    check_order(entry.sampler, entry.order, kind=kind, counts=counts)


def test_the_midpoint_method_is_of_order_2_on_a_mixture() -> None:
    """For a Gaussian, x = sqrt(tau² + s²), its leading error x'''/24 + f_x x''/8 is 0."""
    assert measured_order(Midpoint()) == pytest.approx(3, abs=0.1)
    check_order(Midpoint(), 2, PEAKS)


@NOISE_FREE
def test_the_order_holds_for_two_peaks(entry: Entry) -> None:
    assert entry.order is not None
    measured = measured_order(entry.sampler, PEAKS, counts=(180, 360))
    assert entry.order - 0.15 < measured < entry.order + 0.35


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(("sampler", "order"), [(Euler(), 1), (Heun(), 2), (LMS(order=2), 2)])
def test_flow_matching_from_pure_noise_to_clean_data(
    sampler: Any, order: int, shift: float
) -> None:
    """On the whole path, with both ends: x0 = mean + spread x, for standard normal x."""
    data = Mixture([0.7], [0.4])
    x = np.array([[-1.3, 0.2, 0.9, 2.0]])
    errors = []
    for steps in (400, 800, 1600):
        schedule = Schedule.flow(steps, shift=shift)
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        errors.append(np.abs(result - (0.7 + 0.4 * x)).max())
    measured = -np.polyfit(np.log([400, 800, 1600]), np.log(errors), 1)[0]
    assert measured == pytest.approx(order, abs=0.15)


def test_3m_with_half_the_second_difference_is_of_order_2() -> None:
    """That is the authors' code; with the whole second difference, the method is of order 3."""

    class Half:
        def plan(self, schedule: Schedule) -> Plan:
            third = DPMSolverPP(order=3).plan(schedule)
            steps = Steps.of(schedule)
            h = np.where(steps.finite, steps.h, 1.0)
            # x0[now, before, before that], and its half weight: h² times the integral of u²/2.
            h1, h2 = np.append(1.0, h[:-1]), np.append([1.0, 1.0], h[:-2])
            difference = np.stack([1 / h1, -1 / h1 - 1 / h2, 1 / h2], axis=1) / (h1 + h2)[:, None]
            integral = h**2 - 2 * h + 2 * steps.rise
            half = third.b - steps.alpha_s[:, None] * (integral / 2)[:, None] * difference
            half[:2], half[~steps.finite] = third.b[:2], third.b[~steps.finite]
            return Plan.of(schedule, a=third.a, b=half)

    assert measured_order(Half()) == pytest.approx(2, abs=0.1)
    assert measured_order(DPMSolverPP(order=3)) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_even_weights_are_of_full_order_on_even_steps(order: int) -> None:
    """There the weights for uneven steps are the same."""

    def image(sampler: Any, steps: int) -> float:
        schedule = Schedule.from_sigmas(np.linspace(0.5, 30, steps + 1))[1:]
        s, t = schedule.origin, schedule[-1]
        data = Mixture([0.7], [2.0])
        x = np.array([[24.0]])
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        return abs((result - data.flow(x, t, s)).item())

    sampler = IPNDM(order=order)
    errors = [image(sampler, steps) for steps in (400, 800, 1600)]
    measured = -np.polyfit(np.log([400, 800, 1600]), np.log(errors), 1)[0]
    assert measured == pytest.approx(order, abs=0.15)
    even = Schedule.from_sigmas(np.linspace(0.5, 30, 20))
    np.testing.assert_allclose(
        sampler.plan(even).b[:-1], LMS(order=order).plan(even).b[:-1], atol=1e-10
    )
    if order == 4:
        errors = [image(PNDM(), steps) for steps in (400, 800, 1600)]
        measured = -np.polyfit(np.log([400, 800, 1600]), np.log(errors), 1)[0]
        assert measured > 3.85
