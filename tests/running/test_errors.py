"""The errors of networks: exact where they can be, within standard errors elsewhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Denoiser, Schedule, network_errors
from schedalg.testing import Mixture
from tests.bad_input import LINEAR, check_named
from tests.libraries import Library, lib
from tests.schedule.test_errors import gaussian_errors

__all__ = ["lib"]

BASE = Schedule.linear(1000)
FEW = BASE[[3, 100, 400, 999]]
DATA = np.random.default_rng(0).standard_normal((30, 4, 5)) * 0.5


def nothing(x: Any, timesteps: Any) -> Any:
    return 0 * x


def network(x: Any, timesteps: Any) -> Any:
    return 0.7 * x + 0.1 * x**3 / (1 + x**2)


def test_the_error_of_predicting_nothing_is_the_data_itself() -> None:
    errors, spread = network_errors(nothing, FEW, DATA, prediction="x0", standard_error=True)
    each = (DATA**2).mean(axis=(1, 2))
    np.testing.assert_allclose(errors, each.mean(), rtol=1e-14)
    np.testing.assert_allclose(spread, each.std(ddof=1) / 30**0.5, rtol=1e-13)


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_errors_of_gaussian_data_are_the_known_ones(kind: str) -> None:
    schedule = Schedule.from_log_snr(FEW.to_log_snr(), kind=kind)
    data = np.random.default_rng(1).standard_normal((400, 20)) * 0.5
    denoise = Mixture([0.0], [0.5]).denoiser(schedule)
    errors, spread = network_errors(denoise, schedule, data, draws=2, standard_error=True)
    assert (np.abs(errors - gaussian_errors(schedule, 0.25)) < 4 * spread).all()
    assert (spread < 0.03 * errors).all()


@pytest.mark.parametrize("size", [1e25, 1e-25])
def test_squares_may_leave_the_range_of_float32(size: float) -> None:
    schedule, x0 = Schedule.linear(3), np.zeros((2, 4), dtype=np.float32)
    given = np.float32(size)

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.full_like(x, given)

    errors = network_errors(model, schedule, x0, seed=1, prediction="x0")
    np.testing.assert_allclose(errors, float(given) ** 2, rtol=1e-15)


def test_errors_of_a_subset_are_those_at_its_points_in_any_batch_and_scale() -> None:
    errors = network_errors(network, FEW, DATA)
    kept = [0, 2]
    np.testing.assert_array_equal(network_errors(network, FEW[kept], DATA), errors[kept])
    np.testing.assert_allclose(network_errors(network, FEW, DATA, batch=7), errors, rtol=1e-13)
    np.testing.assert_allclose(network_errors(network, FEW.as_flow(), DATA), errors, rtol=1e-9)
    first = network_errors(network, FEW, DATA[:10], seed=5)
    rest = [network_errors(network, FEW, DATA[i : i + 1], seed=5 + (i << 64)) for i in range(10)]
    np.testing.assert_allclose(first, np.mean(rest, axis=0), rtol=1e-12)


def test_errors_follow_from_the_losses_of_the_same_noise() -> None:
    passed: list[np.ndarray] = []

    def recorded(x: Any, timesteps: Any) -> Any:
        passed.append(x)
        return network(x, timesteps)

    errors = network_errors(recorded, FEW, DATA, prediction="v")
    losses = []
    for k, (x, point) in enumerate(zip(passed, FEW, strict=True)):
        noise = (x - point.alpha * DATA) / point.sigma
        target = FEW.target(DATA, noise, k, "v")
        losses.append(((target - network(x, None)) ** 2).mean())
        assert abs(noise.mean()) < 0.2
        assert abs(noise.std() - 1) < 0.2
    np.testing.assert_allclose(errors, FEW.errors_from_losses(losses, "v"), rtol=1e-9)


def test_draws_and_seeds_have_noise_of_their_own() -> None:
    passed: list[np.ndarray] = []

    def recorded(x: Any, timesteps: Any) -> Any:
        passed.append(x)
        return x

    network_errors(recorded, FEW[:1], DATA, draws=3)
    network_errors(recorded, FEW[:1], DATA, seed=1)
    assert len(passed) == 4
    assert len({x.tobytes() for x in passed}) == 4


def test_a_denoiser_and_keywords_are_taken() -> None:
    def shifted(x: Any, timesteps: Any, by: float) -> Any:
        return 0 * x + by

    errors = network_errors(shifted, FEW, DATA, prediction="x0", by=2.0)
    np.testing.assert_allclose(errors, ((DATA - 2) ** 2).mean(), rtol=1e-13)
    denoise = Denoiser(shifted, FEW, "x0", clip=(-1, 1), model_kwargs={"by": 2.0})
    np.testing.assert_allclose(
        network_errors(denoise, FEW, DATA), ((DATA - 1) ** 2).mean(), rtol=1e-13
    )


def test_arrays_of_any_library(lib: Library) -> None:
    expected = network_errors(network, FEW, DATA)
    for dtype in sorted({"float32", lib.widest}):
        errors = network_errors(network, FEW, lib.array(DATA, dtype))
        assert type(errors) is np.ndarray
        np.testing.assert_allclose(errors, expected, rtol=1e-4)


def test_a_schedule_of_no_points_has_no_errors() -> None:
    assert network_errors(network, FEW[:0], DATA).shape == (0,)


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    network_errors(network, FEW, DATA, progress=True)
    assert "4/4" in capsys.readouterr().err


def infinite(x: Any, timesteps: Any) -> Any:
    return x / 0.0 if timesteps[0] == 400 else x


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "no schedule": (lambda: network_errors(network, None, DATA), TypeError, ["schedule", "None"]),
    "no data": (lambda: network_errors(network, FEW, None), TypeError, ["data", "NoneType"]),
    "no data in it": (lambda: network_errors(network, FEW, DATA[:0]), ValueError, ["data", "(0,"]),
    "integers": (
        lambda: network_errors(network, FEW, DATA.astype(int)),
        TypeError,
        ["data", "int64"],
    ),
    "draws": (lambda: network_errors(network, FEW, DATA, draws=0), ValueError, ["draws", "0"]),
    "batch": (lambda: network_errors(network, FEW, DATA, batch=1.5), TypeError, ["batch", "1.5"]),
    "seed": (lambda: network_errors(network, FEW, DATA, seed=-1), ValueError, ["seed", "-1"]),
    "seed None": (lambda: network_errors(network, FEW, DATA, seed=None), TypeError, ["seed"]),
    "one datum": (
        lambda: network_errors(network, FEW, DATA[:1], standard_error=True),
        ValueError,
        ["standard error", "one"],
    ),
    "flag": (
        lambda: network_errors(network, FEW, DATA, standard_error=1),
        TypeError,
        ["standard_error", "1"],
    ),
    "another denoiser": (
        lambda: network_errors(Denoiser(network, LINEAR), FEW, DATA),
        ValueError,
        ["denoiser", "another schedule"],
    ),
    "infinite": (
        lambda: network_errors(infinite, FEW, DATA),
        ValueError,
        ["timestep 400", "point 2", "NaN, infinite or too large"],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
