"""The torch backend: what it costs, leaves to autograd, and refuses; and its kernels."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    LMS,
    PNDM,
    Denoiser,
    DPMSolverPP,
    Euler,
    Heun,
    Plan,
    Schedule,
    TimestepRemap,
    UniPC,
    sample,
    sample_steps,
)

torch = pytest.importorskip("torch")

from schedalg.testing import check_backend  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))

gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def on_gpu(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs a CUDA device."""
    for mark in gpu:
        test = mark(test)
    return test


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors are run by operations of torch, as they are where numba is not installed."""
    from schedalg_torch import torch_backend

    monkeypatch.setattr(torch_backend, "step_for", lambda x: None)


def network(x: Any, timesteps: Any) -> Any:
    return torch.tanh(x / 9)


def made(values: Any, dtype: str) -> Any:
    return torch.tensor(values, dtype=getattr(torch, dtype))


def count(sampler: Any, how: dict[str, Any], steps: int) -> int:
    """Return the operations of a loop, its start included."""
    z = torch.randn(1, 4, 16, 16)
    how = dict(how)
    schedule = Schedule.linear(1000).subsample(steps=steps)
    plan = sampler.plan(schedule.as_ve() if how.pop("as_ve", False) else schedule)
    with torch.inference_mode():
        return len(operations(lambda: plan.run(lambda x, t: z, z, noise=lambda x: z, **how)))


def operations(run: Callable[[], object]) -> list[str]:
    """Return the operations on tensors that read or write them: neither views nor new memory."""
    from torch.utils._python_dispatch import TorchDispatchMode

    names: list[str] = []

    class Listed(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
        ) -> Any:
            result = function(*arguments, **(keywords or {}))
            free = ("view", "unsqueeze", "reshape", "permute", "alias", "empty", "empty_like")
            if function.__name__.split(".")[0] not in free:
                names.append(function.__name__)
            return result

    with Listed():  # type: ignore[no-untyped-call]
        run()
    return names


@pytest.mark.parametrize(
    ("sampler", "how", "expected"),
    [
        (DDIM(), {}, 1),
        (Euler(), {}, 1),
        (DPMSolverPP(2), {}, 3),
        (Heun(), {}, 2),
        (UniPC(2), {}, 3),
        (PNDM(), {}, 5),  # reads three memories of a ring of four: one by one
        (LMS(4), {}, 3),
        (LMS(4), {"as_ve": True}, 4),  # with that which scales the network's input
        (Euler(), {"as_ve": True}, 2),
        (DDIM(), {"clip": (-1, 1)}, 3),
        (DPMSolverPP(2), {"clip": (-1, 1)}, 4),
        (DDPM(), {}, 2),
        (DDPM(), {"clip": (-1, 1)}, 4),
        (DPMSolverPP(2, eta=1.0), {"clip": (-1, 1)}, 5),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("without_numba")
def test_a_step_is_a_few_operations(sampler: Any, how: dict[str, Any], expected: float) -> None:
    """Measured between loops of two lengths, so that what happens once is not counted."""
    longer, shorter = (count(sampler, how, steps) for steps in (60, 20))
    calls = sampler.plan(Schedule.linear(1000).subsample(steps=40)).model_calls
    assert (longer - shorter) / calls == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(
    ("sampler", "how"),
    [(UniPC(2), {}), (Euler(), {"as_ve": True}), (DDPM(), {"clip": (-1, 1)})],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_compiled_step_is_no_operation(sampler: Any, how: dict[str, Any], dtype: Any) -> None:
    pytest.importorskip("numba")
    from torch.profiler import ProfilerActivity, profile

    z = torch.randn(1, 4, 16, 16, dtype=dtype)
    how = dict(how)
    scaled = how.pop("as_ve", False)
    counts = []
    for steps in (20, 60):
        schedule = Schedule.linear(1000).subsample(steps=steps)
        plan = sampler.plan(schedule.as_ve() if scaled else schedule)
        with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
            plan.run(lambda x, t: z, z, noise=lambda x: z, **how)
        names = [event.name for event in profiler.events() or () if event.name.startswith("aten::")]
        views = ("aten::unbind", "aten::select", "aten::as_strided", "aten::view")
        counts.append(sum(name not in views for name in names))
    assert counts[0] == counts[1] < 20


def test_the_loop_is_left_alone_where_numba_is_told_not_to_compile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numba = pytest.importorskip("numba")
    from schedalg_torch.loop import compiled as loop

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert loop("float32") is None


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_traces_hold_what_the_loop_does() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    x, other = torch.tensor(X), torch.tensor(X[::-1].copy())

    def loop_on(schedule: Schedule) -> Callable[[Any], Any]:
        return lambda x: sample(network, schedule, DPMSolverPP(2), x)

    for run in (loop_on(FAST), loop_on(FAST.as_ve())):
        with torch.no_grad():
            for traced in (torch.jit.trace(run, x, check_trace=False), make_fx(run)(x)):
                torch.testing.assert_close(traced(other), run(other))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_autograd_knows_what_was_written_over(mode: Any) -> None:
    """A network that keeps its input for a gradient gets an error, not another gradient."""
    weight = torch.ones(5, dtype=torch.float64, requires_grad=True)
    for schedule in (FAST, FAST.as_ve()):
        kept: list[Any] = []

        def keeping(x: Any, t: Any, kept: list[Any] = kept) -> Any:
            with torch.enable_grad():
                kept.append((weight * weight * x).sum())
            return network(x, t).detach()

        with mode():
            sample(keeping, schedule, DDIM(), torch.tensor(X))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            kept[1].backward()


def test_a_gradient_may_begin_at_a_step() -> None:
    for schedule in (FAST, FAST.as_ve()):
        for model in (network, lambda x, t: network(x, t).detach()):
            steps = sample_steps(model, schedule, DPMSolverPP(2), torch.tensor(X))
            next(steps)
            x = next(steps).requires_grad_()
            *_, last = steps
            (gradient,) = torch.autograd.grad(last.sum(), x)
            assert (gradient != 0).all()


def test_transforms_may_be_of_something_else_than_x() -> None:
    x = torch.tensor(X)

    def of_weight(w: Any) -> Any:
        return sample(lambda x, t: w * network(x, t), FAST.as_ve(), UniPC(2), x).sum()

    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(of_weight(w), w)
    torch.testing.assert_close(torch.func.grad(of_weight)(w.detach()), expected)


def test_zeros_may_be_a_promise() -> None:
    x = torch.tensor(X)
    promised = torch._efficientzerotensor(X.shape, dtype=torch.float64)
    assert promised.data_ptr() == 0
    result = sample(lambda x, t: promised, FAST, UniPC(2), x)
    torch.testing.assert_close(result, sample(lambda x, t: torch.zeros_like(x), FAST, UniPC(2), x))


@pytest.mark.usefixtures("without_numba")
def test_the_arithmetic_is_the_same_without_numba() -> None:
    check_backend(made, ["float64", "float32", "bfloat16"])


def test_bfloat16_is_rounded_to_the_nearest_and_to_even_between_two() -> None:
    """Sums of every bfloat16 and half a unit in its last place, more and less."""
    from schedalg.running.backend import backend_for
    from schedalg.running.rows import Row, Rows

    x = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    _, exponent = torch.frexp(x.float())
    half = torch.ldexp(torch.ones(2**16), exponent - 9)  # 8 digits, the first one included
    added = Row(1.0, None, 1.0, 1.0, (), None, 0.0, None)
    for d in (half, half * (1 + 2**-7), half * (1 - 2**-8)):
        d = d.to(torch.bfloat16)
        expected = (x.float() + d.float()).to(torch.bfloat16)
        update = backend_for(x).update(Rows([added], 0, None, True), x, None, reuse=True)
        after = update(0, x, d, None, None)
        torch.testing.assert_close(after, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("without_numba")
def test_products_that_may_be_rounded_are_not_used() -> None:
    """Where users let networks multiply matrices in less than float32."""
    x = torch.tensor(X).float()
    expected = UniPC(3).plan(FAST).run(network, x)
    torch.set_float32_matmul_precision("medium")
    try:
        names = operations(lambda: UniPC(3).plan(FAST).run(network, x))
        result = UniPC(3).plan(FAST).run(network, x)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not any("mv" in name for name in names)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-3)  # of values up to 90
    assert any("mv" in name for name in operations(lambda: UniPC(3).plan(FAST).run(network, x)))


def test_a_run_owns_two_tensors_and_its_memories() -> None:
    from schedalg_torch.eager import Eager

    from schedalg.running.rows import rows_of

    x = torch.tensor(X)
    for sampler in (DDIM(), Euler(), DPMSolverPP(2), UniPC(2)):
        for schedule in (FAST, FAST.as_ve()):
            plan = sampler.plan(schedule)
            rows = rows_of(plan, x, raw=True, clamp=None)
            update = Eager(rows, x, None, reuse=True)
            after = x
            for k in range(len(plan)):
                after = update(k, after, network(update.input(k, after), None), None, None)
            assert len(update.buffers.own) == 2
            assert len(update.ring) == plan.b.shape[1] - 1


@pytest.mark.parametrize("strided", ["channels_last", "turned", "sliced", "expanded"])
def test_any_strides_will_do(strided: str) -> None:
    x = torch.tensor(X)
    given = {
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "turned": x.transpose(2, 3).contiguous().transpose(2, 3),
        "sliced": torch.cat([x, x], 1)[:, :3],
        "expanded": x[:1].expand(2, 3, 4, 5),
    }[strided]
    kept = given.clone()
    for sampler in (DDIM(), UniPC(3), DDPM("learned_range")):

        def model(x: Any, timesteps: Any, sampler: Any = sampler) -> Any:
            output = network(x, timesteps)
            if sampler == DDPM("learned_range"):
                output = torch.cat([output, output], 1)
            return output.contiguous(memory_format=torch.channels_last)

        straight = given.contiguous()
        results = [sample(model, FAST, sampler, y, noise=[1, 2]) for y in (given, straight)]
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
        if strided == "channels_last":
            assert results[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(given, kept)


def test_what_a_kernel_reads_lies_in_order() -> None:
    """Samples may be apart; what is in one may not."""
    from schedalg_torch.layout import Layout

    x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    wide = torch.stack([x, -x], -1)
    last = x.contiguous(memory_format=torch.channels_last)
    for like in (x, last):
        layout = Layout.of(like)
        assert layout.channels_last == (like is last)
        order = layout.flat(x).reshape(2, -1)
        for given in (x, last, wide[..., 0], torch.cat([x, -x], 1)[:, :3], x.mT.clone().mT):
            read = layout.batched(given)
            assert read.stride(1) == 1
            assert torch.equal(read, order)
        assert torch.equal(layout.shaped(layout.flat(like)), x)
    for row in (x[:, 0, 0, 0], x[:, 0, 0, ::2]):
        assert Layout.of(row).batched(row).stride(1) == 1
    halves = Layout.of(x).batched(torch.cat([x, -x], 1)[:, :3])
    assert halves.stride(0) == 2 * x[0].numel()  # not copied


def test_autograd_follows_the_loop() -> None:
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def model(x: Any, timesteps: Any) -> Any:
        return torch.tanh(weight * x)

    start = torch.tensor(X[:1, :1], requires_grad=True)
    for sampler in (DDIM(), UniPC(3), DDPM(), Heun()):

        def image(x: Any, w: Any, sampler: Any = sampler) -> Any:
            return sample(lambda x, t: torch.tanh(w * x), FAST, sampler, x, noise=[3])

        assert torch.autograd.gradcheck(image, (start, weight))
        # The network's parameters alone, from a start that needs no gradient.
        (slope,) = torch.autograd.grad(sample(model, FAST, sampler, start.detach()).sum(), weight)
        h = 1e-6
        with torch.no_grad():
            ends = [
                sample(lambda x, t, w=w: torch.tanh(w * x), FAST, sampler, start, noise=0).sum()
                for w in (weight + h, weight - h)
            ]
        if sampler != DDPM():
            torch.testing.assert_close(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-5)


def test_autograd_may_begin_in_the_middle_of_a_loop() -> None:
    """Steps before it were in place, and their memories are still known."""
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(X)
    for sampler in (DDIM(), UniPC(3)):
        for scaled in (FAST, FAST.as_ve()):

            def model(x: Any, timesteps: Any) -> Any:
                late = bool(timesteps[0] < 500)
                return torch.tanh((weight if late else weight.detach()) * x)

            with torch.no_grad():
                expected = sample(model, scaled, sampler, x)
            result = sample(model, scaled, sampler, x)
            torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
            result.sum().backward()
            assert weight.grad is not None
            assert weight.grad != 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within forward_ad
def test_tangents_follow_the_loop() -> None:
    from torch.autograd import forward_ad

    x = torch.tensor(X[:1, :1, :1])
    jacobian = torch.autograd.functional.jacobian(lambda x: sample(network, FAST, UniPC(2), x), x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        tangent = forward_ad.unpack_dual(sample(network, FAST, UniPC(2), dual)).tangent
    torch.testing.assert_close(tangent.flatten(), jacobian.reshape(5, 5).sum(1))


def test_noise_may_carry_a_gradient() -> None:
    """That of the start as well, which comes before the first row."""
    plan = DDIM().plan(FAST)
    started = Plan.of(FAST, a=plan.a, b=plan.b, evaluations=None, start=(1.0, 5.0))
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(X)
    image = started.run(lambda x, t: torch.ones_like(x), x, noise=lambda x: scale * x)
    assert torch.autograd.grad(image.sum(), scale)[0] != 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within torch.func.jvp
def test_transforms_of_functions_follow_the_loop() -> None:
    x = torch.tensor(X)

    def image(x: Any) -> Any:
        return sample(network, FAST, UniPC(2), x, clip=(-9, 9))

    together = torch.vmap(lambda one: image(one[None])[0])(x)
    torch.testing.assert_close(together, image(x), rtol=1e-12, atol=1e-12)
    small = x[:1, :1, :1]
    jacobian = torch.func.jacrev(image)(small).reshape(5, 5)
    tangent = torch.func.jvp(image, (small,), (torch.ones_like(small),))[1].reshape(5)
    torch.testing.assert_close(jacobian.sum(1), tangent)

    def of_weight(w: Any) -> Any:
        return sample(lambda x, t: torch.tanh(w * x), FAST, UniPC(2), small)

    weights = torch.tensor([0.1, 0.2], dtype=torch.float64)
    both = torch.vmap(of_weight)(weights)
    for w, one in zip(weights, both, strict=True):
        torch.testing.assert_close(one, of_weight(w))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_modes_of_autograd_change_nothing(mode: Any) -> None:
    x = torch.tensor(X)
    expected = sample(network, FAST, UniPC(2), x)
    with mode():
        assert torch.equal(sample(network, FAST, UniPC(2), x), expected)
        steps = list(sample_steps(network, FAST, UniPC(2), x))
    assert torch.equal(steps[-1], expected)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of what Dynamo looks through
def test_compiled_networks_and_compiled_loops() -> None:
    """With backends that need no compiler on the machine."""
    x = torch.tensor(X)
    expected = sample(network, FAST, UniPC(2), x)
    compiled = torch.compile(network, backend="aot_eager")
    with torch.inference_mode():
        torch.testing.assert_close(sample(compiled, FAST, UniPC(2), x), expected)
    plan = UniPC(2).plan(FAST)
    loop = torch.compile(lambda x: plan.run(network, x), backend="eager")
    torch.testing.assert_close(loop(x), expected)


def test_results_are_tensors_of_their_own() -> None:
    """No views, which could not be changed in place outside of the mode that they were made in."""
    weight = torch.randn(2, 3, requires_grad=True)
    for like in (torch.randn(2, 3), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)):
        with torch.no_grad():
            image = sample(network, FAST, UniPC(2), like)
            steps = list(sample_steps(network, FAST, DDIM(), like))
        for result in (image, *steps):
            assert result._base is None
            assert result.stride() == like.stride()
    changed = sample(network, FAST, DDIM(), torch.randn(2, 3))
    changed += weight
    changed.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_run_may_leave_the_mode_that_it_began_in(dtype: Any) -> None:
    x = torch.tensor(X).to(dtype)
    for schedule in (FAST, FAST.as_ve()):
        expected = sample(network, schedule, UniPC(3), x)
        steps = sample_steps(network, schedule, UniPC(3), x)
        with torch.inference_mode():
            next(steps)
        assert torch.equal(list(steps)[-1], expected)


def test_a_default_device_is_left_alone() -> None:
    x = torch.tensor(X)
    expected = sample(network, FAST, UniPC(3), x, noise=3)
    with torch.device("meta"):
        assert torch.equal(sample(network, FAST, UniPC(3), x, noise=3), expected)


def test_arguments_are_checked_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="x is on the device meta"):
        sample_steps(network, FAST, DDIM(), torch.ones(2, 3, device="meta"))


def test_half_precision_is_rounded_once_a_step() -> None:
    """A step whose exact result lies by a rounding bound: twice rounded, it would be off."""
    plan = DDIM().plan(FAST[:1])
    a, b = 1.0 / plan.alpha[0], -plan.sigma[0] / plan.alpha[0]
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.tensor(X).to(dtype)
        eps = torch.tensor(X[::-1].copy()).to(dtype)
        result = sample(lambda x, t, eps=eps: eps, FAST[:1], DDIM(), x)
        exact = a * x.double() + b * eps.double()
        assert (result != exact.to(dtype)).float().mean() < 0.01  # float32 inside may tie
        assert torch.equal(result, (a * x.float() + b * eps.float()).to(dtype))


@pytest.mark.usefixtures("without_numba")
def test_half_precision_is_run_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from schedalg_torch import eager

    monkeypatch.setattr(eager, "_BLOCK", 16)
    check_backend(made, ["bfloat16"])


@pytest.mark.usefixtures("without_numba")
def test_memories_of_large_samples_are_added_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from schedalg_torch import eager

    monkeypatch.setattr(eager, "SMALL", 0)
    check_backend(made, ["float64"])


def negative(x: Any) -> Any:
    """Return -x as a view whose memory holds x."""
    return torch.complex(torch.zeros_like(x), x).conj().imag


def test_outputs_may_be_views_of_any_kind() -> None:
    """Of memory that holds the opposite numbers, of every second number, or Parameters."""
    x = torch.tensor(X)
    for schedule in (FAST, FAST.as_ve()):
        for sampler in (DDIM(), UniPC(2)):
            expected = sample(lambda x, t: -x.sin(), schedule, sampler, x)
            for view in (
                lambda x: negative(x.sin()),
                lambda x: -torch.stack([x, x], dim=-1).sin()[..., 0],
                lambda x: torch.nn.Parameter(-x.sin()),
            ):
                with torch.no_grad():
                    result = sample(lambda x, t, v=view: v(x), schedule, sampler, x)
                torch.testing.assert_close(result, expected)
    assert negative(x).is_neg()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (lambda: torch.ones(2, 3).to(torch.float8_e5m2), TypeError, "x must be of"),
        (lambda: torch.ones(2, 3, device="meta"), ValueError, "x is on the device meta"),
        (lambda: torch.ones(2, 3).to_sparse(), ValueError, "x must be strided, got layout"),
    ],
)
def test_tensors_that_cannot_be_run_are_named(x: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        sample(lambda x, t: x, FAST, DDIM(), x())


def test_devices_and_libraries_that_differ_are_named() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="must be on x's device: expected cpu, got meta"):
        sample(lambda x, t: torch.ones(2, 3, device="meta"), FAST, DDIM(), x)
    with pytest.raises(
        TypeError, match=r"must be of x's library: expected torch\.Tensor, got numpy"
    ):
        sample(lambda x, t: x.numpy(), FAST, DDIM(), x)
    with pytest.raises(ValueError, match="what noise returns must be on x's device"):
        sample(network, FAST, DDPM(), x, noise=lambda x: torch.ones(2, 3, device="meta"))
    remapped = TimestepRemap(lambda x, t: t, FAST)
    with pytest.raises(ValueError, match="k must be on x's device or on the CPU: x is on cpu"):
        remapped(x, torch.zeros(2, dtype=torch.int64, device="meta"))


# The kernels, without a GPU: run by Triton's interpreter, and compiled for two of its generations.


def test_the_kernels_do_what_the_rows_say_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.interpreted"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


FLAGS = {"DEPTH": 2, "READ": True, "NOISE": 2, "LEARNED": True, "SEEN": True, "TOGETHER": False}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16", "fp64"])
@pytest.mark.parametrize(
    "flags",
    [
        FLAGS,
        {**FLAGS, "NOISE": 1, "TOGETHER": True},
        dict.fromkeys(FLAGS, 0),
        {**FLAGS, "count": 1, "channels": 1, "ring_apart": 1},  # Triton makes constants of ones
    ],
    ids=["everything", "channels last", "plain", "one number"],
)
def test_the_kernels_compile(dtype: str, flags: dict[str, Any], capability: int) -> None:
    pytest.importorskip("triton")
    assembly = compiled("step", dtype, {**flags, "BLOCK": 1024}, capability)
    accesses = re.findall(r"(ld|st)\.global\.v4\.b32", assembly)
    if dtype != "fp64" and not flags["TOGETHER"] and "count" not in flags:
        assert {"ld", "st"} <= set(accesses), "16 bytes at a time"
    compiled("normal", dtype, {"TOGETHER": flags["TOGETHER"], "BLOCK": 1024}, capability)


def compiled(name: str, dtype: str, flags: dict[str, Any], capability: int) -> str:
    """Return the assembly of a kernel for arguments that divide by 16, as in most runs."""
    import triton
    import triton.language as tl
    from schedalg_torch import kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(kernel, name)
    real = tl.float64 if dtype == "fp64" else tl.float32
    flags = {**flags, "REAL": real}
    integers = ("count", "channels", "d_apart", "variance_apart", "ring_apart")
    special = {"keys": "*i64", "row_at": "*i64", "table": "*fp64" if dtype == "fp64" else "*fp32"}
    names = function.arg_names
    types = {n: special.get(n, "i32" if n in integers else f"*{dtype}") for n in names}
    source = ASTSource(
        fn=function,
        signature={n: "constexpr" if n in flags else types[n] for n in names},
        constexprs={(names.index(n),): value for n, value in flags.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n not in flags},
    )
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"enable_fp_fusion": True})
    return str(made.asm["ptx"])


# On a GPU.


@on_gpu
@pytest.mark.parametrize("last", [False, True])
def test_the_kernels_do_what_the_rows_say_on_a_gpu(last: bool) -> None:
    def make(values: np.ndarray, dtype: str) -> Any:
        x = torch.tensor(values, dtype=getattr(torch, dtype), device="cuda")
        if last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x

    check_backend(make, ["float64", "float32", "float16", "bfloat16"])


@pytest.fixture
def waiting_is_an_error() -> Iterator[Callable[[], None]]:
    """Give a function after which whatever waits for the device raises."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@on_gpu
