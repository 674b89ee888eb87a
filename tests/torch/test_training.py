"""Training on tensors: compiled whole, transformed, far from the host, and without a copy."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Parameterization, Schedule, TimestepRemap, edm, libraries, tables
from schedalg.cache import Cache
from schedalg.parameterization import PARAMETERIZATIONS

torch = pytest.importorskip("torch")

from schedalg_torch.library import TorchLibrary  # noqa: E402
from torch._dynamo.testing import CompileCounter  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tests.torch.tried import on_gpu  # noqa: E402

LINEAR = Schedule.linear(1000)
X0, NOISE = torch.randn(2, 8, 3, 4, 4, generator=torch.Generator().manual_seed(1))
K = torch.tensor([0, 999, 5, 5, 17, 300, 998, 1])
REMAPPED = TimestepRemap(
    lambda x, timesteps: x + timesteps.view(*timesteps.shape, *(1,) * (x.ndim - timesteps.ndim)),
    LINEAR.subsample(every=10),
)
OWN = Parameterization(lambda alpha, sigma: 0.0 * alpha, lambda alpha, sigma: 1 / alpha)
LEARNED = Schedule.from_log_snr(torch.linspace(4, -4, 1000, dtype=torch.float64).requires_grad_())


def of_frames(k: Any) -> Any:
    """Return a position for each sample and frame: the second dimension of x counts three."""
    return k[:, None].expand(-1, 3)


def target_of(prediction: Any) -> Callable[[Any, Any, Any], Any]:
    return lambda x, noise, k: LINEAR.target(x, noise, k, prediction)


#: What a training step calls.
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add_noise": LINEAR.add_noise,
    "one position": lambda x, noise, k: LINEAR.add_noise(x, noise, 7),
    "a tensor for all": lambda x, noise, k: LINEAR.add_noise(x, noise, k[0]),
    "int32": lambda x, noise, k: LINEAR.add_noise(x, noise, k.to(torch.int32)),
    **{f"target {name}": target_of(name) for name in PARAMETERIZATIONS},
    "target edm(0.3)": target_of(edm(0.3)),
    "target own": target_of(OWN),
    "both": lambda x, noise, k: LINEAR.add_noise(x, noise, k) - LINEAR.target(x, noise, k, "v"),
    "learned": lambda x, noise, k: LEARNED.target(x, LEARNED.add_noise(x, noise, k), k, "v"),
    "frames": lambda x, noise, k: LINEAR.add_noise(x, noise, of_frames(k)),
    "frames, target": lambda x, noise, k: LINEAR.target(x, noise, of_frames(k), "v"),
    "frames, target own": lambda x, noise, k: LINEAR.target(x, noise, of_frames(k), OWN),
    "frames, remap": lambda x, noise, k: REMAPPED(x, of_frames(k // 10)),
    "frames, learned": lambda x, noise, k: LEARNED.add_noise(x, noise, of_frames(k)),
    "remap": lambda x, noise, k: REMAPPED(x, k // 10),
    "remap one": lambda x, noise, k: REMAPPED(x, 5),
}
#: What brings tables of a learned schedule from the host, or positions of another type.
HOST_BOUND = ("learned", "frames, learned", "int32")


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without tables."""
    monkeypatch.setattr(tables, "_TABLES", Cache(tables._TABLES.limit, tables._size))


@pytest.fixture
def compiled() -> Any:
    """Begin without compiled code."""
    torch._dynamo.reset()
    yield torch.compile
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("call", CALLS)
def test_it_compiles_to_one_graph(call: str, compiled: Any, no_tables: None) -> None:
    graphs = CompileCounter()
    function = compiled(CALLS[call], fullgraph=True, backend=graphs)
    for x, k in ((X0, K), (X0.flip(0), K.flip(0))):
        result = function(x, NOISE, k)
        torch.testing.assert_close(result, CALLS[call](x, NOISE, k), rtol=0, atol=0)
    assert graphs.frame_count == 1


