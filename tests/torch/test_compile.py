"""Functions that call `sample`, compiled by torch.compile and exported: a run is one graph."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    ClassifierFreeGuidance,
    Denoiser,
    DynamicThreshold,
    Euler,
    Heun,
    Plan,
    Restart,
    Schedule,
    UniPC,
    begin,
    classifier_guidance,
    edm,
    initial_noise,
    inpaint,
    run,
    sample,
    sample_steps,
    switch,
)
from schedalg.network.bounds import Clamp
from tests.registry.samplers import SAMPLERS

torch = pytest.importorskip("torch")
dynamo = pytest.importorskip("torch._dynamo")

from torch._dynamo.utils import counters  # noqa: E402

TWELVE = Schedule.linear(1000).subsample(steps=12)
EIGHT = Schedule.linear(1000).subsample(steps=8)
FIVE = Schedule.linear(1000).subsample(steps=5)
FOUR = FIVE[:4]
TWO = Schedule.linear(1000).subsample(steps=5)[:2]  # whose arrays are parts of others
KARRAS = Schedule.karras(4)
X = torch.tensor(np.random.default_rng(0).standard_normal((2, 6)))

torch.manual_seed(0)
NET = torch.nn.Sequential(
    torch.nn.Linear(7, 8, dtype=torch.float64),
    torch.nn.Tanh(),
    torch.nn.Linear(8, 6, dtype=torch.float64),
).requires_grad_(False)


def network(x: Any, t: Any) -> Any:
    return NET(torch.cat([x, t[:, None].to(x.dtype) / 1000], dim=1))


def conditional(x: Any, t: Any, y: Any) -> Any:
    return network(x, t) + y[:, None]


def learned(x: Any, t: Any) -> Any:
    return torch.cat([network(x, t), torch.tanh(x)], dim=1)


@pytest.fixture(autouse=True)
def _without_earlier_programs() -> Iterator[None]:
    dynamo.reset()
    counters.clear()
    yield
    dynamo.reset()


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Return the function as one program, without a compiler behind it."""
    program: Callable[..., Any] = torch.compile(
        function, fullgraph=True, backend="eager", **options
    )
    return program


def graphs() -> int:
    """Return how many graphs were made; there must be no breaks between them."""
    assert not counters["graph_break"]
    return int(counters["stats"]["unique_graphs"])


