"""Networks that change the memory of the tensors they are given: no crash, and no wrong number."""

import gc
import weakref
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    DPMSolverPP,
    FrameRun,
    Heun,
    Pool,
    Schedule,
    UniPC,
    begin,
    frames,
    parallel,
    sample,
    sample_steps,
)
from schedalg import run as run_plan
from schedalg.network.denoiser import AnyDenoiser

torch = pytest.importorskip("torch")

FAST = Schedule.linear(1000).subsample(steps=8, spacing="trailing")
SHAPE = (2, 4, 8, 8)

#: What a network may do to a tensor whose numbers stay as they are.
MOVES: dict[str, Callable[[Any], object]] = {
    "share_memory_": lambda x: x.share_memory_(),
    "data is a copy": lambda x: setattr(x, "data", x.data.clone()),
    "set_ to a copy": lambda x: x.set_(x.detach().clone()),
    "storage grows": lambda x: x.untyped_storage().resize_(2 * x.untyped_storage().nbytes()),
    "storage goes and returns": lambda x: _returned(x),
    "data is part of something larger": lambda x: setattr(
        x, "data", torch.stack([x.data, x.data])[1]
    ),
    "data is in another order": lambda x: setattr(
        x, "data", x.data.transpose(2, 3).contiguous().transpose(2, 3)
    ),
}

#: What leaves a tensor that the run cannot go on with.
BREAKS: dict[str, Callable[[Any], object]] = {
    "storage is freed": lambda x: x.untyped_storage().resize_(0),
    "storage shrinks": lambda x: x.untyped_storage().resize_(8),
    "set_ to nothing": lambda x: x.set_(),
    "data is shorter": lambda x: setattr(x, "data", x.data[:1].clone()),
    "data is of another dtype": lambda x: setattr(x, "data", x.data.to(torch.int32)),
    "an axis more": lambda x: x.unsqueeze_(0),
}

#: The ways of running a small tensor.
RUNS = ["compiled", "eager", "with a gradient"]
SAMPLERS = [DDIM(), DDPM(), DPMSolverPP(2), UniPC(3), Heun()]


def _returned(x: Any) -> None:
    values = x.detach().clone()
    size = x.untyped_storage().nbytes()
    x.untyped_storage().resize_(0)
    x.untyped_storage().resize_(size)
    x.detach().copy_(values)


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "compiled":
        pytest.importorskip("numba")
    else:
        from schedalg_torch import torch_backend

        monkeypatch.setattr(torch_backend, "step_for", lambda x: None)
    return str(request.param)


def start(dtype: Any, run: str) -> Any:
    x = np.random.default_rng(3).standard_normal(SHAPE)
    tensor = torch.tensor(x, dtype=dtype)
    return tensor.requires_grad_() if run == "with a gradient" else tensor


