"""Runs held in one's own hands: what `run` does, to the same bits, however often they stop."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    DPMSolverPP,
    DynamicThreshold,
    Heun,
    Plan,
    Restart,
    Run,
    Schedule,
    UniPC,
    begin,
    edm,
    resume,
    run,
    sample,
    sample_steps,
)
from tests.libraries import Library, host, lib  # noqa: F401
from tests.registry.samplers import SAMPLERS

FAST = Schedule.linear(1000).subsample(steps=8)
LONG = Schedule.linear(1000).subsample(steps=9)
X = np.random.default_rng(5).standard_normal((2, 2, 3))
CLIPS: list[Any] = [None, (-1.0, 1.0), DynamicThreshold()]


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


def learned(x: Any, timesteps: Any) -> Any:
    return np.concatenate([network(x, timesteps), np.tanh(x)], axis=1)


def finished(held: Run, model: Any = network) -> Any:
    while not held.done:
        held.advance(model(held.input, held.timesteps))
    return held.x


def stopped(plan: Plan, x: Any, after: int, model: Any = network, **how: Any) -> dict[str, Any]:
    """Return the state of a run after some rows."""
    held = begin(plan, x, **how)
    for _ in range(after):
        held.advance(model(held.input, held.timesteps))
    return held.state()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_loop_of_ones_own_is_run(name: str) -> None:
    sampler = SAMPLERS[name].sampler
    for schedule in (FAST, FAST.as_ve()):
        plan = sampler.plan(schedule)
        for clip in CLIPS:
            how: dict[str, Any] = {"prediction": "v", "clip": clip, "noise": [3, 4]}
            expected = run(plan, network, X, **how)
            np.testing.assert_array_equal(finished(begin(plan, X, **how)), expected)


@given(st.data())
def test_a_run_that_stops_goes_on_to_the_same_bits(data: st.DataObject) -> None:
    sampler = SAMPLERS[data.draw(st.sampled_from(sorted(SAMPLERS)))].sampler
    plan = sampler.plan(data.draw(st.sampled_from([FAST, FAST.as_ve(), LONG[1:]])))
    function = data.draw(st.booleans())
    how: dict[str, Any] = {
        "prediction": data.draw(st.sampled_from(["v", "x0", edm(0.3)])),
        "clip": DynamicThreshold() if function else data.draw(st.sampled_from(CLIPS[:2])),
    }
    again = {key: how[key] for key in ("prediction", "clip") if not isinstance(how[key], str)}
    expected = run(plan, network, X, noise=[8, 1], **how)
    state = stopped(plan, X, 0, noise=[8, 1], **how)
    for cut in data.draw(st.lists(st.integers(0, len(plan)), max_size=3).map(sorted)):
        held = resume(plan, state, **again)
        while held.row < cut:
            held.advance(network(held.input, held.timesteps))
        state = held.state()
    np.testing.assert_array_equal(finished(resume(plan, state, **again)), expected)


def test_a_run_with_a_learned_variance_stops_and_goes_on() -> None:
    plan = DDPM("learned_range").plan(FAST)
    expected = run(plan, learned, X, noise=2)
    for after in (0, 3, len(plan)):
        held = resume(plan, stopped(plan, X, after, learned, noise=2))
        np.testing.assert_array_equal(finished(held, learned), expected)


def test_every_library_stops_and_goes_on(lib: Library) -> None:  # noqa: F811
    for sampler in (DDPM(), UniPC(3), Restart(Heun(), [(1, 4, 2)])):
        plan = sampler.plan(FAST)
        x = lib.array(X)
        expected = host(run(plan, network, x, noise=6))
        for after in (0, 2, 5):
            state = stopped(plan, x, after, noise=6)
            assert lib.is_mine(state["x"])
            assert lib.is_mine(state["memories"])
            np.testing.assert_array_equal(host(finished(resume(plan, state))), expected)


GO_ON = """
import sys, numpy as np
from schedalg import UniPC, Schedule, resume
from tests.running.test_state import FAST, finished
with np.load(sys.argv[1]) as state:
    held = resume(UniPC(3).plan(FAST), dict(state))
