"""A captured step: one launch, and the samples of the loop."""

from typing import Any

import pytest

from schedalg import DDIM, DDPM, Heun, Schedule, UniPC, run, sample

torch = pytest.importorskip("torch")

from tests.torch.tried import on_gpu  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)


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
            run(plan, lambda x, t: e, e, clip=(-1, 1))
        return sum("step" in event.name for event in seen.events())

    launches(2)
    assert launches(30) - launches(10) == 20