def network(x: Any, timesteps: Any) -> Any:
    return torch.tanh(x / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("run", RUNS[:2], indirect=True)
def test_memory_that_moves_makes_no_difference(
    run: str, sampler: Any, move: str, dtype: Any
) -> None:
    """Whether x, the scaled input or the output is moved, at once or some calls later.

    (With a gradient, autograd itself refuses a tensor whose memory was replaced.)
    """
    for schedule in (FAST, FAST.as_ve()):
        x = start(dtype, run) * schedule.prior_std
        expected = sample(network, schedule, sampler, x, noise=7)
        for delay, of_output in product((0, 1), (False, True)):
            held: list[Any] = []

            def mover(
                x: Any,
                timesteps: Any,
                held: list[Any] = held,
                delay: int = delay,
                of_output: bool = of_output,
            ) -> Any:
                output = network(x, timesteps)
                held.append(output if of_output else x)
                if len(held) > delay:
                    MOVES[move](held[-1 - delay])
                return output

            result = sample(mover, schedule, sampler, x.clone(), noise=7)
            if delay == 0:
                assert torch.equal(result, expected)
            assert torch.isfinite(result).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("harm", BREAKS)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_memory_that_goes_is_an_error(run: str, sampler: Any, harm: str, dtype: Any) -> None:
    for scaled, of_output in product((False, True), (False, True)):
        if run == "with a gradient" and not of_output:
            continue  # autograd refuses to follow a tensor whose memory is replaced
        schedule = FAST.as_ve() if scaled else FAST
        x = start(dtype, run)
        calls = 0

        def breaker(x: Any, timesteps: Any, of_output: bool = of_output) -> Any:
            nonlocal calls
            calls += 1
            output = network(x, timesteps)
            if calls == 3:
                victim = output.detach() if of_output else x
                BREAKS[harm](victim)
                return victim if of_output else output
            return output

        if scaled and not of_output and harm.startswith("storage"):
            # What was freed is the scaled copy of x, which nothing needs any more.
            expected = sample(network, schedule, sampler, x, noise=7)
            assert torch.equal(sample(breaker, schedule, sampler, x, noise=7), expected)
            continue
        with pytest.raises(ValueError, match=r"its input|storage|model output"):
            sample(breaker, schedule, sampler, x, noise=7)


def test_a_scaled_input_keeps_its_dtype() -> None:
    """It is a copy of x, and the output may be right: but what the network saw is not known."""

    def breaker(x: Any, timesteps: Any) -> Any:
        output = network(x, timesteps)
        BREAKS["data is of another dtype"](x)
        return output

    message = r"changed the dtype of its input from torch.float32 to torch.int32"
    with pytest.raises(ValueError, match=message):
        sample(breaker, FAST.as_ve(), DDIM(), start(torch.float32, "eager"))


def test_x_may_change_between_steps(run: str) -> None:
    """What is yielded is the user's to look at, and to break."""
    for harm in BREAKS.values():
        steps = sample_steps(network, FAST, UniPC(2), start(torch.float32, "eager"))
        harm(next(steps))
        with pytest.raises(ValueError, match=r"of x was changed|storage|its input|model output"):
            list(steps)


def test_what_is_given_is_looked_at_first(run: str) -> None:
    x = torch.zeros(SHAPE)
    x.untyped_storage().resize_(0)
    with pytest.raises(
        ValueError, match=r"x has shape \(2, 4, 8, 8\), and its storage holds only 0"
    ):
        sample(network, FAST, DDIM(), x)
    z = torch.zeros(SHAPE)
    z.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="what noise returns has shape"):
        sample(network, FAST, DDPM(), start(torch.float32, run), noise=lambda x: z)
    for clip in (lambda x0: z, lambda x0: x0):
        denoiser = Denoiser(lambda x, t: z, FAST, clip=clip)
        with pytest.raises(ValueError, match="storage holds only 0 bytes"):
            sample(denoiser, FAST, DDIM(), start(torch.float32, run))


def freed(x: Any) -> Any:
    """Free the memory of a tensor, and return it."""
    x.untyped_storage().resize_(0)
    return x


GONE = r"shape .*, and its storage holds only 0 bytes|was freed"


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("offsets", [None, [0, 0, 0, 0], [0, 1, 2, 3]])
def test_a_run_in_hand_looks_at_what_was_in_other_hands(offsets: Any, scaled: bool) -> None:
    """Whether x is freed by its owner, or the input by the network or by who reads it again."""
    plan = DPMSolverPP(2).plan(FAST.as_ve() if scaled else FAST)

    def held(x: Any) -> Any:
        if offsets is None:
            return begin(plan, x)
        return FrameRun(plan, x, frames(plan, offsets))

    for transposed in (False, True):
        x = start(torch.float32, "eager")
        r = held(x.transpose(2, 3) if transposed else x)
        freed(x)
        with pytest.raises(ValueError, match=GONE):
            r.input  # noqa: B018
        r = held(start(torch.float32, "eager"))
        output = network(r.input, r.timesteps)
        freed(r.input)
        with pytest.raises(ValueError, match=GONE):
            r.input  # noqa: B018
        if not scaled:  # else the input is a copy
            with pytest.raises(ValueError, match=GONE):
                r.advance(output)
        r = held(start(torch.float32, "eager"))
        r.advance(network(r.input, r.timesteps))
        freed(r.x)
        for again in (lambda r=r: r.input, r.state):
            with pytest.raises(ValueError, match=GONE):
                again()


class Short(Denoiser):
    """What a class of one's own may return in place of an output."""

    def output(self, x: Any, *arguments: Any) -> tuple[Any, Any]:
        return x[:1] + 0, None


class Freed(Denoiser):
    def output(self, x: Any, *arguments: Any) -> tuple[Any, Any]:
        return freed(x + 0), None


class Guess(AnyDenoiser):
    """A denoiser that is none of the library's."""

    schedule = FAST

    def predict(self, x: Any, t: Any) -> tuple[Any, Any]:
        return x[:1] + 0, None

    def checked_by(self, check: Any) -> "Guess":
        return self