def assert_close(result: Any, expected: Any) -> None:
    assert type(result) is type(expected)
    torch.testing.assert_close(result, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("sampler", [DDIM(), UniPC(3), DDPM()], ids=["DDIM", "UniPC", "DDPM"])
def test_a_network_and_twelve_steps_are_one_graph(sampler: Any) -> None:
    def policy(x: Any) -> Any:
        return sample(network, TWELVE, sampler, x, noise=7)

    program = compiled(policy)
    for x in (X, -X, 2 * X):  # the second call makes nothing anew
        assert_close(program(x), policy(x))
    assert graphs() == 1
    # And nothing of ours was left out of it: the operations of twelve calls are there.
    assert counters["stats"]["calls_captured"] > 12 * 5


def by_sampler(name: str, x: Any) -> Any:
    sampler = SAMPLERS[name].sampler
    schedule = EIGHT if isinstance(sampler, Restart) else FIVE
    return sample(lambda x, t: x / 8, schedule, sampler, x, noise=[3, 4])


@cache
def in_one_program(names: tuple[str, ...]) -> dict[str, Any]:
    """Return a sample of each sampler by one program: apart, they take twice as long to trace.

    None of any, where the program cannot be made: then each is traced by itself.
    """
    try:
        results = compiled(lambda x: [by_sampler(name, x) for name in names])(X)
    except Exception:
        return {}
    return dict(zip(names, results, strict=True)) if graphs() == 1 else {}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_one_graph(name: str) -> None:
    names = list(SAMPLERS)
    first = names.index(name) // 10 * 10
    result = in_one_program(tuple(names[first : first + 10])).get(name)
    if result is None:
        dynamo.reset()
        counters.clear()
        result = compiled(lambda x: by_sampler(name, x))(X)
        assert graphs() == 1
    assert_close(result, by_sampler(name, X))


GUIDED = ClassifierFreeGuidance(conditional, 3.0, {"y": X[:, 0]}, {"y": 0 * X[:, 0]})
THRESHOLD = DynamicThreshold(0.9)
DENOISER = Denoiser(network, FIVE, clip=(-1, 1))
PULLED = classifier_guidance(Denoiser(network, FIVE), lambda x, t: 1 - x, scale=0.1)
MOVED = classifier_guidance(Denoiser(network, FIVE), lambda x, t: 1 - x, shift="mean")
SWITCHED = switch(Denoiser(network, FIVE), DENOISER, sigma_min=1.0)
FILLED = inpaint(Denoiser(network, FIVE), 0 * X, (X > 0).to(X.dtype))
EDM = edm(0.7)
LEARNED = Schedule.from_log_snr(torch.tensor([2.0, 0.0], requires_grad=True))
PLAN = UniPC(2).plan(FIVE)


def by_hand(x: Any) -> Any:
    r = begin(PLAN, x, prediction="v")
    levels = 0.0
    while not r.done:
        levels = levels + r.point.sigma
        r.advance(network(r.input, r.timesteps))
    return r.x + levels + r.x0


def with_previews(x: Any) -> Any:
    return [x0 for _, x0 in sample_steps(network, FIVE, DDIM(), x, previews=True)][1]


WAYS: dict[str, Callable[[Any], Any]] = {
    "clip": lambda x: sample(network, FIVE, UniPC(2), x, clip=(-1, 1)),
    "clip, an object": lambda x: sample(network, FIVE, DDIM(), x, clip=Clamp(-1.0, 1.0)),
    "clip, a function": lambda x: sample(network, FIVE, DDIM(), x, clip=THRESHOLD),
    "learned variance": lambda x: sample(learned, FIVE, DDPM("learned_range"), x, noise=1),
    "no seed": lambda x: sample(network, FIVE, DDPM(), x, noise=torch.zeros_like),
    "guidance": lambda x: sample(GUIDED, FIVE, DDIM(), x),
    "keywords": lambda x: sample(conditional, FIVE, DDIM(), x, y=x[:, 0]),
    "denoiser": lambda x: sample(DENOISER, FOUR, DDIM(), x),
    "classifier": lambda x: sample(PULLED, FIVE, DDIM(), x),
    "classifier, mean": lambda x: sample(MOVED, FIVE, DDPM(), x, noise=1),
    "switch": lambda x: sample(SWITCHED, FIVE, UniPC(2), x),
    "inpaint": lambda x: sample(FILLED, FIVE, DDIM(), x),
    "edm": lambda x: sample(network, KARRAS, Heun(), x, prediction=EDM),
    "made inside": lambda x: sample(network, FIVE, DDIM(0.5), x, noise=[1, 2]),
    "noise before the first row": lambda x: sample(network, KARRAS, Euler(s_churn=2.0), x, noise=1),
    "half precision": lambda x: sample(lambda x, t: x / 8, FIVE, DDPM(), x.bfloat16(), noise=1),
    "a start from seeds": lambda x: sample(
        network, KARRAS, DDIM(), initial_noise(KARRAS, (2, 6), [5, 6], like=x)
    ),
    "run": lambda x: run(PLAN, network, x),
    "begin": by_hand,
    "steps": lambda x: torch.stack(list(sample_steps(network, FIVE, DDIM(), x))),
    "previews": with_previews,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_running_is_one_graph(way: str) -> None:
    program = compiled(WAYS[way])
    for x in (X, -X):
        assert_close(program(x), WAYS[way](x))
    assert graphs() == 1


def test_the_first_call_of_a_process_may_be_a_compiled_one() -> None:
    """The backend is found while the call is traced."""
    code = """
import warnings; warnings.simplefilter("error")
import torch
from schedalg import DDIM, Schedule, sample
s = Schedule.linear(1000).subsample(steps=2)
policy = torch.compile(
    lambda x: sample(lambda x, t: x / 2, s, DDIM(), x), fullgraph=True, backend="eager"
)
result = policy(torch.ones(1, 2))
print(torch.equal(result, sample(lambda x, t: x / 2, s, DDIM(), torch.ones(1, 2))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


class Halving:
    """A sampler of one's own that is no dataclass."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def plan(self, schedule: Schedule) -> Plan:
        n = len(schedule)
        return Plan.of(schedule, a=np.full(n, self.factor), b=np.zeros(n))


HALVING = Halving(0.5)


def test_another_value_is_another_program() -> None:
    """What a program holds as a constant is compared in each call."""
    used: dict[str, Any] = {}

    def policy(x: Any) -> Any:
        schedule, meaning, clip = used["schedule"], used["meaning"], used["clip"]
        return sample(network, schedule, used["sampler"], x, prediction=meaning, clip=clip)

    first = {"schedule": FIVE, "sampler": DDIM(), "meaning": "epsilon", "clip": None}
    others = {"schedule": FOUR, "sampler": HALVING, "meaning": edm(2.0), "clip": (-2.0, 1.0)}
    used.update(first)
    program = compiled(policy)
    results = [program(X)]
    for name, other in others.items():
        used.update(first | {name: other})
        results.append(program(X))
        assert_close(results[-1], policy(X))
    assert graphs() == 5
    assert len({result.sum().item() for result in results}) == 5


def test_numbers_are_compared_too() -> None:
    used: dict[str, Any] = {}

    def policy(x: Any) -> Any:
        return sample(network, TWO, DDIM(used["eta"]), x, noise=3, clip=(used["low"], 1.0))

    program = torch.compile(policy, backend="eager")
    for eta, low in ((0.5, -1.0), (0.25, -1.0), (0.75, -1.0), (0.75, -2.0), (0.5, -3.0)):
        used.update(eta=eta, low=low)
        assert_close(program(X), policy(X))


def test_a_sampler_that_changes_is_compared() -> None:
    sampler = Halving(0.5)
    program = torch.compile(lambda x: sample(network, FIVE, sampler, x), backend="eager")
    for factor in (0.5, 0.25, 0.75):
        sampler.factor = factor
        assert_close(program(X), X * factor**5)


def test_a_plan_made_outside_is_compared() -> None:
    used = {"plan": DDIM().plan(FIVE)}
    program = compiled(lambda x: run(used["plan"], network, x))
    before = program(X)
    used["plan"] = UniPC(2).plan(FIVE)
    assert_close(program(X), run(used["plan"], network, X))
    assert not torch.equal(program(X), before)


def test_an_equal_sampler_is_the_same_program() -> None:
    program = compiled(lambda x, sampler: sample(network, FIVE, sampler, x))
    for _ in range(3):
        program(X, DDIM())
    assert graphs() == 1


def test_gradients_go_through_a_program() -> None:
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def policy(x: Any) -> Any:
        return sample(lambda x, t: weight * torch.tanh(x), FIVE, UniPC(2), x)

    program = torch.compile(policy, fullgraph=True, backend="aot_eager")
    x = X.clone().requires_grad_()
    expected = torch.autograd.grad(policy(x).square().sum(), (x, weight))
    assert_close(torch.autograd.grad(program(x).square().sum(), (x, weight)), expected)
    assert graphs() == 1


def test_a_program_may_serve_all_batch_sizes() -> None:
    def policy(x: Any) -> Any:
        return sample(network, FIVE, UniPC(2), x, clip=(-1, 1))

    program = compiled(policy, dynamic=True)
    for batch in (2, 3, 5):
        x = torch.ones(batch, 6, dtype=torch.float64)
        assert_close(program(x), policy(x))
    assert graphs() == 1


def test_seeds_are_constants_of_a_program() -> None:
    """Another batch, or another seed, is another program."""

    def policy(x: Any, seed: int) -> Any:
        return sample(network, FIVE, DDPM(), x, noise=seed)

    program = compiled(policy)
    for batch, seed in ((2, 7), (3, 7), (3, 8), (3, 2**100)):
        x = torch.ones(batch, 6, dtype=torch.float64)
        for _ in range(2):
            assert_close(program(x, seed), policy(x, seed))
    assert graphs() == 4


def test_without_a_seed_each_call_draws_anew() -> None:
    program = compiled(lambda x: sample(network, FIVE, DDPM(), x))
    torch.manual_seed(3)
    first, second = program(X), program(X)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(program(X), first)
    assert graphs() == 1


MADE_INSIDE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "sampler": (
        lambda x: sample(network, FIVE, Halving(0.5), x),
        "sampler: a Halving that is made",
    ),
    "sampler of a sampler": (
        lambda x: sample(network, FIVE, Restart(DDIM(0.5), ((0, 2, 1),)), x, noise=1),
        "sampler: a DDIM that is made inside",
    ),
    "prediction": (
        lambda x: sample(network, KARRAS, DDIM(), x, prediction=edm(0.7)),
        "prediction: a Parameterization that is made inside",
    ),
}


@pytest.mark.parametrize("name", MADE_INSIDE)
def test_what_is_made_inside_and_is_not_known_is_refused(name: str) -> None:
    function, message = MADE_INSIDE[name]
    for fullgraph in (True, False):
        with pytest.raises(Exception, match=rf"{message}.*make it outside"):
            torch.compile(function, fullgraph=fullgraph, backend="eager")(X)


def test_a_sampler_of_ones_own_is_one_graph_where_it_is_made_outside() -> None:
    assert_close(compiled(lambda x: sample(network, FIVE, HALVING, x))(X), X / 2**5)
    assert graphs() == 1


def test_bad_input_is_named_where_a_call_is_traced() -> None:
    for function, message in (
        (lambda x: sample(network, FIVE, DDPM(), x, noise=-1), "noise: a seed must be at least 0"),
        (
            lambda x: sample(network, FIVE, DDPM(), x, noise=[1]),
            "noise holds 1 seeds for 2 samples",
        ),
        (lambda x: sample(network, FIVE, DDPM(), x, noise=x), "noise in a function that is being"),
        (lambda x: sample(network, FIVE, DDIM, x), "sampler must be an object, such as DDIM"),
        (lambda x: sample(network, LEARNED, DDIM(), x), "a schedule that requires a gradient"),
    ):
        with pytest.raises(Exception, match=message):
            torch.compile(function, backend="eager")(X)


class Stepping:
    """A sampler without a plan."""

    def init(self, x: Any, schedule: Schedule) -> None:
        return None

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
        x0 = denoise(x, t)
        return s.alpha * x0 + s.sigma * (x - t.alpha * x0) / t.sigma + 0 * noise(x), None


def test_what_cannot_be_one_graph_steps_aside() -> None:
    stepping = Stepping()
    functions: list[Callable[[Any], Any]] = [
        lambda x: sample(network, TWO, stepping, x, noise=3),
        lambda x: sample(network, TWO, DDIM(), x, check_finite=True),
        lambda x: sample(network, TWO, DDPM(), x, noise=torch.Generator().manual_seed(0)),
        lambda x: sample(network, TWO, DDPM(), x, noise=np.random.default_rng(0)),
    ]
    for function in functions:
        dynamo.reset()
        assert_close(torch.compile(function, backend="eager")(X), function(X))
        dynamo.reset()
        with pytest.raises(Exception, match=r"graph|trace|data-dependent"):
            compiled(function)(X)


class Policy(torch.nn.Module):  # type: ignore[misc,name-defined]
    """A network and how it is sampled, as one module."""

    def __init__(self, sampler: Any, noise: Any = None) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(7, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6)
        )
        self.sampler = sampler
        self.noise = noise

    def model(self, x: Any, t: Any) -> Any:
        return self.net(torch.cat([x, t[:, None] / 1000], dim=1))

    def forward(self, x: Any) -> Any:
        return sample(self.model, FIVE, self.sampler, x, clip=(-1.0, 1.0), noise=self.noise)


