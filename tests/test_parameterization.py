"""Parameterizations: every coefficient and every conversion against 60 digits."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from mpmath import mp, mpf

from schedalg import (
    DDIM,
    Denoiser,
    Heun,
    Parameterization,
    Point,
    Schedule,
    UniPC,
    convert,
    edm,
    sample,
)
from schedalg.parameterization import Prediction, parameterization
from schedalg.testing import check_parameterization
from tests.bad_input import LINEAR, ZERO_SNR, X, check_named, network, run
from tests.libraries import Library, host, lib

__all__ = ["lib"]


mp.dps = 60
NAMES = get_args(Prediction)
LEVELS = [
    (math.cos(angle), math.sin(angle)) for angle in (1e-4, 0.03, 0.5, 1.0, 1.5, math.pi / 2 - 1e-6)
] + [(1.0, sigma) for sigma in (1e-3, 0.4, 80.0, 1e5)]
LEVELS += [(1 - t, t) for t in (1e-3, 0.25, 0.75, 0.999)]


def exact(name: str, alpha: mpf, sigma: mpf, data: mpf) -> tuple[mpf, mpf, mpf]:
    """Return c_in, c_x, c_out from the definitions: x0 = (x - sigma eps) / alpha, and EDM's."""
    if name == "edm":
        level = sigma / alpha
        spread = mp.sqrt(level**2 + data**2)
        return 1 / (alpha * spread), data**2 / spread**2 / alpha, level * data / spread
    total = {"v": alpha**2 + sigma**2, "flow": alpha + sigma}.get(name, alpha)
    return {
        "epsilon": (mpf(1), 1 / total, -sigma / total),
        "x0": (mpf(1), mpf(0), mpf(1)),
        "v": (mpf(1), alpha / total, -sigma / total),
        "flow": (mpf(1), 1 / total, -sigma / total),
        "score": (mpf(1), 1 / total, sigma**2 / total),
    }[name]


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_right_to_a_few_ulp(name: Any) -> None:
    reading = parameterization(name)
    for alpha, sigma in LEVELS:
        expected = exact(name, mpf(alpha), mpf(sigma), mpf(0.5))
        for column, value in zip((reading.c_in, reading.c_x, reading.c_out), expected, strict=True):
            assert abs(column(alpha, sigma) - value) <= 1e-15 * abs(value), (name, alpha, sigma)


@pytest.mark.parametrize(("source", "target"), list(product(NAMES, NAMES)))
def test_any_output_becomes_any_other(source: Any, target: Any) -> None:
    """The output of a perfect network in one parameterization becomes that in the other."""
    x0, eps = np.random.default_rng(0).standard_normal((2, 1, 6))
    for alpha, sigma in LEVELS:
        a, s = mpf(alpha), mpf(sigma)
        x = np.array([[float(a * mpf(d) + s * mpf(e)) for d, e in zip(x0[0], eps[0], strict=True)]])
        point = Point(alpha, sigma, 1)

        def output_of(name: str, a: mpf = a, s: mpf = s, x: np.ndarray = x) -> list[mpf]:
            """Return the perfect output for the rounded x and the exact x0."""
            _, c_x, c_out = exact(name, a, s, mpf(0.5))
            return [(mpf(d) - c_x * mpf(v)) / c_out for d, v in zip(x0[0], x[0], strict=True)]

        output = np.array([[float(value) for value in output_of(source)]])
        result = convert(output, x, point, source, target)[0]
        # The rounding of the output and of x is no error of the conversion.
        p, q = parameterization(source).weights_at(alpha, sigma)
        u, w = parameterization(target).weights_at(alpha, sigma)
        determinant = abs(alpha * q - sigma * p)
        open_ = (abs(u * q - w * p) * abs(x[0]) + abs(alpha * w - sigma * u) * abs(output[0])) / (
            determinant
        )
        for got, value, size in zip(result, output_of(target), open_, strict=True):
            assert abs(got - value) <= 4e-16 * size + 4e-16 * abs(value)


@pytest.mark.parametrize(
    "reading", [*NAMES, edm(1.0), edm(0.1)], ids=[*NAMES, "edm of 1.0", "edm of 0.1"]
)
def test_a_perfect_network_is_read_right_on_any_path(reading: Any) -> None:
    for schedule in (Schedule.cosine(40), Schedule.karras(40), Schedule.flow(40)[:39]):
        check_parameterization(reading, schedule)


