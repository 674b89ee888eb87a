"""What a network is given in a row is what a run gives it there."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDPM, Schedule, begin, network_input
from tests.libraries import Library, host, lib

__all__ = ["lib"]

FEW = Schedule.linear(1000).subsample(steps=5)
X = np.random.default_rng(3).standard_normal((3, 2, 2))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


@pytest.mark.parametrize("schedule", [FEW, Schedule.karras(5), Schedule.flow(5)])
def test_the_network_is_given_what_a_run_gives_it(schedule: Schedule) -> None:
    plan = DDPM().plan(schedule)
    r, held = begin(plan, X, noise=1), []
    while not r.done:
        held.append((r.x, r.input, r.timesteps))
        model_input, timesteps = network_input(plan, r.row, r.x)
        np.testing.assert_array_equal(model_input, r.input)
        np.testing.assert_array_equal(timesteps, r.timesteps)
        assert timesteps.dtype == r.timesteps.dtype
        r.advance(network(r.input, r.timesteps))
    rows = [3, 0, 2]
    x, expected, known = (
        np.stack([held[k][part][i] for i, k in enumerate(rows)]) for part in range(3)
    )
    model_input, timesteps = network_input(plan, rows, x)
    np.testing.assert_array_equal(model_input, expected)
    np.testing.assert_array_equal(timesteps, known)
    assert timesteps.dtype == known.dtype


def test_the_input_of_any_library_is_that_of_a_run(lib: Library) -> None:
    for schedule in (FEW, Schedule.karras(5)):
        plan = DDPM().plan(schedule)
        r = begin(plan, lib.array(X), noise=1)
        for row in (0, [0, 0, 0]):
            model_input, timesteps = network_input(plan, row, r.x)
            np.testing.assert_allclose(host(model_input), host(r.input), rtol=1e-6)
            np.testing.assert_array_equal(host(timesteps), host(r.timesteps))
            assert timesteps.dtype == r.timesteps.dtype