BATCH = torch.export.Dim("batch", min=1, max=64)


@pytest.mark.parametrize("strict", [False, True])
def test_a_whole_run_is_exported(strict: bool) -> None:
    x = X.float()
    with torch.no_grad():
        for sampler in (DDIM(), UniPC(3)):
            policy = Policy(sampler).eval()
            exported = torch.export.export(
                policy, (x,), strict=strict, dynamic_shapes={"x": {0: BATCH}}
            )
            for batch in (x, torch.cat([x, -x, x])):
                torch.testing.assert_close(exported.module()(batch), policy(batch))
        policy = Policy(DDPM(), noise=7).eval()
        exported = torch.export.export(policy, (x,), strict=strict)
        torch.testing.assert_close(exported.module()(x), policy(x))


def test_a_whole_run_is_exported_to_onnx(tmp_path: Any) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    x = X.float()
    for sampler, noise, dynamic in (
        (UniPC(3), None, {"x": {0: BATCH}}),
        (DDPM(), 7, None),
    ):
        policy = Policy(sampler, noise).eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter is told of its own deprecations
            program = torch.onnx.export(
                policy, (x,), dynamo=True, dynamic_shapes=dynamic, verbose=False
            )
            program.save(tmp_path / "policy.onnx")
            expected = [policy(x), policy(torch.cat([x, -x]))] if dynamic else [policy(x)]
        session = runtime.InferenceSession(
            tmp_path / "policy.onnx", providers=["CPUExecutionProvider"]
        )
        for batch, result in zip((x, torch.cat([x, -x])), expected, strict=False):
            (got,) = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
            torch.testing.assert_close(torch.from_numpy(got), result)
