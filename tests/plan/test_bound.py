"""How far errors move a result: against runs whose predictions are off as far as they may be."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Denoiser, DPMSolverPP, Schedule, UniPC, run
from tests.bad_input import LINEAR, check_named

PATH = Schedule.linear(1000).subsample(steps=7, spacing="log_snr")[1:]


def assumed(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return 0.02 * sigma / (alpha + sigma)


@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP(order=2), UniPC(order=2)])
def test_the_bound_is_reached_where_all_errors_add_up(sampler: Any) -> None:
    plan = sampler.plan(PATH)
    signs = iter(np.sign(plan.weights().predictions))

    def off(x: Any, t: Any) -> Any:
        return x0 + next(signs) * assumed(np.array(t.alpha), np.array(t.sigma))

    x0, x = np.array([[0.3]]), np.array([[1.2]])
    exact = run(plan, Denoiser.from_function(lambda x, t: x0, PATH), x)
    moved = run(plan, Denoiser.from_function(off, PATH), x)
    np.testing.assert_allclose(moved - exact, plan.error_bound(assumed), rtol=1e-12)


def test_an_error_of_epsilon_is_assumed_where_none_is_given() -> None:
    plan = DPMSolverPP(order=2).plan(PATH)
    assert plan.error_bound() == plan.error_bound(lambda alpha, sigma: sigma / alpha)
    # The last step returns the last prediction: sigma / alpha of the least noisy point.
    assert DDIM().plan(LINEAR).error_bound() == pytest.approx(LINEAR.to_sigmas()[0], rel=1e-14)


def test_bad_input_is_named() -> None:
    plan = DDIM().plan(LINEAR)
    check_named(lambda: plan.error_bound(0.1), TypeError, ["error", "float"])
    check_named(
        lambda: plan.error_bound(lambda alpha, sigma: sigma[:3]), ValueError, ["error", "(10,)"]
    )