np.save(sys.argv[2], finished(held))
"""


def test_another_process_goes_on(tmp_path: Path) -> None:
    plan = UniPC(3).plan(FAST)
    np.savez(tmp_path / "state.npz", **stopped(plan, X, 4))
    files = [str(tmp_path / name) for name in ("state.npz", "x.npy")]
    subprocess.run([sys.executable, "-c", GO_ON, *files], check=True)
    np.testing.assert_array_equal(np.load(files[1]), run(plan, network, X))


def test_a_state_is_saved_as_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    for dtype in (torch.float32, torch.bfloat16):
        plan, x = DPMSolverPP(2, eta=1.0).plan(FAST), torch.tensor(X, dtype=dtype)
        state = stopped(plan, x, 4, noise=5)
        file = str(tmp_path / "state.safetensors")
        safetensors.save_file({key: torch.as_tensor(part) for key, part in state.items()}, file)
        held = resume(plan, safetensors.load_file(file))
        assert torch.equal(finished(held), run(plan, network, x, noise=5))


def test_a_run_shows_where_it_is() -> None:
    plan = Heun().plan(Schedule.karras(4).as_vp())
    held = begin(plan, X, prediction="x0")
    assert held.x0 is None
    denoise = Denoiser(network, plan.schedule, "x0")
    while not held.done:
        k = held.row
        assert held.point.timestep == held.timesteps[0] == plan.timesteps[k]
        assert (held.point.alpha, held.point.sigma) == (plan.alpha[k], plan.sigma[k])
        expected = denoise(held.x, held.point)
        held.advance(network(held.input, held.timesteps))
        assert held.x0 is not None
        np.testing.assert_allclose(held.x0, expected, rtol=1e-12, atol=1e-12)
        assert held.row == k + 1
    for what in ("input", "timesteps", "point"):
        with pytest.raises(ValueError, match="the run is at its end: all 7 rows are done"):
            getattr(held, what)
    with pytest.raises(ValueError, match="the run is at its end"):
        held.advance(X)


@pytest.mark.parametrize("clip", CLIPS, ids=repr)
@pytest.mark.parametrize("sampler", [DDIM(), UniPC(3), DDPM()], ids=repr)
def test_previews_are_the_predictions(sampler: Any, clip: Any) -> None:
    """Those of the network, and of a denoiser that stands in its place."""
    denoise = Denoiser(network, FAST, "v", clip=clip)
    outer = Denoiser.from_function(lambda x, t, inner: inner(x, t), FAST, denoise)
    for model in (denoise, outer):
        x = X
        pairs = list(sample_steps(model, FAST, sampler, X, noise=4, previews=True))
        steps = list(sample_steps(model, FAST, sampler, X, noise=4))
        for point, (after, x0), step in zip(reversed(FAST), pairs, steps, strict=True):
            np.testing.assert_allclose(x0, denoise(x, point), rtol=1e-10, atol=1e-10)
            np.testing.assert_array_equal(after, step)
            x = after


def test_previews_of_a_sampler_without_a_plan() -> None:
    class Straight:
        def init(self, x: Any, schedule: Any) -> None: ...

        def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
            return s.alpha * denoise(x, t) + s.sigma / t.sigma * (x - t.alpha * denoise(x, t)), None

    pairs = list(sample_steps(network, FAST, Straight(), X, prediction="v", previews=True))
    usual = list(sample_steps(network, FAST, DDIM(), X, prediction="v", previews=True))
    np.testing.assert_allclose(pairs, usual, rtol=1e-9, atol=1e-12)


def test_what_a_run_hands_out_is_not_written_to(lib: Library) -> None:  # noqa: F811
    for sampler in (DDIM(), UniPC(3), DDPM()):
        for schedule in (FAST, FAST.as_ve()):
            held = begin(sampler.plan(schedule), lib.array(X), prediction="v", noise=1)
            shown: list[Any] = []
            while not held.done:
                given = held.input
                held.advance(given)  # the worst that a network may return
                shown += [(array, host(array).copy()) for array in (given, held.x, held.x0)]
            for array, before in shown:
                np.testing.assert_array_equal(host(array), before)


def test_a_gradient_flows_through_a_run_held_in_hand() -> None:
    torch = pytest.importorskip("torch")
    gradients = []
    walks: list[Callable[..., Any]] = [
        lambda plan, x: run(plan, network, x),
        lambda plan, x: finished(begin(plan, x)),
    ]
    for walk in walks:
        x = torch.tensor(X, requires_grad=True)
        torch.sum(walk(UniPC(2).plan(FAST), x)).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)
    held = begin(UniPC(2).plan(FAST), torch.tensor(X, requires_grad=True))
    with pytest.raises(ValueError, match="a gradient flows through the run"):
        held.state()


class TestBadInput:
    """What is wrong is named."""

    plan = DDPM().plan(FAST)

    def test_begin(self) -> None:
        with pytest.raises(
            TypeError, match=r"plan must be a Plan, as DDIM\(\)\.plan\(schedule\) is; got"
        ):
            begin(FAST, X)
        with pytest.raises(TypeError, match="x must be an array"):
            begin(self.plan, [1.0])
        with pytest.raises(ValueError, match="'epsilon'"):
            begin(self.plan, X, prediction="eps")
        with pytest.raises(ValueError, match="noise holds 3 seeds for 2 samples"):
            begin(self.plan, X, noise=[1, 2, 3])

    def test_outputs(self) -> None:
        held = begin(self.plan, X, noise=1)
        with pytest.raises(ValueError, match=r"timestep 999 has the wrong shape.* got \(2, 2\)"):
            held.advance(X[:, :, 0])
        with pytest.raises(TypeError, match="model output at timestep 999 is None"):
            held.advance(None)
        assert held.row == 0
        variance = begin(DDPM("learned").plan(FAST), X, noise=1)
        with pytest.raises(ValueError, match="a learned variance needs a network"):
            variance.advance(X)
        held = begin(self.plan, X.copy(), noise=1)
        held.input.shape = (2, 6)
        with pytest.raises(ValueError, match="model changed the shape of its input"):
            held.advance(X)

    def test_states(self) -> None:
        state = stopped(self.plan, X, 3, noise=1, prediction="v", clip=(-1, 1))
        cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            ({"x": X.astype(np.float32)}, {}, "state was in float64, and its x is in float32"),
            ({"row": 9}, {}, r"state\['row'\] is 9: rows of the plan are 0 to 8"),
            ({"row": -1}, {}, r"state\['row'\] is -1"),
            ({"settings": 3}, {}, r"state\['settings'\] is not what Run.state\(\) returned"),
            (
                {"settings": np.frombuffer(b"{}", dtype=np.uint8)},
                {},
                r"state\['settings'\] is not what Run.state\(\) returned",
            ),
            ({"memories": X[None]}, {}, r"must have shape \(0, 2, 2, 3\), got \(1, 2, 2, 3\)"),
            (
                {"keys": np.ones((3, 2), int)},
                {},
                r"must hold integers of 64 bits, of shape \(2, 2\)",
            ),
            ({"keys": np.ones((2, 2), np.uint32)}, {}, r"of 64 bits, .* got .* dtype uint32"),
            ({"settings": np.zeros(4, np.uint8)}, {}, r"state\['settings'\] is not what"),
            ({}, {"prediction": "x0"}, "prediction is 'x0', and the run began with 'v'"),
            ({}, {"clip": (-2, 1)}, r"clip is \(-2, 1\), and the run began with \[-1.0, 1.0\]"),
        ]
        settings = json.loads(state["settings"].tobytes())
        others: list[Any] = [["v"], {}, 1, [1.0, -1.0], [0.0, None], [0.0], True]
        for name, odd in (("prediction", [*others, None]), ("clip", others)):
            for other in odd:
                text = json.dumps({**settings, name: other}).encode()
                change = {"settings": np.frombuffer(text, dtype=np.uint8)}
                cases.append((change, {}, r"state\['settings'\] is not what Run.state"))
        for values in (np.full(3, np.nan), np.ones(3, complex)):
            cases.append(({"settings": values}, {}, r"state\['settings'\] is not what"))
        for change, how, message in cases:
            with pytest.raises(ValueError, match=message):
                resume(self.plan, {**state, **change}, **how)
        with pytest.raises(ValueError, match="state is of another plan"):
            resume(DDIM().plan(FAST), state)
        for lacking in ("x", "settings"):
            rest = {key: part for key, part in state.items() if key != lacking}
            with pytest.raises(ValueError, match=rf"state lacks \['{lacking}'\]"):
                resume(self.plan, rest)
        keyless = {key: part for key, part in state.items() if key != "keys"}
        with pytest.raises(ValueError, match=r"state lacks \['keys'\], and the plan has noise"):
            resume(self.plan, keyless)
        with pytest.raises(TypeError, match=r"state must be what Run.state\(\) returned"):
            resume(self.plan, None)
        with pytest.raises(TypeError, match=r"state\['x'\] must be an array"):
            resume(self.plan, {**state, "x": None})
        with pytest.raises(TypeError, match=r"state\['row'\] must be an integer"):
            resume(self.plan, {**state, "row": 1.5})

    def test_functions_are_given_again(self) -> None:
        state = stopped(self.plan, X, 3, noise=1, prediction=edm(0.3), clip=DynamicThreshold())
        with pytest.raises(ValueError, match="a Parameterization of its own"):
            resume(self.plan, state, clip=DynamicThreshold())
        with pytest.raises(ValueError, match="a function as clip, which is not in the state"):
            resume(self.plan, state, prediction=edm(0.3))

    def test_another_library(self) -> None:
        torch = pytest.importorskip("torch")
        state = stopped(DDIM().plan(FAST), X, 3)
        with pytest.raises(ValueError, match="was of arrays of numpy, and its x is an array of t"):
            resume(DDIM().plan(FAST), {**state, "x": torch.tensor(X)})

    def test_noise_whose_state_is_not_known(self) -> None:
        for source in (np.random.default_rng(1), lambda x: x):
            held = begin(self.plan, X, noise=source)
            with pytest.raises(ValueError, match="the noise comes from a generator or a function"):
                held.state()
            assert "keys" not in begin(DDIM().plan(FAST), X, noise=source).state()


@pytest.mark.parametrize("copied", [copy, deepcopy])
def test_a_copy_goes_on_by_itself(copied: Any, lib: Library) -> None:  # noqa: F811
    plan = UniPC(3).plan(FAST)
    held = begin(plan, lib.array(X))
    for _ in range(3):
        held.advance(network(held.input, held.timesteps))
    other = copied(held)
    np.testing.assert_array_equal(host(other.x0), host(held.x0))
    other.advance(-network(other.input, other.timesteps))
    whole = run(plan, network, lib.array(X))
    np.testing.assert_array_equal(host(finished(held)), host(whole))
    assert (host(finished(other)) != host(whole)).any()
    with pytest.raises(TypeError, match=r"save its state\(\), and go on from it by resume"):
        pickle.dumps(held)


def test_an_array_of_a_subclass_stops_and_goes_on() -> None:
    class Own(np.ndarray): ...

    state = stopped(UniPC(2).plan(FAST), X.view(Own), 3)
    np.testing.assert_array_equal(
        finished(resume(UniPC(2).plan(FAST), state)), finished(begin(UniPC(2).plan(FAST), X))
    )


def test_sample_is_begin_and_advance() -> None:
    expected = sample(network, FAST, UniPC(2), X)
    np.testing.assert_array_equal(finished(begin(UniPC(2).plan(FAST), X)), expected)
