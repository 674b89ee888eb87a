"""The explorer's data have the network that is said to be perfect, and its notebook runs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schedalg import Schedule

FOLDER = Path(__file__).parents[1] / "docs" / "examples" / "explorer"


@pytest.fixture
def _beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.usefixtures("_beside_it")
def test_the_network_returns_the_mean_of_the_data_given_x() -> None:
    mixture = importlib.import_module("mixture")
    side = np.linspace(-2, 2, 161)  # on which sums of such functions are integrals, to rounding
    x0 = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    away = ((x0[:, None] - mixture.centers()) ** 2).sum(-1)
    density = np.exp(-away / (2 * mixture.WIDTH**2)).sum(1)
    x = np.array([[0.3, -0.2], [1.5, 0.1], [0.0, 0.9]])
    for schedule in (Schedule.cosine(10), Schedule.flow(10)):
        for t in schedule[2:10:3]:
            likely = (
                np.exp(-((x[:, None] - t.alpha * x0) ** 2).sum(-1) / (2 * t.sigma**2)) * density
            )
            expected = likely @ x0 / likely.sum(1, keepdims=True)
            np.testing.assert_allclose(mixture.prediction(x, t), expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("_beside_it")
def test_the_energy_distance_of_two_points_is_twice_their_distance() -> None:
    mixture = importlib.import_module("mixture")
    one, other = np.array([[1.0, 2.0]]), np.array([[4.0, 6.0]])
    assert mixture.distance(one, other) == 10
    samples = mixture.data(20, np.random.default_rng(0))
    assert mixture.distance(samples, samples[::-1]) == pytest.approx(0, abs=1e-15)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("marimo", "matplotlib"))),
    reason="the notebook's packages are not installed",
)
def test_the_notebook_runs() -> None:
    command = [sys.executable, str(FOLDER / "explorer.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
