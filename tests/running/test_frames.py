"""Frames at rows of their own: each is what it is in the ordinary run, whenever it starts."""

from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    FrameRun,
    Heun,
    Plan,
    Schedule,
    UniPC,
    begin,
    edm,
    frames,
    initial_noise,
    run,
    sample,
)
from schedalg.parameterization import parameterization
from schedalg.running.frame_prediction import predicted
from tests.bad_input import check_named
from tests.libraries import Library, host, lib
from tests.registry.samplers import SAMPLERS

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=6)
LONG = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(5).standard_normal((2, 3, 2))
SEEDS = [3, 2**70]


def network(x: Any, timesteps: Any) -> Any:
    """A function of each element and its timestep, which is that of a sample or of a frame."""
    told = timesteps.reshape(timesteps.shape + (1,) * (x.ndim - timesteps.ndim))
    return (0.4 + told / 4000) * x - 0.1 * x**3 / (1 + x**2)


def timeless(x: Any, timesteps: Any) -> Any:
    """A function of each element, in any library and dtype."""
    return 0.4 * x - 0.1 * x**3 / (1 + x**2)


def finished(held: Any, model: Callable[..., Any] = network) -> Any:
    while not held.done:
        held.advance(model(held.input, held.timesteps))
    return held.x


@pytest.mark.parametrize("name", SAMPLERS)
def test_frames_that_start_together_are_the_ordinary_run(name: str) -> None:
    samples = [X]
    try:
        import torch
    except ImportError:
        pass
    else:
        samples.append(torch.tensor(X))
    for schedule in (LONG, LONG.as_ve()):
        plan = SAMPLERS[name].sampler.plan(schedule)
        for x in samples:
            how: dict[str, Any] = {"prediction": "v", "clip": (-2, 2), "noise": SEEDS}
            expected = run(plan, network, x, **how)
            held = FrameRun(plan, x, frames(plan, [0, 0, 0]), **how)
            assert tuple(held.timesteps.shape) == (2, 3)
            np.testing.assert_array_equal(host(finished(held)), host(expected))


@given(st.data())
@settings(max_examples=40)
def test_a_frame_is_what_it_is_in_the_ordinary_run(data: st.DataObject) -> None:
    sampler = SAMPLERS[data.draw(st.sampled_from(sorted(SAMPLERS)))].sampler
    schedule = data.draw(st.sampled_from([LONG, LONG.as_ve()]))
    plan = sampler.plan(schedule)
    offsets = data.draw(st.lists(st.integers(0, 9), min_size=3, max_size=3))
    how: dict[str, Any] = {
        "prediction": data.draw(st.sampled_from(["v", edm(0.5)])),
        "clip": data.draw(st.sampled_from([None, (-1, 1)])),
        "noise": SEEDS,
    }
    expected = run(plan, network, X, **how)
    held = FrameRun(plan, X, frames(plan, offsets), **how)
    result = finished(held)
    assert held.sweep == len(plan) + max(offsets)
    np.testing.assert_array_equal(result, expected)


def test_a_network_that_mixes_frames_is_sampled_as_by_hand() -> None:
    def mixing(x: Any, timesteps: Any) -> Any:
        others = x.mean(axis=1, keepdims=True)
        return np.tanh(x + others * (1 + timesteps[..., None] / 1000))

    alpha, sigma = np.append(1.0, FAST.alpha), np.append(0.0, FAST.sigma)
    x, now = X, np.array([6, 6, 6])  # the points where frames are; 0 is clean data
    for sweep in range(6 + 4):
        following = np.clip(6 - (sweep + 1 - np.array([0, 2, 4])), 0, 6)
        told = FAST.timesteps[np.maximum(now - 1, 0)]
        told[now == 0] = 0
        eps = mixing(x, np.stack([told] * 2))
        t, s = (now[:, None], following[:, None])
        x0 = np.where(t == 0, x, (x - sigma[t] * eps) / alpha[t])
        x = np.where(t == s, x, alpha[s] * x0 + sigma[s] * eps)
        now = following
    plan = DDIM().plan(FAST)
    result = finished(FrameRun(plan, X, frames(plan, [0, 2, 4])), mixing)
    np.testing.assert_allclose(result, x, rtol=1e-11)


