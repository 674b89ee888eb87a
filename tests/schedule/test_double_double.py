"""Arithmetic and functions in twice float64's digits, against mpmath."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from schedalg.schedule import double_double, elementary
from schedalg.schedule.double_double import DoubleDouble, single

mp.dps = 60
RNG = np.random.default_rng(0)
SIZES = 10.0 ** RNG.uniform(-100, 100, 200)
OTHERS = 10.0 ** RNG.uniform(-100, 100, 200)
EXPONENTS = np.concatenate(
    [-(10.0 ** RNG.uniform(-20, 2.8, 200)), 10.0 ** RNG.uniform(-20, 2.8, 99)]
)


def numbers(values: np.ndarray, seed: int) -> tuple[DoubleDouble, list[mpf]]:
    """Return values with random digits beyond those of float64, and the same in mpmath."""
    low = values * np.random.default_rng(seed).uniform(-1e-16, 1e-16, len(values))
    exact = [mpf(a) + mpf(b) for a, b in zip(values.tolist(), low.tolist(), strict=True)]
    return double_double.renormalize(values, low), exact


def error(value: DoubleDouble, exact: list[mpf]) -> float:
    pairs = zip(value.high.tolist(), value.low.tolist(), strict=True)
    sums = [mpf(high) + mpf(low) for high, low in pairs]
    return float(max(abs(s - e) / abs(e) for s, e in zip(sums, exact, strict=True)))


def test_arithmetic() -> None:
    (a, exact_a), (b, exact_b) = numbers(SIZES, 1), numbers(OTHERS, 2)
    pairs = list(zip(exact_a, exact_b, strict=True))
    assert error(double_double.plus(a, b), [x + y for x, y in pairs]) < 2**-104
    assert error(double_double.product(a, b), [x * y for x, y in pairs]) < 2**-103
    assert error(double_double.divided(a, b), [x / y for x, y in pairs]) < 2**-102
    assert error(double_double.root(np, a), [mp.sqrt(x) for x in exact_a]) < 2**-103
    counts = RNG.integers(0, 2**26, len(SIZES))
    high, low = double_double.multiples(a, counts.astype(np.float64))
    true = [x * int(count) for x, count in zip(exact_a, counts, strict=True)]
    assert error(DoubleDouble(high, low), true) < 2**-79
    difference = double_double.minus(a, DoubleDouble(a.high, 0 * a.low))
    assert (difference.high == a.low).all()


@pytest.fixture(params=[True, False], ids=["long doubles", "sums and products"])
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run once with the platform's long double, where it has one, and once without."""
    monkeypatch.setattr(elementary, "WIDE", request.param and elementary.WIDE)


#: The function, its argument, and the same in mpmath.
FUNCTIONS: dict[str, tuple[Callable[..., DoubleDouble], np.ndarray, Callable[[mpf], mpf]]] = {
    "exp": (elementary.exp, EXPONENTS, mp.exp),
    "expm1": (elementary.expm1, EXPONENTS, mp.expm1),
    "sin": (elementary.sin, RNG.uniform(1e-9, np.pi / 2, 200), mp.sin),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.usefixtures("wide")
def test_functions(name: str) -> None:
    function, values, true = FUNCTIONS[name]
    x, exact = numbers(values, 3)
    assert error(function(np, x), [true(value) for value in exact]) < 2**-62


@pytest.mark.usefixtures("wide")
def test_logarithms() -> None:
    below, exact = numbers(10.0 ** np.append(RNG.uniform(-30, -0.3, 200), [-0.2, -0.1, -0.01]), 4)
    found = elementary.log(np, double_double.minus(single(1.0), below), below)
    near = below.high < 0.5
    truth = [mp.log1p(-x) for x in exact]
    assert error(found, truth) < 2**-62
    assert near.any()
    assert not near.all()
    x, exact = numbers(10.0 ** RNG.uniform(-290, 200, 200), 5)
    found = elementary.log(np, x, double_double.minus(single(1.0), x))
    assert error(found, [mp.log(value) for value in exact]) < 2**-62
    none = elementary.log(np, single(np.zeros(1)), single(np.ones(1)))
    assert none.high[0] == -np.inf
    assert none.low[0] == 0


def test_logarithms_near_1() -> None:
    """They are made of a table and a series, whose parts meet at odd multiples of 1/4096."""
    seams = np.arange(2049, 4096, 2) / 4096
    sizes = [*(1 - 1 / seams), *(10.0 ** RNG.uniform(-5, -0.31, 400))]
    below, exact = numbers(np.array([*sizes, *(-RNG.uniform(0, 0.99, 400))]), 6)
    found = elementary.log(np, None, below)
    assert error(found, [mp.log1p(-x) for x in exact]) < 2**-63.5


def test_derivatives_pass_through() -> None:
    torch = pytest.importorskip("torch")
    xp: Any = pytest.importorskip("array_api_compat.torch")
    x = torch.tensor([1e-3, 0.3, 0.8, 0.99], dtype=torch.float64, requires_grad=True)
    functions: list[tuple[Callable[[DoubleDouble], DoubleDouble], Any]] = [
        (lambda v: elementary.exp(xp, v), torch.exp(x)),
        (lambda v: elementary.expm1(xp, v), torch.exp(x)),
        (lambda v: elementary.sin(xp, v), torch.cos(x)),
        (lambda v: elementary.log(xp, double_double.minus(single(1.0), v), v), -1 / (1 - x)),
        (lambda v: double_double.root(xp, v), 0.5 / torch.sqrt(x)),
        (lambda v: double_double.divided(single(1.0), v), -1 / x**2),
    ]
    for function, expected in functions:
        (slope,) = torch.autograd.grad(function(single(x)).high.sum(), x)
        torch.testing.assert_close(slope, expected.detach(), rtol=1e-14, atol=0)
