"""Errors with few steps, from which defaults follow; docs/few-steps.md has all of them."""

from typing import Any

import numpy as np
import pytest

from schedalg import DEIS, IPNDM, DPMSolver, DPMSolverPP, Schedule, UniPC, sample
from schedalg.testing import Mixture, variance_after

DATA = (
    Mixture([0.7], [0.5]),
    Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6]),
    Mixture([-1.0, 0.0, 1.0], [0.15, 0.15, 0.15]),
)
TRAINED = Schedule.scaled_linear(1000)


def error(sampler: Any, schedule: Schedule, sets: tuple[Mixture, ...] = DATA) -> float:
    """Return the geometric mean over data of the errors at the end of the path."""
    logs = []
    for data in sets:
        x = data.marginal_std(schedule[-1]) * np.linspace(-2, 2, 41)[None, :]
        exact = data.flow(x, schedule[-1], schedule.origin)
        result = sample(data.denoiser(schedule), schedule, sampler, x)
        logs.append(np.log(((result - exact) ** 2).mean()) / 2)
    return float(np.exp(np.mean(logs)))


def ratio(better: Any, worse: Any, schedules: list[Schedule]) -> float:
    """Return the geometric mean of the ratio of two samplers' errors."""
    ratios = [error(better, s) / error(worse, s) for s in schedules]
    return float(np.exp(np.log(ratios).mean()))


def grids(count: int) -> list[Schedule]:
    """Return paths of so many steps to clean data."""
    return [
        Schedule.karras(count),
        TRAINED.subsample(steps=count, spacing="karras"),
        TRAINED.subsample(steps=count, spacing="log_snr"),
        Schedule.flow(count),
    ]


def test_3m_is_better_than_its_exact_integral_with_few_steps() -> None:
    assert DPMSolverPP(order=3) == DPMSolverPP(order=3, exact=False)
    exact = DPMSolverPP(order=3, exact=True)
    for steps in (6, 10, 15, 20):
        karras = [Schedule.karras(steps), TRAINED.subsample(steps=steps, spacing="karras")]
        assert ratio(DPMSolverPP(order=3), exact, karras) < 0.95


def test_the_variance_of_sde_3m_with_20_karras_steps() -> None:
    """It is 0.6 % too large; with the exact integral it is 24 % too small."""
    data, schedule = Mixture([0.0], [0.5]), Schedule.karras(20)
    for exact, expected in ((False, 0.0063), (True, -0.238)):
        sampler = DPMSolverPP(order=3, eta=1.0, exact=exact)
        start = data.marginal_std(schedule[-1]) ** 2
        variance = variance_after(sampler, schedule, data.denoiser(schedule), start)
        assert variance / 0.25 - 1 == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("sampler", [DPMSolver, IPNDM])
def test_the_order_left_to_the_method_is_the_better_one(sampler: Any) -> None:
    other = sampler(order=2 if sampler is DPMSolver else 4)
    assert ratio(sampler(), other, [s for n in (8, 10, 15, 20) for s in grids(n)]) < 0.9
    two = Schedule.karras(2)
    assert sampler().plan(two) == sampler(order=2).plan(two)


@pytest.mark.parametrize(
    ("lowered", "plain"),
    [
        (DEIS(lower_order_final=True), DEIS()),
        (DPMSolver(lower_order_final=True), DPMSolver(order=2)),
        (DPMSolverPP(lower_order_final=True), DPMSolverPP()),
        (UniPC(order=3, lower_order_final=True), UniPC(order=3)),
    ],
)
def test_a_long_last_step_to_the_least_noise_wants_lower_order(lowered: Any, plain: Any) -> None:
    """From sigma 0.3 to 0.03, with sharp peaks. In the middle of a path, it does not."""
    sharp = DATA[2:]
    for steps in (10, 15):
        timesteps = np.round(np.arange(steps + 1) * 999 / steps).astype(int)
        to_sigma_min = TRAINED.subsample(timesteps=timesteps.tolist())[1:]
        assert error(lowered, to_sigma_min, sharp) < 0.8 * error(plain, to_sigma_min, sharp)
        half = Schedule.karras(2 * steps)[steps:]
        if not isinstance(plain, DPMSolver):
            assert error(plain, half) < 0.8 * error(lowered, half)


def test_lowering_the_last_order_changes_nothing_in_order_2_to_clean_data() -> None:
    for sampler in (DPMSolverPP, UniPC, DEIS):
        for schedule in grids(7):
            plain = sampler(order=2).plan(schedule)
            assert sampler(order=2, lower_order_final=True).plan(schedule) == plain
