"""Training: noisy data and targets by their formulas, and what is said of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Parameterization, Schedule, edm
from schedalg.parameterization import PARAMETERIZATIONS
from tests.bad_input import LINEAR, X, check_named
from tests.libraries import Library, host, lib

__all__ = ["lib"]

RNG = np.random.default_rng(6)
X0, EPS = RNG.standard_normal((2, 5, 2, 3))
K = np.array([19, 0, 7, 7, 3])
#: Positions of each sample's two frames, and of every element.
FRAMES = np.stack([K, K[::-1]], axis=1)
ELEMENTS = RNG.integers(0, 20, X0.shape)
SCHEDULES = {
    "vp": Schedule.cosine(20),
    "ve": Schedule.karras(20),
    "flow": Schedule.flow(20),
    "moved": Schedule.linear(20).as_flow(),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("k", [K, 7], ids=["array", "int"])
def test_noisy_data_and_targets_follow_their_formulas(lib: Library, name: str, k: Any) -> None:
    s = SCHEDULES[name]
    x0, noise = lib.array(X0), lib.array(EPS)
    position = k if isinstance(k, int) else lib.array(k)
    near: dict[str, Any] = {"rtol": 2e-6, "atol": 2e-5} if lib.widest == "float32" else {}
    near = near or {"rtol": 1e-13, "atol": 1e-13}
    shape = (-1, 1, 1)
    alpha, sigma = (np.reshape(scale[k], shape) for scale in (s.alpha, s.sigma))
    noisy = s.add_noise(x0, noise, position)
    assert lib.is_mine(noisy)
    np.testing.assert_allclose(host(noisy), alpha * X0 + sigma * EPS, **near)
    network = {"vp": s.as_vp, "ve": s.as_ve, "flow": s.as_flow}[s.network_kind]()
    alpha, sigma = (np.reshape(scale[k], shape) for scale in (network.alpha, network.sigma))
    r = np.sqrt(sigma**2 + alpha**2 / 4)
    expected = {
        "epsilon": EPS,
        "x0": X0,
        "v": alpha * EPS - sigma * X0,
        "flow": EPS - X0,
        "score": -EPS / sigma,
        "edm": 2 * sigma / r * X0 - alpha / (2 * r) * EPS,
    }
    assert set(expected) == set(PARAMETERIZATIONS)
    for prediction in PARAMETERIZATIONS:
        target = s.target(x0, noise, position, prediction)
        assert target.dtype == x0.dtype
        np.testing.assert_allclose(host(target), expected[prediction], **near)
    of_edm = s.target(x0, noise, position, edm(0.5))
    np.testing.assert_allclose(host(of_edm), expected["edm"], **near)


@pytest.mark.parametrize("k", [FRAMES, ELEMENTS], ids=["frames", "elements"])
def test_positions_of_frames_are_those_of_samples(lib: Library, k: np.ndarray) -> None:
    """A frame with a position of its own is what it is as a sample."""
    s, position = SCHEDULES["moved"], lib.array(k)
    flat = (k.size, -1)
    x0, noise, each = lib.array(X0), lib.array(EPS), lib.array(k.reshape(-1))
    alone = lib.array(X0.reshape(flat)), lib.array(EPS.reshape(flat)), each
    noisy, expected = s.add_noise(x0, noise, position), s.add_noise(*alone)
    np.testing.assert_array_equal(host(noisy).reshape(flat), host(expected))
    for prediction in ("v", edm(0.5)):
        target, expected = s.target(x0, noise, position, prediction), s.target(*alone, prediction)
        np.testing.assert_array_equal(host(target).reshape(flat), host(expected))


def test_functions_of_a_parameterization_are_called_every_time() -> None:
    factor = 1.0
    own = Parameterization(lambda a, s: 0.0 * a, lambda a, s: 1.0 / a, weights=None)
    mine = Parameterization(own.c_x, own.c_out, weights=lambda a, s: (factor * a, 0.0))
    alpha = LINEAR.alpha[[3, 1]][:, None]
    for factor in (1.0, 2.0):
        result = LINEAR.target(X, X, np.array([3, 1]), mine)
        np.testing.assert_allclose(result, factor * alpha * X, rtol=1e-14)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "k out of range": (
        lambda: LINEAR.add_noise(X, X, np.array([0, 10])),
        ValueError,
        ["k[1]", "10", "0 to 9"],
    ),
    "k negative of a sample": (
        lambda: LINEAR.add_noise(X, X, np.array([3, -1])),
        ValueError,
        ["k[1] is -1", "0 to 9"],
    ),
    "k negative": (
        lambda: LINEAR.add_noise(X, X, -1),
        ValueError,
        ["k is -1", "0 to 9", "9 is the noisiest", "strength"],
    ),
    "k negative of a target": (
        lambda: LINEAR.target(X, X, np.int64(-1)),
        ValueError,
        ["k is -1", "0 to 9", "9 is the noisiest"],
    ),
    "k float": (lambda: LINEAR.add_noise(X, X, 1.0), TypeError, ["k", "integers"]),
    "k too many": (lambda: LINEAR.add_noise(X, X, np.arange(3)), ValueError, ["k", "2", "(3,)"]),
    "k of other frames": (
        lambda: LINEAR.add_noise(X, X, np.zeros((2, 2), int)),
        ValueError,
        ["k", "(2, 3)", "(2, 2)"],
    ),
    "k of more dimensions": (
        lambda: LINEAR.target(X, X, np.zeros((2, 3, 1), int)),
        ValueError,
        ["k", "(2, 3)", "(2, 3, 1)"],
    ),
    "k out of range of a frame": (
        lambda: LINEAR.add_noise(X, X, np.array([[0, 1, 2], [3, 11, 4]])),
        ValueError,
        ["k[1, 1] is 11", "0 to 9"],
    ),
    "noise shape": (
        lambda: LINEAR.add_noise(X, X[:1], 0),
        ValueError,
        ["noise", "(2, 3)", "(1, 3)"],
    ),
    "noise dtype": (
        lambda: LINEAR.add_noise(X, X.astype(np.float32), 0),
        ValueError,
        ["noise", "float64", "float32"],
    ),
    "x0 integer": (
        lambda: LINEAR.add_noise(X.astype(int), X.astype(int), 0),
        TypeError,
        ["x0", "int64"],
    ),
    "target unknown": (
        lambda: LINEAR.target(X, X, 0, "noise"),
        ValueError,
        ["prediction", "'noise'", "'epsilon'"],
    ),
    "x0 0-D": (lambda: LINEAR.add_noise(np.array(1.0), np.array(1.0), 0), ValueError, ["x0", "()"]),
    "noise None": (lambda: LINEAR.add_noise(X, None, 0), TypeError, ["noise", "NoneType"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
