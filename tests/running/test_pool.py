"""A sample in a pool is, to the last bit, what it is alone, whatever joins and leaves."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import array_api_compat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    DynamicThreshold,
    Euler,
    EulerAncestral,
    Heun,
    Pool,
    Restart,
    Schedule,
    UniPC,
    initial_noise,
    run,
)
from schedalg.running.numpy_stack import NumpyStack
from tests.bad_input import DENOISER, check_named
from tests.libraries import INSTALLED, Library, host
from tests.registry.samplers import SAMPLERS

BASE = Schedule.linear(1000)
SHAPE = (2, 3)
LEARNED = DDPM("learned_range").plan(BASE.subsample(steps=4))
#: Of different lengths, numbers of memories and kinds of noise.
PLANS = [
    DDIM().plan(BASE.subsample(steps=3)),
    DDIM(1.0).plan(BASE.as_ve().subsample(steps=2)),
    DDPM().plan(BASE.subsample(steps=5)),
    LEARNED,
    DPMSolverPP(2).plan(BASE.subsample(steps=6)),
    UniPC(3).plan(BASE.subsample(steps=5)),
    EulerAncestral().plan(BASE.subsample(steps=4)),
    Euler(s_churn=2.0).plan(BASE.subsample(steps=3)).round_timesteps(),
    Restart(Heun(), [(1, 3, 2)]).plan(BASE.subsample(steps=4)).round_timesteps(),
    replace(LEARNED, c=0.5 * LEARNED.c),
]
#: What holds samples of these is not the same.
HELD = ("numpy", "torch")
CLIPS: list[Any] = [None, (-1.0, 1.0), DynamicThreshold()]


def network(x: Any, timesteps: Any, labels: Any) -> Any:
    """Mix the elements of a sample, but no two samples; with a variance for plans that ask."""
    xp: Any = array_api_compat.array_namespace(x)
    t, told = (xp.reshape(xp.astype(of, x.dtype), (-1, 1, 1)) for of in (timesteps, labels))
    y = 0.125 * told + (t * 2.0**-10) * x - 0.1 * xp.flip(x, axis=2) / (1 + x * x)
    return xp.concat([y, 0.5 * y / (1 + y * y)], axis=1)


@cache
def alone(library: Library, dtype: str, plan: int, seed: int, label: int, clip: int) -> np.ndarray:
    """Return a sample as `run` makes it."""
    start = x_of(library, dtype, plan, seed)[None, ...]
    labels = library.array([label])
    x = run(PLANS[plan], network, start, noise=[seed], clip=CLIPS[clip], labels=labels)
    return host(x)[0]


def x_of(library: Library, dtype: str, plan: int, seed: int) -> Any:
    like = library.array([0.0], dtype)
    return initial_noise(PLANS[plan].schedule, (1, *SHAPE), [seed], like=like)[0, ...]


def same(a: Any, b: Any) -> bool:
    """Whether two arrays are equal to the bit."""
    a, b = host(a), host(b)
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


PLACES = st.integers(0, 5)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, len(PLANS) - 1), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("step")),
        st.tuples(st.just("raise")),
        st.tuples(st.just("cancel"), PLACES),
        st.tuples(st.just("call"), PLACES),
    ),
    min_size=8,
    max_size=30,
)


def _of(*names: str) -> list[Any]:
    return [pytest.param(each, id=each.name) for each in INSTALLED if each.name in names]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("library", _of("numpy"))
@settings(max_examples=40)
@given(events=EVENTS, clip=st.integers(0, 2))
def test_whatever_joins_and_leaves(
    library: Library, dtype: str, events: list[Any], clip: int
) -> None:
    check_pool(library, dtype, events, clip)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("library", _of("strict", "torch"))
@settings(max_examples=8)
@given(events=EVENTS, clip=st.integers(0, 2))
def test_whatever_joins_and_leaves_elsewhere(
    library: Library, dtype: str, events: list[Any], clip: int
) -> None:
    if library.name == "strict" and dtype == "float16":
        dtype = "float64"  # which it has, and float16 not
    check_pool(library, dtype, events, clip)


def check_pool(library: Library, dtype: str, events: list[Any], clip: int) -> None:
    """Check every sample of a pool in which these events happen."""
    fails = False

    def model(x: Any, timesteps: Any, labels: Any) -> Any:
        if fails:
            if library.name != "strict":
                x[...] = np.nan
            raise RuntimeError("no memory")
        return network(x, timesteps, labels)

    pool = Pool(model, SHAPE, 4, like=library.array([0.0], dtype), clip=CLIPS[clip])
    waiting: dict[int, tuple[int, int, int]] = {}

    def add(plan: int, seed: int, given: bool) -> None:
        x = x_of(library, dtype, plan, seed) if given else None
        label = seed + plan
        ticket = pool.add(PLANS[plan], seed=seed, x=x, labels=label)
        waiting[ticket] = plan, seed, label

    def check(finished: dict[int, Any]) -> None:
        for ticket, x in finished.items():
            assert same(x, alone(library, dtype, *waiting.pop(ticket), clip))
        assert len(pool) == len(waiting)

    def cancel(place: int) -> None:
        if waiting:
            ticket = list(waiting)[place % len(waiting)]
            pool.cancel(ticket)
            del waiting[ticket]

    for event, *how in events:
        if event == "add" and len(pool) < pool.capacity:
            add(*how)
        elif event == "cancel":
            cancel(*how)
        elif event == "step":
            check(pool.step())
        elif event == "raise" and waiting:
            fails = True
            with pytest.raises(RuntimeError, match="no memory"):
                pool.step()
            fails = False
        elif event == "call" and waiting:  # while which one leaves and one joins
            output = network(pool.input, pool.timesteps, **pool.conditions)
            cancel(*how)
            add(0, 1, False)
            check(pool.advance(output))
    check(pool.drain())
    assert not waiting
    assert pool.step() == {}


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_every_sampler_shares_one_pool(prediction: Any) -> None:
    plans = [entry.sampler.plan(BASE.subsample(steps=8)) for entry in SAMPLERS.values()]
    plans = [plan.round_timesteps() for plan in plans]
    pool = Pool(network, SHAPE, len(plans), prediction=prediction, clip=(-2, 2))
    tickets: dict[int, int] = {}
    finished: dict[int, Any] = {}
    for seed, plan in enumerate(plans):
        tickets[pool.add(plan, seed=seed, labels=1)] = seed
        finished |= pool.step() if seed % 3 == 0 else {}
    finished |= pool.drain()
    labels = np.array([1])
    for ticket, seed in tickets.items():
        plan = plans[seed]
        x = initial_noise(plan.schedule, (1, *SHAPE), [seed])
        how: Any = {"prediction": prediction, "clip": (-2, 2), "labels": labels}
        assert same(finished[ticket], run(plan, network, x, noise=[seed], **how)[0])


@pytest.mark.parametrize("size", [2048, 2049])
def test_large_samples(size: int) -> None:
    """Of several blocks, and on both sides of what is stacked."""
    pool = Pool(network, (2, size), 20, clip=(-1, 1))
    tickets: dict[int, int] = {}
    finished: dict[int, Any] = {}
    for seed in range(18):
        tickets[pool.add(PLANS[seed % len(PLANS)], seed=seed, labels=1)] = seed
        finished |= pool.step()
    finished |= pool.drain()
    for ticket, seed in tickets.items():
        plan = PLANS[seed % len(PLANS)]
        x = initial_noise(plan.schedule, (1, 2, size), [seed])
        how: Any = {"clip": (-1, 1), "labels": np.array([1])}
        assert same(finished[ticket], run(plan, network, x, noise=[seed], **how)[0])


def test_what_has_the_coefficient_0_is_left_out() -> None:
    """Even if it is infinite, where it is not 0 for others; and no 0 is added, which has a sign."""
    pool = Pool(lambda x, timesteps: np.full_like(x, -0.0), (3,), 2, prediction="x0")
    last = pool.add(DDIM().plan(BASE.subsample(steps=1)), x=np.array([np.inf, -1.0, np.nan]))
    pool.add(DDIM().plan(BASE.subsample(steps=2)), seed=1)
    assert same(pool.step()[last], np.full(3, -0.0))


@pytest.mark.parametrize("late", [False, True])
def test_a_gradient_flows_to_what_it_flows_to_in_a_run(late: bool) -> None:
    """Through samples that were taken on without one before, and have memories."""
    torch = pytest.importorskip("torch")
    weight = torch.tensor(0.3, requires_grad=True)

    def model(x: Any, timesteps: Any) -> Any:
        return (weight.detach() if late and timesteps.max() > 500 else weight) * x

    results = []
    for plan in (PLANS[4], PLANS[5]):  # of one length
        x = torch.linspace(-1, 1, 3)
        alone = run(plan, model, x[None], noise=[7])[0]
        pool = Pool(model, (3,), 2, like=x)
        tickets = [pool.add(plan, seed=7, x=x), pool.add(plan, seed=8)]
        finished = pool.drain()
        assert same(finished[tickets[0]].detach(), alone.detach())
        results = [
            torch.autograd.grad(each.sum(), weight)[0] for each in (finished[tickets[0]], alone)
        ]
        torch.testing.assert_close(*results, rtol=0, atol=0)


def test_a_gradient_flows_to_what_a_sample_starts_from() -> None:
    torch = pytest.importorskip("torch")
    x = torch.linspace(-1, 1, 3, requires_grad=True)
    pool = Pool(unasked, (3,), 2, like=x.detach())
    other = pool.add(PLANS[4], seed=1)
    pool.step()
    ticket = pool.add(PLANS[0], x=x)
    finished = pool.drain()
    assert same(finished[other], run(PLANS[4], unasked, start(torch, 1))[0])
    (slope,) = torch.autograd.grad(finished[ticket].sum(), x)
    again = run(PLANS[0], unasked, x[None])[0]
    torch.testing.assert_close(slope, *torch.autograd.grad(again.sum(), x))


def start(torch: Any, seed: int) -> Any:
    return initial_noise(BASE, (1, 3), [seed], like=torch.empty(0))


@pytest.mark.parametrize("library", _of("jax"))
def test_jax(library: Library) -> None:
    """Two plans alone: JAX compiles each operation for each number of samples."""
    pool = Pool(network, SHAPE, 2, like=library.array([0.0]), clip=(-1, 1))
    tickets: dict[int, int] = {}
    finished: dict[int, Any] = {}
    for plan in (0, 3):
        tickets[pool.add(PLANS[plan], seed=7, labels=library.array(plan))] = plan
        finished |= pool.step()
    finished |= pool.drain()
    for ticket, plan in tickets.items():
        assert library.is_mine(finished[ticket])
        assert same(finished[ticket], alone(library, "float32", plan, 7, plan, 1))


def test_a_plan_of_no_rows_is_finished_at_once() -> None:
    pool = Pool(None, (3,), 1)
    x = np.arange(3.0)
    ticket = pool.add(DDIM().plan(BASE[:0]), x=x)
    x[:] = np.nan
    assert len(pool) == 0
    assert same(pool.drain()[ticket], np.arange(3.0))
    assert pool.drain() == {}


@pytest.mark.parametrize("again", ["step", "drain", "advance"])
@pytest.mark.parametrize("by", ["model", "clip"])
def test_a_step_within_a_step_is_refused(again: str, by: str) -> None:
    inside = True

    def asked(value: Any, *timesteps: Any) -> Any:
        if inside:
            getattr(pool, again)(*[value] * (again == "advance"))
        return 0.1 * value

    how: Any = {"model": asked} if by == "model" else {"model": unasked, "clip": asked}
    pool = Pool(shape=(3,), capacity=2, **how)
    ticket = pool.add(PLANS[0], seed=1)
    for outer in (pool.step, pool.drain):
        check_named(outer, ValueError, [again, "within a step", "network"])
    inside = False
    start = initial_noise(BASE, (1, 3), [1])
    how["clip"] = how.get("clip")
    assert same(pool.drain()[ticket], run(PLANS[0], x=start, **how)[0])


def test_a_look_at_timesteps_changes_no_batch() -> None:
    """Who joins between `input` and `advance` is not given an output of others."""
    plan = DDIM().plan(BASE.subsample(steps=2))
    pool = Pool(None, (3,), 2)
    first = pool.add(plan, seed=1, scale=1.0)
    assert pool.timesteps.tolist() == [999]  # begins a batch too
    output = 0 * pool.input
    pool.cancel(first)
    second = pool.add(plan, seed=2, scale=2.0)
    assert pool.conditions["scale"].tolist() == [1.0]
    assert pool.timesteps.tolist() == [999]
    assert pool.advance(output) == {}
    assert pool.timesteps.tolist() == [999]
    assert pool.conditions["scale"].tolist() == [2.0]
    start = initial_noise(BASE, (1, 3), [2])
    pool.model = lambda x, timesteps, scale: 0.1 * x
    assert same(pool.drain()[second], run(plan, unasked, start)[0])


def test_a_network_may_look_at_the_pool_while_samples_come_and_go() -> None:
    plan = DDIM().plan(BASE.subsample(steps=2))
    joined: list[int] = []

    def model(x: Any, timesteps: Any) -> Any:
        if not joined:
            pool.cancel(first)
            joined.append(pool.add(plan, seed=2))
            assert len(pool.input) == len(pool.timesteps) == 1
        return 0.1 * x

    pool = Pool(model, (3,), 2)
    first = pool.add(plan, seed=1)
    finished = pool.drain()
    start = initial_noise(BASE, (1, 3), [2])
    assert same(finished[joined[0]], run(plan, unasked, start)[0])


def test_what_is_finished_is_kept_while_the_network_raises() -> None:
    calls = 0

    def model(x: Any, timesteps: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("no memory")
        return 0.1 * x

    pool = Pool(model, (3,), 2)
    short, long = (pool.add(DDIM().plan(BASE.subsample(steps=n)), seed=n) for n in (3, 5))
    with pytest.raises(RuntimeError, match="no memory"):
        pool.drain()
    assert len(pool) == 1
    assert sorted(pool.step()) == [short]
    assert sorted(pool.drain()) == [long]


def stops(x: Any, *others: Any) -> Any:
    return next(iter(()))


def small(x: Any, timesteps: Any) -> Any:
    return x[:, :1]


def unasked(x: Any, timesteps: Any) -> Any:
    return 0.1 * x


@pytest.mark.parametrize(
    ("model", "clip", "words"),
    [
        (small, None, ["model output", "(1, 2, 3)", "(1, 1, 3)"]),
        (unasked, None, ["learned variance", "(1, 2, 3)"]),
        (lambda x, timesteps: None, None, ["model output is None", "return its result"]),
        (lambda x, timesteps: np.concatenate([x, x], axis=1), stops, ["clip", "StopIteration"]),
        (stops, None, ["model", "StopIteration"]),
    ],
)
def test_a_wrong_output_changes_nothing(model: Any, clip: Any, words: list[str]) -> None:
    plan, wrong = PLANS[3], True

    def network(x: Any, timesteps: Any) -> Any:
        return model(x, timesteps) if wrong else np.concatenate([x, x], axis=1)

    def bounds(x0: Any) -> Any:
        return clip(x0) if wrong and clip is not None else x0

    pool = Pool(network, SHAPE, 1, clip=bounds)
    ticket = pool.add(plan, seed=3)
    check_named(pool.step, (ValueError, TypeError), words)
    wrong = False
    x = initial_noise(plan.schedule, (1, *SHAPE), [3])
    assert same(pool.drain()[ticket], run(plan, network, x, noise=[3], clip=bounds)[0])


def test_the_batch_is_what_was_read_last() -> None:
    """Who joins while the network is called waits; who leaves is left out; and so is nobody."""
    pool = Pool(None, (3,), 3, prediction="x0")
    plan = DDIM().plan(BASE.subsample(steps=2))
    first, second = (pool.add(plan, seed=seed, scale=float(seed)) for seed in (1, 2))
    output = pool.input * pool.conditions["scale"][:, None]
    assert pool.input.shape == (2, 3)
    third = pool.add(plan, seed=3, scale=3.0)
    pool.cancel(first)
    assert pool.advance(output) == {}
    told = zip(pool.timesteps.tolist(), pool.conditions["scale"].tolist(), strict=True)
    assert sorted(told) == [(499, 2.0), (999, 3.0)]
    assert sorted(pool.advance(pool.input)) == [second]
    pool.input  # noqa: B018
    pool.cancel(third)
    assert pool.advance(np.zeros((1, 3))) == {}


def filled(**how: Any) -> Pool:
    """Return a pool of two samples, which takes one more."""
    pool = Pool(unasked, (3,), 3, **how)
    for seed in range(2):
        pool.add(DDIM().plan(BASE.subsample(steps=2)), seed=seed, labels=seed, mask=np.ones(3))
    return pool


def add(plan: Any = PLANS[0], seed: Any = 1, **how: Any) -> Any:
    return filled().add(plan, seed=seed, **{"labels": 1, "mask": np.ones(3), **how})


def full() -> Any:
    pool = filled()
    for seed in range(2):
        pool.add(PLANS[0], seed=seed, labels=seed, mask=np.ones(3))


def gone() -> Any:
    pool = filled()
    pool.cancel(2)
    pool.cancel(2)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "full": (full, ValueError, ["full", "capacity is 3", "3 samples"]),
    "no plan": (lambda: add(plan=DDIM()), TypeError, ["plan", "Plan", "DDIM"]),
    "seed negative": (lambda: add(seed=-1), ValueError, ["seed", "-1"]),
    "seeds": (lambda: add(seed=[1]), TypeError, ["seed"]),
    "steps": (lambda: add(num_inference_steps=5), TypeError, ["num_inference_steps", "subsample"]),
    "unknown ticket": (lambda: filled().cancel(9), ValueError, ["ticket 9", "from 1 to 2"]),
    "ticket of one that left": (gone, ValueError, ["ticket 2", "cancelled"]),
    "ticket None": (lambda: filled().cancel(None), TypeError, ["ticket", "None"]),
    "input of none": (lambda: Pool(None, (3,), 1).input, ValueError, ["pool is empty"]),
    "output for none": (
        lambda: Pool(None, (3,), 1).advance(np.ones((1, 3))),
        ValueError,
        ["output", "empty"],
    ),
    "output of more": (
        lambda: filled().advance(np.ones((3, 3))),
        ValueError,
        ["output", "(2, 3)", "(3, 3)"],
    ),
    "no network": (
        lambda: [pool := Pool(None, (3,), 1), pool.add(PLANS[0], seed=1), pool.step()],
        ValueError,
        ["no network", "advance"],
    ),
    "a denoiser": (lambda: Pool(DENOISER, (3,), 1), TypeError, ["model", "denoiser"]),
    "a network that is no function": (lambda: Pool(3, (3,), 1), TypeError, ["model", "int"]),
    "capacity 0": (lambda: Pool(None, (3,), 0), ValueError, ["capacity", "at least 1", "0"]),
    "shape a number": (lambda: Pool(None, 3, 1), TypeError, ["shape", "int"]),
    "shape negative": (lambda: Pool(None, (2, -3), 1), ValueError, ["shape[1]", "-3"]),
    "like a list": (lambda: Pool(None, (3,), 1, like=[1.0]), TypeError, ["like", "list"]),
    "prediction": (
        lambda: Pool(None, (3,), 1, prediction="eps"),
        ValueError,
        ["prediction", "'eps'", "'epsilon'"],
    ),
    "clip": (lambda: Pool(None, (3,), 1, clip=(1, -1)), ValueError, ["clip"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_what_is_refused_leaves_no_trace() -> None:
    pool = filled()
    with pytest.raises(ValueError, match="seed"):
        pool.add(PLANS[2], x=np.ones(3), labels=1, mask=np.ones(3))
    assert len(pool) == 2
    assert pool.add(PLANS[0], seed=1, labels=1, mask=np.ones(3)) == 3


def test_who_finds_no_memory_has_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(lambda x, timesteps: 0.25 * x, SHAPE, 3)
    first = pool.add(PLANS[2], seed=1)
    pool.step()

    def full(*arguments: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(NumpyStack, "hold", full)
        with pytest.raises(MemoryError):
            pool.add(PLANS[4], seed=2)
    assert len(pool) == 1
    third = pool.add(PLANS[5], seed=3)
    finished = pool.drain()
    for ticket, plan, seed in ((first, PLANS[2], 1), (third, PLANS[5], 3)):
        x = initial_noise(plan.schedule, (1, *SHAPE), [seed])
        alone = run(plan, lambda x, timesteps: 0.25 * x, x, noise=[seed])
        assert np.array_equal(finished[ticket], alone[0])


@pytest.mark.parametrize("library", [each for each in INSTALLED if each.module in HELD], ids=str)
@pytest.mark.parametrize("copied", [copy, deepcopy])
def test_a_copy_goes_on_by_itself(copied: Any, library: Library) -> None:
    like = library.array(np.zeros(0))
    pool = Pool(lambda x, timesteps: 0.25 * x, SHAPE, 2, like=like)
    tickets = [pool.add(PLANS[k], seed=k) for k in (2, 5)]
    pool.step()
    other = copied(pool)
    others = other.drain()
    finished = pool.drain()
    for ticket in tickets:
        assert np.array_equal(host(finished[ticket]), host(others[ticket]))


def test_a_bound_may_cancel_and_add_samples() -> None:
    def clip(x0: Any) -> Any:
        calls.append(0)
        if len(calls) == 4:
            pool.cancel(1)
            pool.cancel(3)
            assert pool.add(PLANS[0], seed=4) == 4
        return np.clip(x0, -1, 1)

    calls: list[int] = []
    pool = Pool(lambda x, timesteps: 0.25 * x, SHAPE, 4, clip=clip)
    for seed in (1, 2, 3):
        pool.add(PLANS[0], seed=seed)
    finished = pool.drain()
    assert sorted(finished) == [2, 4]
    for seed, x in finished.items():
        start = initial_noise(PLANS[0].schedule, (1, *SHAPE), [seed])
        alone = run(PLANS[0], lambda x, timesteps: 0.25 * x, start, clip=lambda x0: x0.clip(-1, 1))
        assert np.array_equal(x, alone[0])


@pytest.mark.parametrize("library", [each for each in INSTALLED if each.module in HELD], ids=str)
def test_threads_add_and_cancel_while_another_takes_steps(library: Library) -> None:
    like = library.array(np.zeros(0))
    pool = Pool(lambda x, timesteps: 0.25 * x, SHAPE, 400, like=like)
    seeds: dict[int, int] = {}

    def added(first: int) -> None:
        for seed in range(first, first + 60):
            ticket = pool.add(PLANS[seed % 3], seed=seed)
            if seed % 4:
                seeds[ticket] = seed
            else:
                with suppress(ValueError):  # it may be finished by now
                    pool.cancel(ticket)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=added, args=(100 * k + 1,)) for k in range(3)]
        for thread in threads:
            thread.start()
        finished: dict[int, Any] = {}
        while any(thread.is_alive() for thread in threads) or len(pool):
            finished |= pool.step()
    finally:
        sys.setswitchinterval(before)
    assert seeds.keys() <= finished.keys()
    for ticket, seed in seeds.items():
        plan = PLANS[seed % 3]
        x = initial_noise(plan.schedule, (1, *SHAPE), [seed], like=like)
        alone = run(plan, lambda x, timesteps: 0.25 * x, x, noise=[seed])
        assert np.array_equal(host(finished[ticket]), host(alone)[0])