def test_three_functions_make_a_parameterization(lib: Library) -> None:
    """EDM's preconditioning, written as its authors do."""
    mine = Parameterization(
        c_x=lambda alpha, sigma: 0.25 / (sigma**2 + 0.25),
        c_out=lambda alpha, sigma: sigma * 0.5 / (sigma**2 + 0.25) ** 0.5,
        c_in=lambda alpha, sigma: (sigma**2 + 0.25) ** -0.5,
    )
    schedule, x = Schedule.karras(6), lib.array(np.ones((2, 3)) * 80, "float32")

    def network(x: Any, sigma: Any) -> Any:
        return 0.3 * x

    images = [sample(network, schedule, DDIM(), x, prediction=p) for p in (mine, "edm", edm(0.5))]
    for image in images:
        assert image.dtype == x.dtype
        np.testing.assert_allclose(host(image), host(images[1]), rtol=1e-4)
    check_parameterization(mine, Schedule.karras(20))


def test_the_input_of_edm_networks_has_unit_variance() -> None:
    stds: list[float] = []

    def network(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        stds.append(float(x.std()))
        return 0 * x

    schedule = Schedule.karras(5)
    x0, eps = np.random.default_rng(0).standard_normal((2, 1, 100_000))
    for k, point in enumerate(schedule):
        Denoiser(network, schedule, "edm")(schedule.add_noise(0.5 * x0, eps, k), point)
    np.testing.assert_allclose(stds, 1, atol=0.01)


def test_targets_are_what_perfect_networks_predict() -> None:
    s = Schedule.flow(10)
    x0, eps = np.random.default_rng(0).standard_normal((2, 2, 3))
    np.testing.assert_array_equal(s.target(x0, eps, 4, "flow"), eps - x0)
    np.testing.assert_allclose(s.target(x0, eps, 4, "score"), -eps / s.sigma[4], rtol=1e-15)


@pytest.mark.parametrize(("source", "target"), [("epsilon", "v"), ("score", "x0")])
def test_an_output_that_does_not_determine_the_target_is_an_error(source: Any, target: Any) -> None:
    with pytest.raises(ValueError, match="does not determine"):
        convert(np.ones((1, 1)), np.ones((1, 1)), Point(0.0, 1.0, 1), source, target)
    with pytest.raises(ValueError, match="does not determine"):
        convert(np.ones((1, 1)), np.ones((1, 1)), Point(1.0, 0.0, None), "v", "score")


@pytest.mark.parametrize("number", [np.float64, np.asarray, float])
def test_numbers_of_numpy_change_no_dtype(number: Any) -> None:
    half = np.ones((2, 3), dtype=np.float16)
    point = Point(number(0.6), number(0.8), 1)
    assert convert(half, half, point, "v", "x0").dtype == np.float16
    own = Parameterization(lambda a, s: np.int64(1), lambda a, s: np.asarray(-s))
    assert convert(half, half, point, own, "x0").dtype == np.float16
    schedule = Schedule.karras(4)
    assert Denoiser(lambda x, t: x, schedule, own)(half, schedule[2]).dtype == np.float16
    assert sample(lambda x, t: x, schedule, DDIM(), half, prediction=own).dtype == np.float16


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "epsilon at zero SNR": (
        lambda: run(schedule=ZERO_SNR, sampler=Heun()),
        ValueError,
        ["prediction='epsilon'", "zero SNR", "timestep 9"],
    ),
    "score at zero SNR": (
        lambda: run(schedule=ZERO_SNR, sampler=UniPC(), prediction="score"),
        ValueError,
        ["prediction='score'", "zero SNR"],
    ),
    "no function": (lambda: Parameterization(1.0, network), TypeError, ["c_x", "float"]),
    "sigma_data": (lambda: edm(0.0), ValueError, ["sigma_data", "0.0"]),
    "convert shapes": (
        lambda: convert(X, X[:1], LINEAR[3], "v", "x0"),
        ValueError,
        ["output", "(1, 3)", "(2, 3)"],
    ),
    "convert to what": (
        lambda: convert(X, X, LINEAR[3], "v", "noise"),
        ValueError,
        ["'noise'", "'epsilon'"],
    ),
    "convert at no point": (lambda: convert(X, X, 3, "v", "x0"), TypeError, ["point", "int"]),
    "column None": (
        lambda: run(prediction=Parameterization(lambda a, s: None, lambda a, s: 1.0)),
        TypeError,
        ["parameterization", "number"],
    ),
    "the word of diffusers": (
        lambda: run(prediction="v_prediction"),
        ValueError,
        ["'v_prediction', which is called 'v' here"],
    ),
    "column too short": (
        lambda: run(prediction=Parameterization(lambda a, s: X[0], lambda a, s: 1.0)),
        TypeError,
        ["c_x", "number", "10"],
    ),
    "column NaN": (
        lambda: run(prediction=Parameterization(lambda a, s: np.nan, lambda a, s: 1.0)),
        ValueError,
        ["prediction='custom'", "does not determine"],
    ),
    "weights of a parameterization": (
        lambda: Parameterization(network, network, weights=5),
        TypeError,
        ["weights", "int"],
    ),
    "sigma_data huge": (lambda: edm(1e200), ValueError, ["sigma_data", "1e60"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