@pytest.mark.parametrize("sampler", [DDPM(), UniPC(2)], ids=repr)
def test_frames_of_every_library(sampler: Any, lib: Library) -> None:
    plan = sampler.plan(FAST.as_ve())
    expected = run(plan, timeless, X, prediction="v", noise=7)
    held = FrameRun(plan, lib.array(X), frames(plan, [1, 0, 2]), prediction="v", noise=7)
    assert lib.is_mine(held.input)
    assert lib.is_mine(held.timesteps)
    within = 1e-4 if lib.widest == "float32" else 1e-10
    np.testing.assert_allclose(host(finished(held, timeless)), expected, rtol=within, atol=within)


def test_half_precision_is_rounded_once_a_row() -> None:
    plan = DPMSolverPP(2, eta=1.0).plan(FAST)
    x = X.astype(np.float16)
    expected = run(plan, timeless, x, prediction="v", noise=7)
    held = FrameRun(plan, x, frames(plan, [0, 1, 2]), prediction="v", noise=7)
    result = finished(held, timeless)
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, expected, rtol=3e-3, atol=3e-3)


def test_a_learned_variance_is_of_each_frame() -> None:
    def learned(x: Any, timesteps: Any) -> Any:
        return np.concatenate([network(x, timesteps), np.tanh(x)], axis=1)

    plan = DDPM("learned_range").plan(FAST)
    for each in (plan, replace(plan, c=0.5 * plan.c)):
        expected = run(each, learned, X, prediction="v", noise=SEEDS)
        held = FrameRun(each, X, frames(each, [2, 0, 1]), prediction="v", noise=SEEDS)
        np.testing.assert_array_equal(finished(held, learned), expected)


def test_gradients_flow_to_what_frames_start_from() -> None:
    torch = pytest.importorskip("torch")
    plan, gradients = UniPC(2).plan(FAST), []
    for offsets in ([0, 0, 0], [0, 2, 1]):
        x = torch.tensor(X, requires_grad=True)
        finished(FrameRun(plan, x, frames(plan, offsets), prediction="v")).square().sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


#: Samplers whose frames are streamed, and schedules; Euler's churn adds noise before its first row.
STREAMED: list[tuple[Any, Schedule]] = [
    (DDIM(), FAST),
    (DDPM(), FAST),
    (UniPC(2), FAST.as_ve()),
    (DPMSolverPP(3, eta=1.0), FAST),
    (Euler(s_churn=2.0), Schedule.karras(6)),
    (Heun(eta=0.5), FAST),
]


