"""The CuPy backend itself: what it takes, says without a device, and does on one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    LMS,
    DPMSolverPP,
    FrameRun,
    Heun,
    Pool,
    Schedule,
    TimestepRemap,
    UniPC,
    backends,
    frames,
    run,
    sample,
    tables,
)
from schedalg.cache import Cache
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.running.rows import rows_of
from schedalg.testing import check_backend

cupy = pytest.importorskip("cupy", exc_type=ImportError)

from schedalg_cupy import backend, from_torch  # noqa: E402
from schedalg_cupy.fused import batched, flat  # noqa: E402

from tests.running.few import plans_of_all_kinds  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=6)
X = np.random.default_rng(0).standard_normal((3, 2, 3, 3))  # 18 elements: not all fours


def on_gpu(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs a device."""
    skipped = pytest.mark.skipif(backend.unavailable() is not None, reason="needs a CUDA device")
    return pytest.mark.gpu(skipped(test))


def network(x: Any, timesteps: Any) -> Any:
    return np.tanh(x / 40) + timesteps[:, None, None, None].astype(x.dtype) / 4000


def with_variance(x: Any, timesteps: Any) -> Any:
    return np.concatenate([network(x, timesteps), np.sin(x)], axis=1)


def on_cpu_memory(values: np.ndarray) -> Any:
    """Return an array of CuPy over memory of the host: to look at, since no kernel can read it."""
    memory = cupy.cuda.UnownedMemory(values.ctypes.data, values.nbytes, values, 0)
    return cupy.ndarray(values.shape, values.dtype, cupy.cuda.MemoryPointer(memory, 0))


def test_views_lie_where_those_of_numpy_do() -> None:
    host = np.zeros((3, 4, 5, 6), np.float32)
    array = on_cpu_memory(host)
    for part in (np.s_[:], np.s_[:, :2], np.s_[:, 2:], np.s_[::2], np.s_[::-1], np.s_[1:2, :2]):
        expected, view = batched(host[part], np), batched(array[part], cupy)
        assert view.data.ptr == expected.ctypes.data
        assert (view.shape, view.strides[0]) == (expected.shape, expected.strides[0])
    assert flat(array, cupy).data.ptr == host.ctypes.data
    assert cupy.may_share_memory(array[:, :2], array[1:])
    assert not cupy.may_share_memory(array[:1], array[1:])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_three_dtypes_are_run(dtype: str) -> None:
    backend.check(on_cpu_memory(np.zeros((2, 3), dtype)))


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_other_dtypes_are_named(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"x must be of .* float16, .* got {dtype}"):
        backend.check(on_cpu_memory(np.zeros((2, 3), dtype)))


def test_without_a_device_the_others_still_run() -> None:
    reason = backend.unavailable()
    if reason is None:
        pytest.skip("there is a device")
    status = {each.name: each for each in backends()}["cupy"]
    assert (status.available, status.reason) == (False, reason)
    assert reason.startswith("CuPy finds no CUDA device")
    assert "\n" not in reason
    expected = sample(network, FAST, DDIM(), X)
    torch = pytest.importorskip("torch")

    def torchs(x: Any, timesteps: Any) -> Any:
        return torch.tanh(x / 40) + timesteps[:, None, None, None].to(x.dtype) / 4000

    result = sample(torchs, FAST, DDIM(), torch.tensor(X))
    np.testing.assert_allclose(result, expected, 1e-12, 1e-12)


def test_arrays_that_cannot_be_run_say_why() -> None:
    if backend.unavailable() is None:
        pytest.skip("there is a device")
    with pytest.raises(RuntimeError, match="the backend for cupy cannot run here: CuPy finds no"):
        sample(network, FAST, DDIM(), on_cpu_memory(X))


@on_gpu
def test_the_kernels_do_what_the_rows_say_on_a_gpu() -> None:
    check_backend(
        lambda values, dtype: cupy.asarray(values, dtype=dtype), ["float64", "float32", "float16"]
    )


@on_gpu
@pytest.mark.parametrize("sampler", [DDIM(), UniPC(2), Heun(), LMS(4), DDPM()], ids=repr)
@pytest.mark.parametrize("non_blocking", [False, True])
def test_kernels_are_launched_on_the_current_stream(sampler: Any, non_blocking: bool) -> None:
    def cupys(x: Any, timesteps: Any) -> Any:
        return cupy.tanh(x / 40) + timesteps[:, None, None, None].astype(x.dtype) / 4000

    expected = sample(network, FAST, sampler, X, noise=[5, 6, 7])
    stream = cupy.cuda.Stream(non_blocking=non_blocking)
    with stream:
        result = sample(cupys, FAST, sampler, cupy.asarray(X), noise=[5, 6, 7])
    stream.synchronize()
    np.testing.assert_allclose(result.get(), expected, 1e-11, 1e-11)


