"""Small steps with numba: no operation, the same bits, and left alone where it must be."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from weakref import ref

import numpy as np
import pytest

from schedalg import DDIM, DDPM, DPMSolverPP, Euler, Pool, Schedule, UniPC, begin, run, sample
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.running.rows import rows_of

torch = pytest.importorskip("torch")

from schedalg_torch import TorchBackend, optional  # noqa: E402
from schedalg_torch.compiled import table_of  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tests.torch.tried import network  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


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
        run(plan, lambda x, t: z, z, noise=lambda x: z, **how)  # what is made once is made
        with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
            run(plan, lambda x, t: z, z, noise=lambda x: z, **how)
        names = [event.name for event in profiler.events() or () if event.name.startswith("aten::")]
        looks = ("unbind", "select", "as_strided", "view", "detach", "is_set_to")
        counts.append(sum(name.removeprefix("aten::") not in looks for name in names))
    assert counts[0] == counts[1] < 20


BROKEN = """
import sys
import torch
import schedalg
{first}
x = torch.ones(2, 3)
print(schedalg.sample(lambda x, t: x, schedalg.Schedule.linear(4), schedalg.DDIM(), x).shape)
print([b.reason for b in schedalg.backends() if b.name == "torch" and b.available])
"""


@pytest.mark.parametrize(
    ("first", "threads", "said"),
    [
        ("", "0", "numba cannot be used: ValueError"),
        ("sys.modules['llvmlite'] = None", "1", "numba cannot be used: ModuleNotFoundError"),
    ],
)
def test_a_broken_numba_is_reported_and_breaks_nothing(first: str, threads: str, said: str) -> None:
    pytest.importorskip("numba")
    shape, reasons = subprocess.run(
        [sys.executable, "-c", BROKEN.format(first=first)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_NUM_THREADS": threads},
    ).stdout.splitlines()
    assert shape == "torch.Size([2, 3])"
    assert said in reasons


def test_what_an_optional_package_raises_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(error: BaseException) -> Any:
        raise error

    monkeypatch.setattr(optional, "faults", {})
    assert optional.made("a", lambda: raising(ModuleNotFoundError("no a", name="a"))) is None
    assert optional.faults == {}
    assert optional.made("a", lambda: raising(OSError("no liba.so"))) is None
    assert optional.made("b", lambda: raising(SystemExit(3))) is None
    assert optional.faults == {
        "a": "a cannot be used: OSError: no liba.so",
        "b": "b cannot be used: SystemExit: 3",
    }
    assert optional.made("c", lambda: 5) == 5


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

    for loop in (loop_on(FAST), loop_on(FAST.as_ve())):
        with torch.no_grad():
            for traced in (torch.jit.trace(loop, x, check_trace=False), make_fx(loop)(x)):
                torch.testing.assert_close(traced(other), loop(other))


def test_bfloat16_is_rounded_to_the_nearest_and_to_even_between_two() -> None:
    """Sums of every bfloat16 and half a unit in its last place, more and less."""
    from schedalg.running.backend import backend_for
    from schedalg.running.rows import Row
    from schedalg.testing.rows import rows_of_numbers

    x = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    _, exponent = torch.frexp(x.float())
    half = torch.ldexp(torch.ones(2**16), exponent - 9)  # 8 digits, the first one included
    added = Row(1.0, None, 1.0, 1.0, (), None, 0.0, None)
    for d in (half, half * (1 + 2**-7), half * (1 - 2**-8)):
        d = d.to(torch.bfloat16)
        expected = (x.float() + d.float()).to(torch.bfloat16)
        update = backend_for(x).update(rows_of_numbers([added], 0), x, None, reuse=True)
        after = update(0, x, d, None, None, None)
        torch.testing.assert_close(after, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of what Dynamo looks through
def test_compiled_networks_and_compiled_loops() -> None:
    """With backends that need no compiler on the machine."""
    x = torch.tensor(X)
    expected = sample(network, FAST, UniPC(2), x)
    compiled = torch.compile(network, backend="aot_eager")
    with torch.inference_mode():
        torch.testing.assert_close(sample(compiled, FAST, UniPC(2), x), expected)
    plan = UniPC(2).plan(FAST)
    loop = torch.compile(lambda x: run(plan, network, x), backend="eager")
    torch.testing.assert_close(loop(x), expected)


@contextmanager
def default_of_torch(default: Any) -> Iterator[None]:
    """Another dtype or device of new tensors."""
    if isinstance(default, str):
        with torch.device(default):
            yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64, "meta"], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_defaults_of_torch_change_nothing(default: Any, dtype: Any) -> None:
    x = torch.tensor(X, dtype=dtype, device="cpu")
    plans = [UniPC(2).plan(FAST), DDPM().plan(FAST.as_ve())]

    def results() -> list[Any]:
        found = []
        for plan in plans:
            rows = rows_of(plan, x, PARAMETERIZATIONS["epsilon"])
            update: Any = TorchBackend().update(rows, x, None, reuse=True)
            # The loop writes there: if it were smaller, this process would be lost below.
            scratch = getattr(update, "scratch", torch.empty(0, dtype=torch.float32, device="cpu"))
            assert scratch.dtype is torch.float32
            assert scratch.device == x.device
            pool = Pool(network, X.shape[1:], 1, like=x)
            pool.add(plan, seed=1, x=x[0])
            found += [run(plan, network, x, noise=1), *pool.drain().values()]
        return found

    expected = results()
    with default_of_torch(default):
        assert all(map(torch.equal, results(), expected))


class Nothing(TorchDispatchMode):
    """Looks at every operation, and changes none."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", [Nothing, partial(FakeTensorMode, allow_non_fake_inputs=True)])
