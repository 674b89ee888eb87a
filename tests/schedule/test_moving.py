"""`minimize`: closed forms, the curve, and the promise never to be worse than the start."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import DDIM, Denoiser, DPMSolverPP, Schedule, minimize, sample
from schedalg.arrays import namespace
from schedalg.schedule.moving import _EVALUATIONS, _Search
from schedalg.schedule.track import Track
from tests.bad_input import LINEAR, ZERO_SNR, check_named

pytest.importorskip("scipy")

BASE = Schedule.linear(1000)
START = BASE.subsample(steps=5, spacing="karras")
SPECTRUM = 1 / np.arange(1, 65) ** 2
SAMPLER = DPMSolverPP(order=2)


def squared_steps(schedule: Schedule) -> Any:
    """Return what is least where all steps are equally long in log-SNR."""
    log_snr = schedule.to_log_snr()
    return ((log_snr[1:] - log_snr[:-1]) ** 2).sum()


def distance(schedule: Schedule) -> float:
    return SAMPLER.plan(schedule).response(SPECTRUM).w2


def check_on_curve(schedule: Schedule, base: Schedule) -> None:
    """Check that each point lies where its timestep says on the base."""
    for point in schedule:
        assert abs(point.log_snr - base.at(point.timestep).log_snr) < 1e-9
    for t in np.linspace(*schedule.timesteps[[0, -1]], 7):
        assert abs(schedule.at(t).log_snr - base.at(t).log_snr) < 1e-9


@pytest.mark.parametrize("gradient", [None, "torch", "jax"])
def test_squared_steps_are_least_where_they_are_equal(gradient: Any) -> None:
    if gradient:
        pytest.importorskip(gradient)
    start = START if gradient != "jax" else BASE.subsample(steps=3, spacing="karras")
    best = minimize(start, squared_steps, gradient=gradient)
    even = BASE.subsample(steps=len(start), spacing="log_snr")
    np.testing.assert_allclose(best.to_log_snr(), even.to_log_snr(), atol=2e-3)
    assert best[0] == BASE[0]
    assert best[-1] == BASE[-1]
    check_on_curve(best, BASE)
    assert isinstance(best.log_alpha_bar.high, np.ndarray)


def test_parts_of_a_path_and_points_of_flows_are_moved() -> None:
    part = BASE[100:900].subsample(steps=4, spacing="quadratic")
    best = minimize(part, squared_steps)
    assert best.origin == part.origin
    check_on_curve(best, BASE)
    # Pure noise is infinitely far in log-SNR: here, steps of log t are even.
    flow = Schedule.flow(5)
    best = minimize(flow, lambda s: float((np.diff(np.log(s.sigma)) ** 2).sum()))
    np.testing.assert_allclose(best.sigma, np.geomspace(0.2, 1, 5), rtol=1e-3)
    np.testing.assert_array_equal(best.timesteps, best.sigma)
    assert best[-1] == flow[-1]


def test_ends_move_where_they_are_free() -> None:
    trailing = BASE.subsample(steps=4, spacing="trailing")

    def off(schedule: Schedule) -> float:
        return float(((schedule.to_log_snr() - np.array([5.0, 3.0, 0.0, -4.0])) ** 2).sum())

    assert minimize(trailing, off, max_calls=20)[[0, 3]] == trailing[[0, 3]]
    first = minimize(trailing, off, free_first=True, max_calls=120)
    np.testing.assert_allclose(first.to_log_snr()[:3], [5.0, 3.0, 0.0], atol=0.01)
    assert first[-1] == trailing[-1]
    both = minimize(trailing, off, free_first=True, free_last=True, max_calls=150)
    np.testing.assert_allclose(both.to_log_snr(), [5.0, 3.0, 0.0, -4.0], atol=0.01)
    check_on_curve(both, BASE)
    # Where the path begins with a point, nothing moves to that or before it.
    part = BASE[::9][40:100][[3, 20, 40]]
    ahead = minimize(part, lambda s: -float(s.to_log_snr()[0]), free_first=True, max_calls=60)
    assert 0 < ahead.origin.log_snr - ahead[0].log_snr < 0.05
    karras = minimize(
        Schedule.karras(4, 1.0, 80.0), off, free_first=True, free_last=True, max_calls=150
    )
    np.testing.assert_allclose(karras.to_log_snr(), [5.0, 3.0, 0.0, -4.0], atol=0.01)


@settings(max_examples=3)
@given(st.integers(0, 2**32), st.sampled_from([None, "torch"]))
def test_nothing_is_worse_than_the_start_and_all_is_repeatable(seed: int, gradient: Any) -> None:
    if gradient:
        pytest.importorskip(gradient)
    weights = np.random.default_rng(seed).normal(size=5)

    def rugged(schedule: Schedule) -> Any:
        log_snr = schedule.to_log_snr()
        xp = namespace(log_snr)
        return (xp.sin(3 * log_snr) * xp.asarray(weights)).sum()

    best = minimize(START, rugged, gradient=gradient, max_calls=40)
    assert rugged(best) <= rugged(START)
    assert best == minimize(START, rugged, gradient=gradient, max_calls=40)


def test_a_start_that_is_best_is_returned() -> None:
    called = []

    def worse_elsewhere(schedule: Schedule) -> float:
        called.append(schedule)
        return float(schedule != START)

    assert minimize(START, worse_elsewhere, max_calls=25) is START
    assert len(called) <= 25
    assert called[0] is START
    assert minimize(START, worse_elsewhere, max_calls=1) is START


def test_what_is_not_finite_is_avoided() -> None:
    def wall(schedule: Schedule) -> float:
        log_snr = schedule.to_log_snr()
        return float(squared_steps(schedule)) if log_snr[2] < -1 else math.nan

    # The start's is -3.6, and without the wall it would be -0.5.
    best = minimize(START, wall)
    assert wall(best) < 0.9 * wall(START)
    assert best.to_log_snr()[2] > -1.1


def test_the_distance_of_spectra_falls_to_one_minimum_from_several_starts() -> None:
    found = [
        distance(minimize(BASE.subsample(steps=5, spacing=spacing), distance))
        for spacing in ("log_snr", "quadratic")
    ]
    assert max(found) - min(found) < 1e-5
    assert max(found) < 0.4 * distance(BASE.subsample(steps=5, spacing="log_snr"))


def test_a_loss_of_samples_is_followed_in_torch_as_in_numpy() -> None:
    torch = pytest.importorskip("torch")
    variances, end = 1 / np.arange(1, 9) ** 2, BASE[-1]
    x = np.random.default_rng(0).standard_normal((4, 8))
    # The exact end of the path of each element of Gaussian data.
    x0 = np.sqrt(variances / (end.alpha**2 * variances + end.sigma**2)) * x

    def loss(schedule: Schedule) -> Any:
        xp = namespace(schedule.log_alpha_bar.high)
        v, start, truth = (xp.asarray(part) for part in (variances, x, x0))
        perfect = Denoiser.from_function(
            lambda x, t: t.alpha * v / (t.alpha**2 * v + t.sigma**2) * x, schedule
        )
        return ((sample(perfect, schedule, DDIM(), start) - truth) ** 2).mean()

    start = BASE.subsample(steps=4, spacing="log_snr")
    by_gradient = minimize(start, loss, gradient="torch")
    by_values = minimize(start, lambda s: float(loss(s)))
    assert loss(by_gradient) < 0.8 * loss(start)
    np.testing.assert_allclose(loss(by_gradient), loss(by_values), rtol=1e-4)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_gradient_leads_through_the_timesteps_that_a_network_is_given(library: Any) -> None:
    pytest.importorskip(library)
    x = np.random.default_rng(0).standard_normal((2, 3))

    def network(x: Any, timesteps: Any) -> Any:
        xp = namespace(x)
        return 0.5 * xp.tanh(x) * xp.cos(xp.reshape(timesteps, (-1, 1)) / 300)

    def loss(schedule: Schedule) -> Any:
        start = namespace(schedule.log_alpha_bar.high).asarray(x)
        return (sample(network, schedule, DDIM(), start, prediction="x0") ** 2).mean()

    track = Track.of(BASE.subsample(steps=3, spacing="karras"), (True, True))
    evaluate = _EVALUATIONS[library](_Search(track, loss, library, 9))
    for positions in (track.positions, track.positions + np.array([0, 0.1, 0])):
        slope = evaluate(track.schedule_at(positions), positions)[1][1]
        high, low = (
            loss(track.schedule_at(positions + np.array([0, change, 0]))) for change in (1e-4, 2e-4)
        )
        np.testing.assert_allclose(slope, (low - high) / 1e-4, rtol=1e-2)


def test_a_start_in_torch_returns_in_torch() -> None:
    torch = pytest.importorskip("torch")
    start = Schedule.from_log_snr(torch.tensor([4.0, 3.0, 0.0, -4.0], dtype=torch.float64))
    best = minimize(start, squared_steps)
    assert isinstance(best.log_alpha_bar.high, torch.Tensor)
    np.testing.assert_allclose(best.to_log_snr(), [4, 4 - 8 / 3, 4 - 16 / 3, -4], atol=2e-3)


def torch_of(value: Any) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(value)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "one point without a way": (
        lambda: minimize(BASE[:1], distance, free_first=True, free_last=True),
        ValueError,
        ["schedule has one point", "least noisy"],
    ),
    "a search within a search": (
        lambda: minimize(START, lambda s: distance(minimize(s, distance, max_calls=3))),
        ValueError,
        ["objective calls minimize", "gradient="],
    ),
    "no schedule": (lambda: minimize([1.0], distance), TypeError, ["schedule", "list"]),
    "no function": (lambda: minimize(LINEAR, 3), TypeError, ["objective", "int"]),
    "a class": (lambda: minimize(LINEAR, float), TypeError, ["objective", "class float"]),
    "nothing to move": (
        lambda: minimize(LINEAR[[0, 9]], distance),
        ValueError,
        ["2 points", "free_first"],
    ),
    "no points": (lambda: minimize(LINEAR[:0], distance), ValueError, ["0 points"]),
    "a word": (lambda: minimize(LINEAR, lambda s: "low"), TypeError, ["objective", "real number"]),
    "an array": (
        lambda: minimize(LINEAR, lambda s: s.to_log_snr()),
        TypeError,
        ["objective", "one real number"],
    ),
    "None": (lambda: minimize(LINEAR, lambda s: None), TypeError, ["objective", "NoneType"]),
    "infinite at the start": (
        lambda: minimize(LINEAR, lambda s: math.inf),
        ValueError,
        ["objective is inf", "start"],
    ),
    "pure noise": (
        lambda: minimize(ZERO_SNR, lambda s: 1.0),
        ValueError,
        ["point 9", "zero signal"],
    ),
    "an unknown library": (
        lambda: minimize(LINEAR, distance, gradient="numpy"),
        ValueError,
        ["gradient", "'numpy'", "'torch'"],
    ),
    "no call": (lambda: minimize(LINEAR, distance, max_calls=0), ValueError, ["max_calls", "0"]),
    "an end of another type": (
        lambda: minimize(LINEAR, distance, free_last="yes"),
        TypeError,
        ["free_last"],
    ),
    "no tensor": (
        lambda: (torch_of(0) and None) or minimize(LINEAR, lambda s: 1.0, gradient="torch"),
        TypeError,
        ["objective", "tensor", "float"],
    ),
    "a tensor without gradient": (
        lambda: minimize(LINEAR, lambda s: torch_of(1.0), gradient="torch"),
        ValueError,
        ["objective", "gradient"],
    ),
    "a gradient of something else": (
        lambda: minimize(LINEAR, lambda s: torch_of(1.0).requires_grad_() * 2, gradient="torch"),
        ValueError,
        ["objective", "does not depend"],
    ),
    "a start with a gradient": (
        lambda: minimize(
            Schedule.from_log_snr(torch_of([3.0, 0.0, -3.0]).double().requires_grad_()), distance
        ),
        TypeError,
        ["schedule", "gradient"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
