"""Samples at rows of their own: the bits of a run of each, in one call of a loop or a kernel."""

from typing import Any

import pytest

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    FrameRun,
    Pool,
    Schedule,
    UniPC,
    frames,
    initial_noise,
    run,
)

torch = pytest.importorskip("torch")

from tests.running.few import plans_of_all_kinds  # noqa: E402
from tests.torch.tried import gpu, on_gpu  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=5)
SHAPE = (2, 7, 75)  # of two blocks of the kernel, the second one not whole
PLANS = plans_of_all_kinds(FAST)
DEVICES = ["cpu", pytest.param("cuda", marks=gpu)]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def network(x: Any, timesteps: Any) -> Any:
    """A function of each element by itself, with a variance for plans that ask."""
    y = 0.25 * x + timesteps.to(x.dtype).view(-1, 1, 1, 1) / 1024
    return torch.cat([y, 0.5 * y.clamp(-1, 1)], dim=1)


def begun(plan: Any, seed: int, like: Any) -> Any:
    """Return a sample to start from."""
    return initial_noise(plan.schedule.as_vp(), (1, *SHAPE), [seed], like=like)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)], ids=["free", "clipped"])
def test_a_sample_is_to_the_bit_what_it_is_alone(device: str, dtype: Any, clip: Any) -> None:
    like = torch.empty(0, dtype=dtype, device=device)
    pool = Pool(network, SHAPE, 2 * len(PLANS), like=like, clip=clip)
    finished: dict[int, Any] = {}
    tickets: dict[int, int] = {}
    for seed in (*range(len(PLANS)), *reversed(range(len(PLANS)))):
        x = begun(PLANS[seed], seed, like)[0]
        tickets[pool.add(PLANS[seed], seed=seed, x=x)] = seed
        finished |= pool.step()
    finished |= pool.drain()
    for ticket, seed in tickets.items():
        x = begun(PLANS[seed], seed, like)
        alone = run(PLANS[seed], network, x, noise=[seed], clip=clip)[0]
        assert torch.equal(finished[ticket], alone), PLANS[seed]


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("device", DEVICES)
def test_outputs_may_lie_in_memory_as_they_like(device: str, memory: Any) -> None:
    def model(x: Any, timesteps: Any) -> Any:
        return network(x, timesteps).contiguous(memory_format=memory)

    like = torch.empty(0, device=device)
    pool = Pool(model, SHAPE, 2, like=like)
    tickets = [pool.add(PLANS[2], seed=seed) for seed in (1, 2)]
    finished = pool.drain()
    for seed, ticket in zip((1, 2), tickets, strict=True):
        x = initial_noise(PLANS[2].schedule, (1, *SHAPE), [seed], like=like)
        assert torch.equal(finished[ticket], run(PLANS[2], network, x, noise=[seed])[0])


@on_gpu
@pytest.mark.parametrize("sampler", [DDIM(), UniPC(2), DDPM()], ids=repr)
def test_a_step_is_one_launch_and_waits_for_nothing(sampler: Any) -> None:
    from torch.profiler import ProfilerActivity, profile

    plan = sampler.plan(Schedule.linear(1000).subsample(steps=40).as_ve())
    pool = Pool(None, SHAPE, 5, like=torch.empty(0, device="cuda"))
    for seed in range(5):
        pool.add(plan, seed=seed)
        pool.advance(0.1 * pool.input)
    output = 0.1 * pool.input
    pool.advance(output)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            for _ in range(10):
                _ = pool.input, pool.timesteps
                pool.advance(output)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    events = profiler.events() or ()
    names = [event.name for event in events if event.device_type.name == "CUDA"]
    kernels = [name for name in names if not name.startswith(("Memcpy HtoD", "Memset"))]
    assert kernels == ["step"] * 10, names


@on_gpu
@pytest.mark.parametrize("sampler", [DDIM(), UniPC(2), DPMSolverPP(3)], ids=repr)
def test_frames_are_to_the_bit_what_they_are_together(sampler: Any) -> None:
    plan = sampler.plan(FAST.as_ve())
    x = initial_noise(FAST, (2, 3, 5, 75), [1, 2], like=torch.empty(0, device="cuda"))
    held = FrameRun(plan, x, frames(plan, [2, 0, 1]))
    while not held.done:
        held.advance(0.25 * held.input)
    assert torch.equal(held.x, run(plan, lambda x, timesteps: 0.25 * x, x))


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_handed_out_is_not_written_to(device: str) -> None:
    pool = Pool(None, SHAPE, 3, like=torch.empty(0, device=device))
    shown: list[Any] = []
    for seed in range(3):
        pool.add(PLANS[0], seed=seed)
        shown.append((pool.input, pool.input.clone()))
        shown += [(x, x.clone()) for x in pool.advance(pool.input).values()]
    assert all(torch.equal(*each) for each in shown)