@on_gpu
def test_a_learned_variance_is_read_where_the_network_wrote_it() -> None:
    def cupys(x: Any, timesteps: Any) -> Any:
        mean = cupy.tanh(x / 40) + timesteps[:, None, None, None].astype(x.dtype) / 4000
        return cupy.concatenate([mean, cupy.sin(x)], axis=1)

    how: dict[str, Any] = {"noise": 3, "clip": (-1.0, 1.0)}
    expected = sample(with_variance, FAST, DDPM("learned_range"), X, **how)
    result = sample(cupys, FAST, DDPM("learned_range"), cupy.asarray(X), **how)
    np.testing.assert_allclose(result.get(), expected, 1e-11, 1e-11)


@on_gpu
def test_a_run_reuses_two_arrays_and_a_walk_none() -> None:
    x = cupy.asarray(X)
    rows = rows_of(DDIM().plan(FAST), X, PARAMETERIZATIONS["epsilon"])
    for reuse, most in ((True, 2), (False, len(rows.rows))):
        update = backend.update(rows, x, None, reuse=reuse)
        after, kept = x, []
        for k in range(len(rows.rows)):
            after = update(k, after, cupy.tanh(after), None, None, None)
            kept.append(after)
        assert len({array.data.ptr for array in kept}) == most
    np.testing.assert_array_equal(x.get(), X)


@on_gpu
def test_networks_of_torch_read_and_write_the_same_memory() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA")
    seen: list[Any] = []
    weight = torch.nn.Parameter(torch.tensor(1 / 40, dtype=torch.float64, device="cuda"))

    def module(x: Any, timesteps: Any, *, shift: Any, scale: float) -> Any:
        output = torch.tanh(x * weight) + (timesteps * shift)[:, None, None, None] * scale
        seen.append((x.data_ptr(), timesteps.data_ptr(), shift.data_ptr(), output.data_ptr()))
        return output

    adapted = from_torch(module)
    shift = cupy.ones(3)

    def model(x: Any, timesteps: Any) -> Any:
        output = adapted(x, timesteps, shift=shift, scale=1 / 4000)
        assert isinstance(output, cupy.ndarray)
        pointers = (x, timesteps, shift, output)
        assert seen[-1] == tuple(array.data.ptr for array in pointers)
        return output

    expected = sample(network, FAST, DPMSolverPP(2), X)
    for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True)):
        with stream:
            result = sample(model, FAST, DPMSolverPP(2), cupy.asarray(X))
        stream.synchronize()
        np.testing.assert_allclose(result.get(), expected, 1e-11, 1e-11)


@on_gpu
def test_training_and_remapped_networks_copy_their_tables_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy, copies = tables._copy, 0

    def counted(*how: Any) -> Any:
        nonlocal copies
        copies += 1
        return copy(*how)

    monkeypatch.setattr(tables, "_copy", counted)
    monkeypatch.setattr(tables, "_TABLES", Cache(tables._TABLES.limit, tables._size))
    x, k = cupy.asarray(X), cupy.asarray([5, 0, 2])
    remapped = TimestepRemap(lambda x, timesteps: timesteps, FAST)
    for _ in range(2):
        noisy, timesteps = FAST.add_noise(x, x, k), remapped(x, k)
        one, alone = FAST.add_noise(x, x, 5), remapped(x, 5)
    assert copies == 2
    host = np.array([5, 0, 2])
    np.testing.assert_allclose(noisy.get(), FAST.add_noise(X, X, host), rtol=1e-14)
    np.testing.assert_allclose(one.get(), FAST.add_noise(X, X, 5), rtol=1e-14)
    np.testing.assert_array_equal(timesteps.get(), FAST.timesteps[host])
    np.testing.assert_array_equal(alone.get(), FAST.timesteps[[5, 5, 5]])


@on_gpu
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)], ids=["free", "clipped"])
def test_a_sample_of_a_pool_is_to_the_bit_what_it_is_alone(dtype: str, clip: Any) -> None:
    def cupys(x: Any, timesteps: Any) -> Any:
        y = x / 4 + timesteps[:, None, None, None].astype(x.dtype) / 1024
        return cupy.concatenate([y, y.clip(-1, 1)], axis=1)

    plans = plans_of_all_kinds(FAST)
    x = cupy.asarray(X, dtype=dtype)
    pool = Pool(cupys, X.shape[1:], len(plans), like=x, clip=clip)
    finished: dict[int, Any] = {}
    tickets: list[int] = []
    for seed, plan in enumerate(plans):
        tickets.append(pool.add(plan, seed=seed, x=x[seed % 3]))
        finished |= pool.step()
    finished |= pool.drain()
    for seed, (plan, ticket) in enumerate(zip(plans, tickets, strict=True)):
        alone = run(plan, cupys, x[seed % 3, None], noise=[seed], clip=clip)
        np.testing.assert_array_equal(finished[ticket].get(), alone[0].get())


@on_gpu
def test_frames_are_to_the_bit_what_they_are_together() -> None:
    for sampler in (DDIM(), UniPC(2), DPMSolverPP(3)):
        plan = sampler.plan(FAST.as_ve())
        x = cupy.asarray(X)
        held = FrameRun(plan, x, frames(plan, [1, 0]))
        while not held.done:
            held.advance(held.input / 4)
        expected = run(plan, lambda x, timesteps: x / 4, x)
        np.testing.assert_array_equal(held.x.get(), expected.get())