@pytest.mark.parametrize("run", RUNS[:2], indirect=True)
@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP(2)], ids=repr)
def test_what_a_class_of_ones_own_returns_is_looked_at(run: str, sampler: Any) -> None:
    """The compiled loop reads as many numbers as x has, at an address."""
    x, plan = start(torch.float32, run), sampler.plan(FAST)
    for denoise, match in (
        (Short(network, FAST), "wrong shape"),
        (Freed(network, FAST), GONE),
        (Guess(), "wrong shape"),
        (Denoiser.from_function(lambda x, t: x.resize_(1, 4, 8, 8) + 0, FAST), "shape of its"),
    ):
        with pytest.raises(ValueError, match=match):
            sample(denoise, FAST, sampler, x.clone())
        if isinstance(denoise, Short | Freed):
            with pytest.raises(ValueError, match=match):
                parallel(plan, denoise, x.clone())


@pytest.mark.parametrize("run", RUNS[:2], indirect=True)
def test_x_that_its_owner_makes_smaller_between_steps_is_an_error(run: str) -> None:
    for schedule in (FAST, FAST.as_ve()):
        x = start(torch.float32, run)
        steps = sample_steps(network, schedule, DDIM(), x)
        x.resize_(1, 4, 8, 8)
        with pytest.raises(ValueError, match=r"shape of (x|its input)"):
            next(steps)
        steps = sample_steps(network, schedule, DDIM(), start(torch.float32, run))
        next(steps).resize_(1, 4, 8, 8)
        with pytest.raises(ValueError, match=r"shape of (x|its input)"):
            next(steps)
        r = begin(DDIM().plan(schedule), start(torch.float32, run))
        output = network(r.input, None)
        r.x.resize_(1, 4, 8, 8)
        with pytest.raises(ValueError, match="shape of its input"):
            r.advance(output)


def test_what_x0_is_computed_from_is_looked_at() -> None:
    for victim in ("x", "output"):
        r = begin(DDIM().plan(FAST), start(torch.float32, "eager"))
        x, output = r.x, network(r.input, r.timesteps)
        r.advance(output)
        freed({"x": x, "output": output}[victim])
        with pytest.raises(ValueError, match=f"{victim} has {GONE}"):
            r.x0  # noqa: B018


def test_frames_that_leave_are_looked_at() -> None:
    plan = DDIM().plan(FAST)
    r = FrameRun(plan, start(torch.float32, "eager"), frames(plan, [0, 0, 0, 0]), noise=1)
    while not r.done:
        r.advance(network(r.input, r.timesteps))
    freed(r.x)
    with pytest.raises(ValueError, match=GONE):
        r.shift()


def test_an_output_with_a_gradient_and_an_input_that_goes() -> None:
    weight = torch.ones(1, requires_grad=True)

    def breaker(x: Any, timesteps: Any) -> Any:
        output = weight * network(x, timesteps)
        freed(x)
        return output

    for denoiser in (breaker, Denoiser.from_function(lambda x, t: breaker(x, t), FAST)):
        with pytest.raises(ValueError, match=GONE):
            run_plan(DDIM().plan(FAST), denoiser, start(torch.float32, "eager"))
    denoise = Denoiser(breaker, FAST)
    with pytest.raises(ValueError, match=GONE):
        denoise(start(torch.float32, "eager"), FAST[3])