@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), UniPC(2), Heun()], ids=repr)
def test_the_loop_never_waits_for_the_device(
    sampler: Any, waiting_is_an_error: Callable[[], None]
) -> None:
    x = torch.randn(2, 3, 16, 16, device="cuda")
    sample(network, FAST, sampler, x, noise=3, clip=(-1, 1))
    waiting_is_an_error()
    sample(network, FAST, sampler, x, noise=3, clip=(-1, 1))


@on_gpu
def test_positions_are_mapped_on_the_device(waiting_is_an_error: Callable[[], None]) -> None:
    x = torch.randn(2, 3, device="cuda")
    positions = torch.arange(2, device="cuda")
    remapped = TimestepRemap(lambda x, t: t, FAST)
    for host in (torch.arange(2), np.arange(2)):
        assert remapped(x, host).is_cuda
    expected = remapped(x, positions)
    assert expected.tolist() == FAST.timesteps[:2].tolist()
    waiting_is_an_error()
    remapped(x, positions)


@on_gpu
@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), UniPC(3), Heun()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_captured_step_makes_the_samples_of_the_loop(sampler: Any, dtype: str) -> None:
    x = torch.randn(2, 3, 16, 16, device="cuda").to(getattr(torch, dtype))
    layer = torch.nn.Conv2d(3, 3, 3, padding=1, device="cuda", dtype=x.dtype)

    def model(x: Any, timesteps: Any) -> Any:
        return layer(x) + timesteps.view(-1, 1, 1, 1).to(x.dtype) / 1000

    for schedule in (FAST, FAST.as_ve()):
        how: Any = {"noise": [5, 6], "clip": (-1, 1)}
        with torch.no_grad():
            expected = sample(model, schedule, sampler, x, **how)
        for _ in range(2):
            result = sample(model, schedule, sampler, x, capture=True, **how)
            torch.testing.assert_close(result, expected)