def test_tables_of_one_graph_are_told_apart_when_it_is_differentiated(compiled: Any) -> None:
    """AOTAutograd wants a name for each constant."""
    ve = LINEAR.as_ve()

    def step(x: Any, noise: Any, k: Any) -> Any:
        noisy = LINEAR.add_noise(x, noise, k) + ve.add_noise(x, noise, k)
        return (noisy - LINEAR.target(x, noise, k, "v") * REMAPPED(x, k // 10)).square().sum()

    gradients = []
    for function in (step, compiled(step, fullgraph=True, backend="aot_eager")):
        x = X0.clone().requires_grad_()
        function(x, NOISE, K).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


def test_tensors_may_be_met_by_the_compiler_first(
    compiled: Any, no_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "_BY_TYPE", {np.ndarray: libraries.NUMPY})
    function = compiled(LINEAR.add_noise, fullgraph=True, backend="eager")
    torch.testing.assert_close(function(X0, NOISE, K), LINEAR.add_noise(X0, NOISE, K))


def test_a_schedule_is_not_taken_for_one_that_lay_where_it_lies(
    compiled: Any, no_tables: None
) -> None:
    function = compiled(
        lambda schedule, x: schedule.add_noise(x, x, K), fullgraph=True, backend="eager"
    )
    for make in (Schedule.linear, Schedule.cosine, Schedule.linear, Schedule.cosine):
        schedule = make(1000)
        expected = schedule.add_noise(X0, X0, K)
        tables._TABLES._results.clear()  # which hold the schedule
        assert torch.equal(function(schedule, X0), expected)
        tables._TABLES._results.clear()
        del schedule
        gc.collect()


def test_one_position_after_another_compiles_twice(compiled: Any) -> None:
    graphs = CompileCounter()
    function = compiled(LINEAR.add_noise, fullgraph=True, backend=graphs)
    for k in range(5, 12):
        assert torch.equal(function(X0, NOISE, k), LINEAR.add_noise(X0, NOISE, k))
    assert graphs.frame_count == 2  # for a number, and for any


class Listed(TorchDispatchMode):
    """Lists the operations that are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        self.names.append(function.overloadpacket._qualified_op_name.removeprefix("aten::"))
        return function(*arguments, **(options or {}))


#: Operations that would bring numbers from the host, or wait for the device.
COPIES = {
    "_local_scalar_dense",
    "_to_copy",
    "copy_",
    "lift_fresh",
    "item",
    "is_nonzero",
    "full",
    "scalar_tensor",
    "tensor",
}


@pytest.mark.parametrize("far", [False, True], ids=["cpu", "far"])
@pytest.mark.parametrize("call", [call for call in CALLS if call not in HOST_BOUND])
def test_a_second_call_brings_nothing_from_the_host(
    call: str, far: bool, no_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU whose tensors are not to be looked at stands for a device far from the host."""
    if far:
        monkeypatch.setattr(TorchLibrary, "can_be_read", lambda self, x: False)
    with Listed() as first:
        CALLS[call](X0, NOISE, K)
    assert COPIES & set(first.names)
    with Listed() as second:
        CALLS[call](X0, NOISE, K)
    assert not COPIES & set(second.names) - (set() if far else {"_local_scalar_dense"})


def test_transforms_of_functions_are_followed_and_leave_nothing(no_tables: None) -> None:
    expected = LINEAR.add_noise(X0, NOISE, K)
    tables._TABLES._results.clear()

    def one(x: Any, noise: Any, k: Any) -> Any:
        return LINEAR.add_noise(x[None], noise[None], k)[0]

    torch.testing.assert_close(torch.vmap(one)(X0, NOISE, K), expected)
    noisy = torch.vmap(lambda noise: LINEAR.add_noise(X0, noise, K))(NOISE[None])
    torch.testing.assert_close(noisy[0], expected)
    tables._TABLES._results.clear()
    sigma = torch.tensor(np.array(LINEAR.sigma))[K].float().view(-1, 1, 1, 1)
    gradient = torch.func.grad(lambda noise: LINEAR.add_noise(X0, noise, K).sum())(NOISE)
    torch.testing.assert_close(gradient, sigma.expand_as(NOISE))
    assert all(type(table) is torch.Tensor for (table, _), _ in tables._TABLES._results.values())
    torch.testing.assert_close(LINEAR.add_noise(X0, NOISE, K), expected)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("call", ["both", "remap"])
def test_it_is_exported(call: str, strict: bool, compiled: Any, no_tables: None) -> None:
    class Step(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, noise: Any, k: Any) -> Any:
            return CALLS[call](x, noise, k)

    exported = torch.export.export(Step(), (X0, NOISE, K), strict=strict).module()
    assert all(type(table) is torch.Tensor for (table, _), _ in tables._TABLES._results.values())
    arguments = X0.flip(0), NOISE, K.flip(0)
    torch.testing.assert_close(exported(*arguments), CALLS[call](*arguments))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transforms_inside_of_a_compiled_function_leave_nothing(
    compiled: Any, no_tables: None
) -> None:
    def gradient(x: Any, k: Any) -> Any:
        return torch.func.grad(lambda x: LINEAR.add_noise(x, NOISE, k).square().sum())(x)

    def batch(noise: Any, k: Any) -> Any:
        return torch.vmap(lambda noise: LINEAR.add_noise(X0, noise, k))(noise)

    noisy = compiled(batch, backend="eager", fullgraph=True)(NOISE[None], K)
    torch.testing.assert_close(noisy[0], LINEAR.add_noise(X0, NOISE, K))
    tables._TABLES._results.clear()
    result = compiled(gradient, backend="eager", fullgraph=True)(X0, K)
    for (table, _), _ in tables._TABLES._results.values():
        table.untyped_storage()  # a tensor that only wraps another has none
    tables._TABLES._results.clear()
    torch.testing.assert_close(result, gradient(X0, K))


@pytest.mark.parametrize("call", ["add_noise", "target own", "remap", "remap one", "one position"])
def test_a_table_of_inference_serves_training(call: str, no_tables: None) -> None:
    with torch.inference_mode():
        CALLS[call](X0, NOISE, K)
    x = X0.clone().requires_grad_()
    CALLS[call](x, NOISE, K).square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("count", [2, 40])
@pytest.mark.parametrize("wrong", [-1, 1000, -(2**40), 2**40])
def test_a_position_out_of_range_is_named(count: int, wrong: int) -> None:
    x, k = torch.zeros(count, 3), torch.arange(count)
    k[1] = wrong
    for call in ("add_noise", "target v"):
        with pytest.raises(ValueError, match=rf"k\[1\] is {wrong}: positions are 0 to 999"):
            CALLS[call](x, x, k)


def test_memory_that_was_freed_is_not_read() -> None:
    for freed in (0, 1):
        tensors = [X0.clone(), NOISE.clone()]
        tensors[freed].untyped_storage().resize_(0)
        for call in ("add_noise", "target v"):
            with pytest.raises(ValueError, match="resized"):
                CALLS[call](tensors[0], tensors[1], K)


def test_views_are_read_where_they_lie() -> None:
    expected = LINEAR.add_noise(X0, NOISE, K)
    channels_last = X0.to(memory_format=torch.channels_last)
    beside = torch.stack([NOISE, X0])[0], torch.stack([K, K], 1)[:, 1], torch.cat([K, K])[8:]
    assert torch.equal(LINEAR.add_noise(channels_last, NOISE, K), expected)
    for k in beside[1:]:
        assert torch.equal(LINEAR.add_noise(X0, beside[0], k), expected)


def test_the_dtype_and_each_sample_s_bits_are_its_own() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        x, noise = X0.to(dtype), NOISE.to(dtype)
        noisy = LINEAR.add_noise(x, noise, K)
        assert noisy.dtype is dtype
        for i in range(len(K)):
            alone = LINEAR.add_noise(x[i : i + 1], noise[i : i + 1], K[i : i + 1])
            assert torch.equal(alone, noisy[i : i + 1])


@on_gpu
@pytest.mark.parametrize("call", [call for call in CALLS if call not in HOST_BOUND])
def test_a_gpu_is_not_waited_for_and_its_graphs_hold_the_calls(call: str) -> None:
    arguments = [argument.cuda() for argument in (X0, NOISE, K)]
    expected = CALLS[call](*arguments)
    torch.cuda.set_sync_debug_mode("error")
    try:
        CALLS[call](*arguments)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = CALLS[call](*arguments)
        graph.replay()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(result.cpu(), CALLS[call](X0, NOISE, K))
