"""The loop on a GPU: it waits for nothing, and holds no more than it must."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    DPMSolverPP,
    Euler,
    Heun,
    Schedule,
    TimestepRemap,
    UniPC,
    sample,
)

torch = pytest.importorskip("torch")

from schedalg_torch import fused  # noqa: E402

from tests.torch.tried import network, on_gpu  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)


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


class Recorded:
    """In the place of the kernels: says how each launch found its kernel."""

    tl = SimpleNamespace(float32="float32", float64="float64")

    def __init__(self) -> None:
        self.found: list[str] = []
        self.step = self

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        def by_triton(*arguments: Any, **options: Any) -> Any:
            self.found.append("by Triton")
            return {grid: lambda *arguments: self.found.append("known")}

        return by_triton


def test_a_compiled_kernel_is_launched_for_what_it_was_compiled_for_alone() -> None:
    """Its loads are 16 bytes wide, and its numbers are constants: any other launch asks Triton."""
    kernel, compiled = Recorded(), dict[Any, Any]()
    room = torch.zeros(64, dtype=torch.float64)
    row = torch.zeros(1, dtype=torch.int64)
    assert room.data_ptr() % 16 == row.data_ptr() % 16 == 0

    def how(d: Any = room, apart: int = 4, depth: int = 0, x: Any = room[:8]) -> str:
        held, tables = (x, x, x, x), (None, room, room, row)
        flags = {"clipped": False, "unbounded": False, "noisy": False, "learned": False}
        of = {**flags, "depth": depth, "scaled": False}
        fused.launch(kernel, compiled, held, 2, (d[:8], apart), None, None, None, tables, **of)
        return kernel.found[-1]

    assert [how() for _ in range(3)] == ["by Triton", "known", "known"]
    assert [how(d=room[1:]) for _ in range(2)] == ["by Triton"] * 2
    assert [how(x=room[1:9]) for _ in range(2)] == ["by Triton"] * 2
    for other in ({"apart": 8}, {"depth": 1}, {"d": room.float()}):
        assert [how(**other) for _ in range(2)] == ["by Triton", "known"]
    assert how() == "known"