@pytest.mark.parametrize(("sampler", "schedule"), STREAMED, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("offsets", [[0, 1, 2], [0, 0, 0], [0, 3, 6]], ids=str)
def test_a_frame_that_joins_is_that_of_a_longer_x(
    sampler: Any, schedule: Schedule, offsets: list[int]
) -> None:
    plan = sampler.plan(schedule)
    x = initial_noise(schedule, (2, 8, 3), SEEDS)
    expected = run(plan, network, x, prediction="v", noise=SEEDS)
    held = FrameRun(plan, x[:, :3], frames(plan, offsets), prediction="v", noise=SEEDS)
    film: list[Any] = []
    while len(film) < 5:
        held.advance(network(held.input, held.timesteps))
        while held.row[0] == len(plan) and len(film) < 5:
            film.append(held.shift(offset=len(film) % 2))
    film.append(finished(held))
    assert held.first == 5
    np.testing.assert_array_equal(np.concatenate(film, axis=1), expected)


@given(st.data())
@settings(max_examples=25)
def test_a_run_that_stops_goes_on_to_the_same_bits(data: st.DataObject) -> None:
    sampler = SAMPLERS[data.draw(st.sampled_from(sorted(SAMPLERS)))].sampler
    plan = sampler.plan(data.draw(st.sampled_from([LONG, LONG.as_ve()])))
    offsets = data.draw(st.sampled_from([[0, 0, 0], [2, 2, 2], [0, 3, 1]]))
    cuts = data.draw(st.sets(st.integers(0, len(plan) + 2), max_size=3))
    how: dict[str, Any] = {"prediction": "v", "clip": (-1, 1), "noise": SEEDS}
    ends = []
    for stops in (False, True):
        held = FrameRun(plan, X, frames(plan, offsets), clean_timestep=3, **how)
        while held.sweep < len(plan) + 6:
            if stops and held.sweep in cuts:
                held = FrameRun.resume(plan, held.state())
            if not held.done:
                held.advance(network(held.input, held.timesteps))
            if held.row[0] == len(plan):
                held.shift(offset=1)
        ends.append(held)
    np.testing.assert_array_equal(ends[0].x, ends[1].x)
    np.testing.assert_array_equal(ends[0].row, ends[1].row)
    assert ends[0].first == ends[1].first > 0


def test_tensors_are_saved_and_taken_up_again() -> None:
    torch = pytest.importorskip("torch")
    plan = UniPC(3).plan(FAST.as_ve())
    held = FrameRun(plan, torch.tensor(X), frames(plan, [0, 1, 5]), prediction="v", noise=SEEDS)
    for _ in range(4):
        held.advance(network(held.input, held.timesteps))
    state = {name: torch.as_tensor(part) for name, part in held.state().items()}
    later = FrameRun.resume(plan, state)
    np.testing.assert_array_equal(finished(later), finished(held))


@pytest.mark.parametrize("copied", [copy, deepcopy])
def test_a_copy_goes_on_by_itself(copied: Any) -> None:
    held = FrameRun(UniPC(3).plan(FAST), X, frames(UniPC(3).plan(FAST), [0, 1, 5]))
    for _ in range(4):
        held.advance(network(held.input, held.timesteps))
    other, state = copied(held), held.state()
    other.advance(-network(other.input, other.timesteps))
    np.testing.assert_array_equal(finished(held), finished(FrameRun.resume(held.plan, state)))
    assert (finished(other) != held.x).any()


def test_frames_that_are_given_join_together() -> None:
    plan = EulerAncestral().plan(FAST.as_ve())
    x = np.random.default_rng(8).standard_normal((2, 5, 3))
    expected = run(plan, network, x, prediction="v", noise=SEEDS)
    held = FrameRun(plan, x[:, :3], frames(plan, [0, 0, 4]), prediction="v", noise=SEEDS)
    while held.row[1] < len(plan):
        held.advance(network(held.input, held.timesteps))
    left = held.shift(x[:, 3:], offset=1)
    assert held.row.tolist() == [2, -1, -1]
    together = np.concatenate([left, finished(held)], axis=1)
    np.testing.assert_allclose(together, expected, rtol=1e-11, atol=1e-11)


def test_the_network_is_given_where_every_frame_is() -> None:
    plan = DDIM().plan(FAST.as_ve())
    held = FrameRun(plan, X, frames(plan, [0, 4, 0], first=[0, 0, 6]), prediction="v")
    held.advance(network(held.input, held.timesteps))
    np.testing.assert_array_equal(held.row, [1, -1, 6])
    told = [*plan.timesteps[[1, 0]].tolist(), 0]
    np.testing.assert_array_equal(held.timesteps, [told, told])
    scale = np.array([*(1 / np.hypot(1, plan.sigma[[1, 0]])), 1.0])
    np.testing.assert_allclose(held.input, scale[:, None] * held.x, rtol=1e-15)
    np.testing.assert_array_equal(held.x[:, 1:], X[:, 1:])


def test_noise_before_the_first_row_is_for_frames_that_start_there() -> None:
    plan = Euler(s_churn=2.0).plan(Schedule.karras(5))
    assert plan.start[1] > 0
    held = FrameRun(plan, X, frames(plan, [0, 3, 0], first=[0, 0, 5]), noise=SEEDS)
    expected = begin(plan, X, noise=SEEDS).x
    np.testing.assert_array_equal(held.x[:, :2], expected[:, :2])
    np.testing.assert_array_equal(held.x[:, 2], X[:, 2])


def test_a_frame_that_starts_later_in_the_plan_is_that_of_a_part_of_the_schedule() -> None:
    plan = DDPM().plan(FAST)
    held = FrameRun(plan, X, frames(plan, [0] * 3, first=[0, 2, 5]), prediction="v", noise=SEEDS)
    result = finished(held)
    for t, first in enumerate([0, 2, 5]):
        part = sample(network, FAST[: 6 - first], DDPM(), X, prediction="v", noise=SEEDS)
        np.testing.assert_allclose(result[:, t], part[:, t], rtol=1e-10)


@pytest.mark.parametrize("k", [10, 25, 40])
def test_a_warm_start_keeps_the_distribution_and_a_known_part_of_the_plan(k: int) -> None:
    """Of Gaussian actions of spread s, whose exact network is linear."""
    s, spread = Schedule.cosine(1000).subsample(steps=50), 0.7
    scales = {point.timestep: (point.alpha, point.sigma) for point in s}

    def exact(x: Any, timesteps: Any) -> Any:
        alpha, sigma = scales[timesteps[0].item()]
        return alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * x

    def warm(last: float, noise: float) -> float:
        x = s.add_noise(np.array([[last]]), np.array([[noise]]), k - 1)
        result: float = sample(exact, s[:k], DDIM(), x, prediction="x0").item()
        return result

    of_last, of_noise = warm(1.0, 0.0), warm(0.0, 1.0)
    variance = (of_last * spread) ** 2 + of_noise**2
    assert variance == pytest.approx(spread**2, rel=0.1)
    alpha, sigma = s.alpha[k - 1], s.sigma[k - 1]
    correlation = alpha * spread / np.hypot(alpha * spread, sigma)
    assert of_last * spread / np.sqrt(variance) == pytest.approx(correlation, rel=1e-9)


def test_what_is_handed_out_is_not_written_to(lib: Library) -> None:
    plan = UniPC(2).plan(FAST.as_ve())
    held = FrameRun(plan, lib.array(X), frames(plan, [0, 1, 2]), prediction="v")
    shown: list[Any] = []
    while not held.done:
        handed = held.input
        held.advance(handed)  # the worst that a network may return
        shown += [(array, host(array).copy()) for array in (handed, held.x)]
    for array, before in shown:
        np.testing.assert_array_equal(host(array), before)


PLAN = DDPM().plan(FAST)
MATRIX = frames(PLAN, [0, 1, 2])
GIVEN = frames(PLAN, [0, 0, 0], first=6)


def part(**how: Any) -> FrameRun:
    arguments = {"plan": PLAN, "x": X, "matrix": MATRIX, "noise": 1} | how
    return FrameRun(**arguments)


def changed(place: tuple[int, int], value: int) -> np.ndarray:
    matrix = MATRIX.copy()
    matrix[place] = value
    return matrix


def learned_schedule() -> Plan:
    torch = pytest.importorskip("torch")
    betas = torch.linspace(0.1, 0.2, 6, dtype=torch.float64, requires_grad=True)
    return DDIM().plan(Schedule.from_betas(betas))


def shifted(x: Any = None, **how: Any) -> Any:
    """Shift a run whose first frame is finished."""
    noise = how.pop("noise", 1)
    held = part(matrix=frames(PLAN, [0, 0, 0], first=[6, 0, 0]), noise=noise)
    return held.shift(x, **how)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "plan": (lambda: part(plan=FAST), TypeError, ["plan", "Schedule"]),
    "x without frames": (lambda: part(x=X[:, 0, 0]), ValueError, ["x", "(B, T, ...)", "(2,)"]),
    "x of no frames": (lambda: part(x=X[:, :0]), ValueError, ["x", "(2, 0, 2)"]),
    "matrix of other frames": (
        lambda: part(matrix=MATRIX[:, :2]),
        ValueError,
        ["matrix", "(sweeps, 3)", "(8, 2)"],
    ),
    "matrix without sweeps": (lambda: part(matrix=MATRIX[:0]), ValueError, ["matrix", "(0, 3)"]),
    "matrix of floats": (lambda: part(matrix=MATRIX * 1.0), TypeError, ["matrix", "float64"]),
    "matrix out of range": (
        lambda: part(matrix=changed((1, 2), 7)),
        ValueError,
        ["matrix[1, 2] is 7", "0 to 5"],
    ),
    "matrix that skips": (
        lambda: part(matrix=changed((2, 0), 3)),
        ValueError,
        ["matrix[2, 0] is 3 after 1", "2 was due", "consecutive"],
    ),
    "matrix that finishes at once": (
        lambda: part(matrix=changed((1, 2), 6)),
        ValueError,
        ["matrix[1, 2] is 6 after -1", "-1 to 5 was due"],
    ),
    "matrix that ends early": (
        lambda: part(matrix=MATRIX[:-1]),
        ValueError,
        ["matrix[6, 2] is 4", "last sweep", "5"],
    ),
    "a row with memories": (
        lambda: part(plan=UniPC(2).plan(FAST), matrix=frames(PLAN, [0] * 3, first=[0, 0, 3])),
        ValueError,
        ["matrix[0, 2] is 3", "row 3 takes what row 2 remembered"],
    ),
    "a stage": (
        lambda: part(plan=(h := Heun().plan(FAST)), matrix=frames(h, [0, 0, 2], first=[0, 0, 3])),
        ValueError,
        ["matrix[2, 2] is 3", "stage of step 1"],
    ),
    "a gradient": (
        lambda: part(plan=(p := learned_schedule()), x=p.a.detach()[None, :3, None], noise=None),
        ValueError,
        ["plan", "gradient", "all frames at once"],
    ),
    "clip of all frames": (
        lambda: part(clip=lambda x0: x0),
        ValueError,
        ["clip is a function", "(low, high)"],
    ),
    "plan to noise": (
        lambda: part(plan=(p := DDIM().plan(FAST).reversed()), matrix=frames(p, [0, 1, 2])),
        ValueError,
        ["plan", "from data to noise"],
    ),
    "clean_timestep": (lambda: part(clean_timestep="0"), TypeError, ["clean_timestep", "'0'"]),
    "clean_timestep between": (
        lambda: part(clean_timestep=0.5),
        ValueError,
        ["clean_timestep is 0.5", "integer"],
    ),
    "too many outputs": (
        lambda: finished(part(), lambda x, timesteps: x[:, :2]),
        ValueError,
        ["model output", "(2, 3, 2)", "(2, 2, 2)"],
    ),
    "no variance": (
        lambda: finished(part(plan=DDPM("learned").plan(FAST))),
        ValueError,
        ["learned variance"],
    ),
    "at its end": (lambda: part(matrix=GIVEN).input, ValueError, ["at its end"]),
    "output at its end": (lambda: part(matrix=GIVEN).advance(X), ValueError, ["at its end"]),
    "shift of a frame under way": (
        lambda: part().shift(),
        ValueError,
        ["frame 0", "row 0 of 6", "finished"],
    ),
    "shift of two": (lambda: shifted(X[:, :2]), ValueError, ["frame 1", "row 0 of 6"]),
    "shift of another shape": (
        lambda: shifted(X[:, :1, :1]),
        ValueError,
        ["x", "(2, 1, 2)", "(2, 1, 1)"],
    ),
    "shift of too many": (
        lambda: shifted(np.ones((2, 4, 2))),
        ValueError,
        ["x", "(2, 3, 2)", "(2, 4, 2)"],
    ),
    "shift of nothing": (lambda: shifted(X[:, :0]), ValueError, ["x", "(2, 1, 2)", "(2, 0, 2)"]),
    "shift of no plan": (
        lambda: part(plan=DDPM().plan(FAST[:0]), matrix=MATRIX[:0]).shift(X[:, :1]),
        ValueError,
        ["plan has no rows"],
    ),
    "state of another plan": (
        lambda: FrameRun.resume(DDIM().plan(FAST), part().state()),
        ValueError,
        ["state", "another plan"],
    ),
    "state without sweep": (
        lambda: FrameRun.resume(PLAN, begin(PLAN, X, noise=1).state()),
        ValueError,
        ["state lacks ['sweep', 'first']"],
    ),
    "state of other frames": (
        lambda: FrameRun.resume(PLAN, {**part().state(), "wait": np.zeros(2, int)}),
        ValueError,
        ["state['wait']", "(3,)", "[0, 0]"],
    ),
    "state of other memories": (
        lambda: FrameRun.resume(PLAN, {**part().state(), "memories": X[None]}),
        ValueError,
        ["state['memories']", "(0, 2, 3, 2)", "(1, 2, 3, 2)"],
    ),
    "state of a row that is not there": (
        lambda: FrameRun.resume(PLAN, {**part().state(), "row": np.array([0, 7, 0])}),
        ValueError,
        ["state['row']", "0 to 6", "[0, 7, 0]"],
    ),
    "no state": (lambda: FrameRun.resume(PLAN, None), TypeError, ["state", "NoneType"]),
    "state of a generator": (
        lambda: part(noise=np.random.default_rng(1)).state(),
        ValueError,
        ["noise comes from a generator"],
    ),
    "clean_timestep between whole ones": (
        lambda: part(matrix=frames(PLAN, [0, 0, 0]), clean_timestep=0.5),
        ValueError,
        ["clean_timestep is 0.5", "integer"],
    ),
    "shift to before": (lambda: shifted(offset=-1), ValueError, ["offset is -1"]),
    "shift without seeds": (
        lambda: shifted(noise=np.random.default_rng(1)),
        ValueError,
        ["x", "must be given", "seed"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_what_cannot_be_traced_is_named() -> None:
    torch = pytest.importorskip("torch")
    compiled = torch.compile(lambda x: finished(part(x=x)), backend="eager")
    with pytest.raises(ValueError, match="x is traced by a compiler"):
        compiled(torch.tensor(X))
    jax = pytest.importorskip("jax")
    with pytest.raises(ValueError, match="noise holds seeds that are traced"):
        jax.jit(lambda x, seed: finished(part(x=x, noise=seed)))(X.astype(np.float32), 7)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_previews_are_those_of_the_ordinary_run(prediction: Any, lib: Library) -> None:
    """Of a frame that waits, the first; of one that is finished, x."""
    plan = DDPM().plan(FAST)
    whole = begin(plan, lib.array(X), prediction=prediction, clip=(-1, 1), noise=7)
    previews = []
    while not whole.done:
        whole.advance(timeless(whole.input, whole.timesteps))
        previews.append(host(whole.x0))
    previews.append(host(whole.x))
    matrix = frames(plan, [1, 0, 2])
    held = FrameRun(plan, lib.array(X), matrix, prediction=prediction, clip=(-1, 1), noise=7)
    assert held.x0 is None
    for rows in matrix:
        held.advance(timeless(held.input, held.timesteps))
        assert lib.is_mine(held.x0)
        expected = [previews[max(int(k), 0)][:, t] for t, k in enumerate(rows)]
        within = 1e-4 if lib.widest == "float32" else 1e-10
        np.testing.assert_allclose(host(held.x0), np.stack(expected, axis=1), atol=within)
    held.shift()
    assert held.x0 is None


def test_a_preview_that_is_not_determined_is_named() -> None:
    plan, meaning = DDIM().plan(FAST.rescale_zero_terminal_snr()), parameterization("epsilon")
    with pytest.raises(ValueError, match="'epsilon' does not determine x0 at timestep 999"):
        predicted(plan, meaning, None, np.array([2, 0, 1]), X, X)
    assert predicted(plan, meaning, None, np.array([2, 1, 1]), X, X).shape == X.shape
