"""Lengths of steps by the change of the score: known for Gaussian data, and by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule, choose, score_lengths
from schedalg.testing import Mixture
from tests.bad_input import LINEAR, check_named, network

LEVELS = [5.0, 2.0, 1.0, -1.0, -4.0]
DATA = 0.5 * np.random.default_rng(0).standard_normal((400, 20))


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_lengths_of_gaussian_data_are_the_known_ones(kind: str) -> None:
    schedule = Schedule.from_log_snr(LEVELS, kind=kind)
    lengths = score_lengths(Mixture([0.0], [0.5]).denoiser(schedule), schedule, DATA)
    # The score is -x over the variance, whose own is that of the point.
    variance = schedule.alpha**2 * 0.25 + schedule.sigma**2
    change = np.abs(1 / variance[1:] - 1 / variance[:-1])
    expected = schedule.sigma[1:] * np.sqrt(variance[1:]) * change
    assert lengths[0] == 0
    np.testing.assert_allclose(lengths[1:], expected, rtol=0.03)
    # And exactly, relative to each other, whatever the batch.
    again = score_lengths(Mixture([0.0], [0.5]).denoiser(schedule), schedule, DATA, batch=7)
    np.testing.assert_allclose(again, lengths, rtol=1e-13)
    assert len(choose(schedule, 3, schedule.length_costs(lengths))) == 3


def test_predictions_of_a_point_have_the_length_of_their_levels() -> None:
    # x0 = 0: the score is -x / sigma², and x is sigma eps, with data of zeros.
    schedule = Schedule.from_sigmas([1.0, 2.0, 8.0])
    data = np.zeros((500, 30))
    lengths = score_lengths(lambda x, t: 0 * x, schedule, data, prediction="x0")
    exact = [2 * (1 - 1 / 4) * 2, 8 * (1 / 4 - 1 / 64) * 8]
    np.testing.assert_allclose(lengths[1:], exact, rtol=0.02)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("kind", "prediction"), [("vp", "epsilon"), ("vp", "v"), ("flow", "flow"), ("ve", "epsilon")]
)
def test_half_precision_has_the_lengths_of_float64(dtype: str, kind: str, prediction: str) -> None:
    torch = pytest.importorskip("torch")
    base = Schedule.linear(1000)[::25]
    schedule = {"vp": base, "flow": base.as_flow(), "ve": base.as_ve()}[kind]
    alpha, sigma = base.alpha, base.sigma
    if kind == "flow":
        alpha, sigma = alpha / (alpha + sigma), sigma / (alpha + sigma)
    of_x0 = 0.25 * alpha / (0.25 * alpha**2 + sigma**2)  # the perfect network of N(0, 1/4)
    of_eps = (1 - alpha * of_x0) / sigma
    slope = {
        "epsilon": of_eps,
        "v": alpha * of_eps - sigma * of_x0,
        "flow": of_eps - of_x0,
    }[prediction]

    def model(x: Any, timesteps: Any) -> Any:
        at = {t: k for k, t in enumerate(schedule.timesteps.tolist())}[timesteps[0].item()]
        return float(slope[at]) * x

    data = torch.as_tensor(DATA[:100])
    known, found = (
        score_lengths(model, schedule, data.to(type_), prediction=prediction)
        for type_ in (torch.float64, getattr(torch, dtype))
    )
    np.testing.assert_allclose(found[1:], known[1:], rtol=0.1, atol=0.02)
    chosen, right = (choose(schedule, 6, schedule.length_costs(each)) for each in (found, known))
    assert chosen == right


def test_few_points_have_no_steps() -> None:
    assert score_lengths(network, LINEAR[:1], DATA).tolist() == [0.0]
    assert score_lengths(network, LINEAR[:0], DATA).tolist() == []


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "no data": (lambda: score_lengths(network, LINEAR, DATA[:0]), ValueError, ["data", "empty"]),
    "NaN": (
        lambda: score_lengths(lambda x, t: x * np.nan, LINEAR, DATA[:2]),
        ValueError,
        ["prediction", "point 1", "NaN"],
    ),
    "batch": (lambda: score_lengths(network, LINEAR, DATA, batch=0), ValueError, ["batch", "0"]),
    "seed": (lambda: score_lengths(network, LINEAR, DATA, seed=-1), ValueError, ["seed", "-1"]),
    "half precision through a function": (
        lambda: score_lengths(
            Mixture([0.0], [0.5]).denoiser(LINEAR), LINEAR, DATA.astype(np.float16)
        ),
        ValueError,
        ["data", "float16", "function", "network itself"],
    ),
    "no schedule": (lambda: score_lengths(network, [1], DATA), TypeError, ["schedule", "list"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