@pytest.mark.parametrize("kind", ["run", "pool"])
def test_a_mode_that_begins_in_the_middle(kind: str, mode: Any) -> None:
    """Memory that torch only pretends to give is not written to."""
    plan, x = UniPC(2).plan(FAST), torch.tensor(X[:1])
    expected = run(plan, network, x)
    held: Any = begin(plan, x)
    if kind == "pool":
        held = Pool(None, X.shape[1:], 1, like=x)
        held.add(plan, x=x[0])
    held.advance(network(held.input, held.timesteps))
    output = network(held.input, held.timesteps)
    with mode():
        held.advance(output)
    if mode is not Nothing:  # what it made holds no numbers
        return
    finished: Any = {}
    for _ in range(6):
        finished = held.advance(network(held.input, held.timesteps))
    result = held.x[0] if kind == "run" else finished[1]
    torch.testing.assert_close(result, expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sampler", [DDIM(), UniPC(2)], ids=["DDIM", "UniPC"])
@pytest.mark.parametrize("numba", [True, False])
def test_nothing_that_a_mode_made_is_kept(
    sampler: Any, numba: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no memory is not given to a later run, which would write there."""
    if not numba:
        monkeypatch.setattr("schedalg_torch.torch_backend.step_for", lambda x: None)
    x = torch.ones(3, 1 + numba, 37, dtype=torch.float64)  # of a shape that no other test has
    with suppress(Exception), FakeTensorMode():
        sample(network, FAST, sampler, x)
    result = sample(network, FAST, sampler, x)
    one = sample(network, FAST, sampler, torch.ones(1, 1, dtype=torch.float64))
    np.testing.assert_allclose(result, np.full(x.shape, one.item()), rtol=1e-12)


def test_a_table_lives_as_long_as_its_address_is_held() -> None:
    """Threads that run one plan at once may each make its table."""
    pool = Pool(network, X.shape[1:], 1, like=torch.tensor(X))
    pool.add(UniPC(2).plan(FAST), seed=1)
    stack: Any = pool._together
    rows = stack.held[0].rows
    table = ref(table_of(rows, rows.depth + 1)[0])
    rows.cache.clear()
    assert table() is not None