def test_half_of_an_output_is_not_enough() -> None:
    """The half that is the prediction is there, and the learned variance is not."""

    def breaker(x: Any, timesteps: Any) -> Any:
        output = torch.cat([x, x], dim=1)
        output.untyped_storage().resize_(output.untyped_storage().nbytes() // 2)
        return output

    plan = DDPM("learned_range").plan(FAST)
    with pytest.raises(ValueError, match=r"model output.* only 1024 bytes"):
        run_plan(plan, breaker, start(torch.float32, "eager")[:1].clone(), noise=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_timesteps_cannot_be_freed(dtype: Any) -> None:
    """All rows have theirs in one table."""
    for schedule in (FAST, Schedule.karras(3)):
        r = begin(DDIM().plan(schedule), start(dtype, "eager"))
        with pytest.raises(RuntimeError, match="resiz"):
            freed(r.timesteps)


def test_a_pool_reads_nothing_that_others_free() -> None:
    plan = DPMSolverPP(2).plan(FAST)
    x, scale = (torch.full((3,), value) for value in (2.0, 0.5))
    expected = run_plan(plan, lambda x, t: 0.5 * x, x[None].clone(), prediction="x0")

    def breaker(x: Any, timesteps: Any, scale: Any) -> Any:
        output = scale * x
        for each in (x, timesteps, scale):
            freed(each)
        outputs.append(output)
        return output

    outputs: list[Any] = []
    pool = Pool(breaker, (3,), 2, like=torch.zeros(1), prediction="x0")
    ticket = pool.add(plan, x=x, scale=scale)
    for mine in (x, scale):
        freed(mine)
        with pytest.raises(ValueError, match=GONE):
            pool.add(
                plan, **{"x": torch.ones(3), "scale": scale, **({"x": x} if mine is x else {})}
            )
    while len(pool):
        finished = pool.step()
        freed(outputs[-1])
    assert torch.equal(finished[ticket], expected[0])


def test_a_batch_of_a_pool_is_looked_at_when_it_is_read_again() -> None:
    pool = Pool(None, (3,), 2, like=torch.zeros(1))
    pool.add(DDIM().plan(FAST), seed=1, scale=0.5)
    reads: list[Callable[[], Any]] = [
        lambda: pool.input,
        lambda: pool.timesteps,
        lambda: pool.conditions["scale"],
    ]
    for read in reads:
        freed(read())
        with pytest.raises(ValueError, match=GONE):
            read()
    assert pool.advance(torch.zeros(1, 3)) == {}
    assert pool.input.shape == (1, 3)


def test_conditions_that_cannot_be_read_are_refused() -> None:
    pool = Pool(None, (3,), 2, like=torch.zeros(1))
    for wrong, word in (
        (torch.zeros(2, 2).to_sparse(), "strided"),
        (torch.zeros(2, device="meta"), "meta"),
        (freed(torch.zeros(2)), "0 bytes"),
    ):
        with pytest.raises(ValueError, match=f"condition 'mask' .*{word}"):
            pool.add(DDIM().plan(FAST), seed=1, mask=wrong)


def test_a_gradient_goes_through_a_pool() -> None:
    plan = DDIM().plan(FAST)
    x, scale = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    pool = Pool(lambda x, t, scale: scale * x, (3,), 1, like=torch.zeros(1), prediction="x0")
    ticket = pool.add(plan, x=x, scale=scale)
    pool.drain()[ticket].sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (scale.grad != 0).all()


@pytest.fixture
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector_off")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_a_run_leaves_nothing_behind(run: str, sampler: Any, dtype: Any) -> None:
    """Without the collector: nothing that a run holds refers to itself."""
    for schedule, bounds in product((FAST, FAST.as_ve()), (None, (-1, 1), lambda x0: x0 * 1)):
        seen: list[Any] = []

        def watched(x: Any, timesteps: Any, seen: list[Any] = seen) -> Any:
            seen.append(weakref.ref(x))
            output = network(x, timesteps)
            seen.append(weakref.ref(output))
            return output

        sample(watched, schedule, sampler, start(dtype, run), clip=bounds, noise=1)
        assert len(seen) > 8
        assert not any(reference() is not None for reference in seen[:-2])


@pytest.mark.usefixtures("collector_off")
def test_memories_go_with_the_run(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from schedalg_torch import memory

    held: list[Any] = []
    made = memory.Buffers.__init__

    def watched(buffers: Any, *arguments: Any, **options: Any) -> None:
        made(buffers, *arguments, **options)
        held.append(weakref.ref(buffers))

    monkeypatch.setattr(memory.Buffers, "__init__", watched)
    for _ in range(3):
        sample(network, FAST, UniPC(3), start(torch.float32, run))
    assert len(held) == (0 if run == "with a gradient" else 3)
    assert not any(reference() is not None for reference in held)


def test_a_tensor_that_has_left_vmap_is_named() -> None:
    left: list[Any] = []

    def leaves(x: Any) -> Any:
        left.append(x)
        return x

    vmap: Any = torch.vmap
    vmap(leaves)(torch.ones(2, *SHAPE))
    x = torch.ones(SHAPE)
    calls: dict[str, Callable[[], Any]] = {
        "x": lambda: sample(network, FAST, DDIM(), left[0]),
        "x0": lambda: FAST.add_noise(left[0], x, 0),
        "noise": lambda: FAST.add_noise(x, left[0], 0),
        "model output at timestep 999": lambda: sample(lambda x, t: left[0], FAST, DDIM(), x),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name} has left the function that torch.vmap"):
            call()
    sampled: Any = vmap(lambda x: sample(network, FAST, DDIM(), x))
    within = sampled(torch.ones(2, *SHAPE))
    torch.testing.assert_close(within[0], sample(network, FAST, DDIM(), x))