@on_gpu
def test_a_step_is_one_launch() -> None:
    from torch.profiler import ProfilerActivity, profile

    e = torch.randn(1, 4, 64, 64, device="cuda")

    def launches(steps: int) -> int:
        plan = UniPC(2).plan(Schedule.linear(1000).subsample(steps=steps))
        with torch.inference_mode(), profile(activities=[ProfilerActivity.CUDA]) as seen:
            plan.run(lambda x, t: e, e, clip=(-1, 1))
        return sum("step" in event.name for event in seen.events())

    launches(2)
    assert launches(30) - launches(10) == 20


@on_gpu
@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP(2), UniPC(2), Euler()], ids=repr)
def test_a_loop_on_a_gpu_holds_x_the_output_and_its_memories(sampler: Any) -> None:
    x = torch.randn(4, 3, 256, 256, device="cuda")
    for schedule in (FAST, FAST.as_ve()):
        plan = sampler.plan(schedule)
        sample(lambda x, t: x * 0.1, schedule, sampler, x)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            sample(lambda x, t: x * 0.1, schedule, sampler, x)
        held = torch.cuda.max_memory_allocated() - before
        assert held <= (2 + plan.b.shape[1]) * x.nbytes + 2**16


@on_gpu
def test_guidance_and_gradients_on_a_gpu() -> None:
    x = torch.randn(2, 3, 4, 4, device="cuda", dtype=torch.float64, requires_grad=True)
    image = sample(network, FAST, UniPC(2), x, noise=3)
    assert torch.autograd.grad(image.sum(), x)[0].shape == x.shape
    denoise = Denoiser.from_function(Denoiser(network, FAST), FAST)
    with torch.no_grad():
        torch.testing.assert_close(sample(denoise, FAST, UniPC(2), x), image)
