"""The loop on a GPU: it waits for nothing, and holds no more than it must."""

from collections.abc import Callable, Iterator
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
