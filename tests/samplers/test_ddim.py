"""DDIM: its order, its columns, bad eta, and published sums."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from schedalg import DDIM, Schedule, sample
from tests.bad_input import check_named
from tests.registry.schedules import FAMILIES
from tests.running.few import exact_network

mp.dps = 60
X = np.random.default_rng(3).standard_normal((4, 2, 3))


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_ddim_converges_with_order_1(kind: Any) -> None:
    mean, spread = 0.7, 0.4
    errors = []
    counts = [20, 40, 80, 160, 320]
    for steps in counts:
        path = Schedule.from_log_snr(np.linspace(10, -10, steps + 1), kind=kind)
        schedule = path[1:]
        s, t = schedule.origin, schedule[-1]
        result = sample(exact_network(schedule, mean, spread), schedule, DDIM(), X, prediction="x0")
        # The flow carries each quantile of one marginal to the same quantile of the other.
        std_s, std_t = (np.hypot(p.alpha * spread, p.sigma) for p in (s, t))
        exact = s.alpha * mean + std_s / std_t * (X - t.alpha * mean)
        errors.append(np.abs(result - exact).max())
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("beta_start", "prediction", "total", "mean"),
    [
        (1e-4, "epsilon", 172.0067, 0.223967),
        (1e-4, "v", 52.5302, 0.0684),
        (0.01, "epsilon", 149.8295, 0.1951),
    ],
)
def test_ddim_gives_the_sums_that_diffusers_tests_for(
    beta_start: float, prediction: Any, total: float, mean: float
) -> None:
    """The sample, network and sums are those of its test suite: ten leading steps, clipped."""
    ramp = np.arange(768, dtype=np.float32).reshape(3, 8, 8, 4) / 768
    x = np.moveaxis(ramp, 3, 0)

    def residual(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        t = timesteps[:, None, None, None].astype(x.dtype)
        return x * t / (t + 1)

    schedule = Schedule.linear(1000, beta_start=beta_start).subsample(steps=10, spacing="leading")
    result = sample(residual, schedule, DDIM(), x, prediction=prediction, clip=(-1, 1))
    assert np.abs(result).sum() == pytest.approx(total, abs=1e-2)
    assert np.abs(result).mean() == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("family", ["linear", "from_betas tiny", "cosine"])
def test_columns_are_exact_however_short_the_step(family: str, eta: float) -> None:
    """DDIM's columns against 60 digits, where 1 - alpha_t/alpha_s and the like would cancel."""
    n = 1000
    plan = DDIM(eta).plan(FAMILIES[family].make(n))
    exact = [mpf(1), *FAMILIES[family].exact(n)][::-1]
    for row in (0, 1, 500, n - 2):
        now, then = exact[row], exact[row + 1]
        std = eta * mp.sqrt((1 - then) * (1 - now * (1 - then) / (then * (1 - now))))
        of_x = mp.sqrt((1 - then) - std**2) / mp.sqrt(1 - now)
        expected = (of_x, mp.sqrt(then) - of_x * mp.sqrt(now), std)
        columns = (plan.a[row], plan.b[row, 0], plan.c[row])
        for value, right in zip(columns, expected, strict=True):
            assert abs(value - right) <= 4e-15 * abs(right), (row, value, right)


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "eta > 1": (lambda: DDIM(eta=1.5), ValueError, ["eta", "1.5", "[0, 1]"]),
    "eta < 0": (lambda: DDIM(eta=-0.1), ValueError, ["eta", "-0.1"]),
    "eta NaN": (lambda: DDIM(eta=np.nan), ValueError, ["eta", "nan"]),
    "eta text": (lambda: DDIM(eta="1"), TypeError, ["eta", "'1'"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
