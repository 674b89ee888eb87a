"""Runs that leave the first steps out, as image to image does."""

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from schedalg import (  # noqa: E402
    DDIM,
    DEIS,
    IPNDM,
    LMS,
    PNDM,
    DPMSolver,
    DPMSolverPP,
    Euler,
    Heun,
    Midpoint,
    Restart,
    SASolver,
    Schedule,
    UniPC,
    sample,
)
from schedalg.interop.diffusers import from_diffusers, to_diffusers  # noqa: E402

N = 6


def network(x: Any, t: Any) -> Any:
    return 0.6 * x * math.cos(float(t) / 300) + 0.05 * x**2 / (1 + x**2)


def noise() -> Any:
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    return x.double()


def image_to_image(scheduler: Any, kept: int, *, begins: bool) -> tuple[Any, Any]:
    """Image to image over the last `kept` of N steps: x before and after."""
    scheduler.set_timesteps(N)
    skipped = (N - kept) * scheduler.order
    timesteps = scheduler.timesteps[skipped:]
    if begins:
        scheduler.set_begin_index(skipped)
    x = start = scheduler.add_noise(0.1 * noise(), noise(), timesteps[:1].repeat(2))
    for t in timesteps:
        output = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x, return_dict=False)[0]
    return start, x


SAMPLERS = [
    DDIM(),
    UniPC(order=3),
    DPMSolverPP(order=3),
    DPMSolverPP(order=2, lower_order_final=True),
    DEIS(order=3),
    LMS(order=4),
    IPNDM(order=4),
    SASolver(order=3, tau=0.0),
    DPMSolver(order=3),
    Heun(),
    Midpoint(),
]


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("scale", ["vp", "ve"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_a_late_start_runs_the_shorter_schedule(sampler: Any, scale: str, begins: bool) -> None:
    """With the order that its steps allow, where they are fewer than the method uses."""
    base = Schedule.linear(1000) if scale == "vp" else Schedule.linear(1000).as_ve()
    scheduler = to_diffusers(base, sampler, spacing="trailing")
    schedule = base.subsample(steps=N, spacing="trailing")
    for kept in range(1, N + 1):
        start, result = image_to_image(scheduler, kept, begins=begins)
        path = schedule[:kept]
        torch.testing.assert_close(start, path.add_noise(0.1 * noise(), noise(), kept - 1))
        order = getattr(sampler, "order", 1)
        lowered = replace(sampler, order=kept) if order > kept else sampler
        expected = sample(lambda x, t: network(x, t[0]), path, lowered, start)
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("begins", [True, False])
def test_pndm_starts_late_with_one_call_a_step(begins: bool) -> None:
    """Its order is 1, as in diffusers, although its first step has two calls."""
    scheduler = to_diffusers(Schedule.linear(1000), PNDM(), spacing="trailing")
    schedule = Schedule.linear(1000).subsample(steps=N, spacing="trailing")
    assert scheduler.order == 1
    for kept in range(1, N):
        start, result = image_to_image(scheduler, kept, begins=begins)
        # The timesteps hold one call more, so that the pipeline begins a point earlier; where it
        # would call the network at the second point twice, it begins there.
        path = schedule[: min(kept + 1, N - 1)]
        torch.testing.assert_close(
            start, path.add_noise(0.1 * noise(), noise(), len(path) - 1), rtol=1e-6, atol=1e-6
        )
        expected = sample(lambda x, t: network(x, t[0]), path, IPNDM(), start)
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
    start, result = image_to_image(scheduler, N, begins=begins)
    expected = sample(lambda x, t: network(x, t[0]), schedule, PNDM(), start)
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


def test_a_number_does_not_tell_which_of_two_calls_is_the_first() -> None:
    """Elements of `timesteps` do, as pipelines pass them; a number alone is ambiguous."""
    scheduler = to_diffusers(Schedule.linear(1000), PNDM(), spacing="trailing")
    scheduler.set_timesteps(N)
    assert scheduler.timesteps[1] == scheduler.timesteps[2]
    x, t = noise(), scheduler.timesteps[1].item()
    x = scheduler.step(network(x, t), t, x).prev_sample
    with pytest.raises(ValueError, match="goes on at"):
        scheduler.step(network(x, t), t, x)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("sampler", "order"), [(PNDM(), 1), (Heun(), 2), (LMS(), 1), (DDIM(), 1), (UniPC(order=3), 1)]
)
def test_the_order_is_the_number_of_calls_in_a_step(sampler: Any, order: int, steps: int) -> None:
    scheduler = to_diffusers(Schedule.linear(1000), sampler, spacing="trailing")
    scheduler.set_timesteps(steps)
    assert scheduler.order == (order if steps > 1 else 1)


def test_what_a_late_start_cannot_be_is_said() -> None:
    base = Schedule.linear(1000)
    x = torch.zeros(1, 3, 4, 4)
    scheduler = to_diffusers(base, Heun())
    scheduler.set_timesteps(4)
    scheduler.set_begin_index(1)
    with pytest.raises(ValueError, match="in the middle of a step"):
        scheduler.step(x, scheduler.timesteps[1], x)
    climbing = to_diffusers(base, Restart(DDIM(), [(1, 3, 1)]))
    climbing.set_timesteps(6)
    climbing.set_begin_index(2)
    with pytest.raises(ValueError, match="goes back to noise levels"):
        climbing.step(x, climbing.timesteps[2], x)
    scheduler = to_diffusers(base, DDIM())
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="strength of a pipeline leaves no steps"):
        scheduler.add_noise(x, x, scheduler.timesteps[4:])
    with pytest.raises(TypeError, match="begin_index"):
        scheduler.set_begin_index(0.5)


def test_data_are_noised_to_the_level_of_the_next_call() -> None:
    """Inpainting does so after each call, also between the calls of one step, and by a label."""
    base = Schedule.cosine(1000).subsample(steps=20, spacing="karras")
    path = Schedule.from_log_snr(base.to_log_snr(), timesteps=np.rint(base.timesteps))
    assert (np.diff(path.timesteps) == 0).any()
    for sampler in (Euler(), Heun(), Midpoint()):
        scheduler = to_diffusers(path, sampler)
        scheduler.set_timesteps(20)
        x, z = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
        timesteps = scheduler.timesteps
        for k, t in enumerate(timesteps[:-1]):
            x = scheduler.step(network(x, t), t, x).prev_sample
            noisy = scheduler.add_noise(0 * z, z, timesteps[k + 1 : k + 2])
            level = sampler.plan(path).sigma[k + 1]
            torch.testing.assert_close(noisy, level * z, rtol=1e-6, atol=1e-6)


def test_two_calls_at_one_timestep() -> None:
    """Cosmos asks for the x0 predictions of two batches, mixes them, and takes the step again."""
    base = from_diffusers({"_class_name": "EDMEulerScheduler"}, 5)
    scheduler = to_diffusers(base.schedule, base.sampler, prediction=base.prediction)
    scheduler.set_timesteps(5)
    alone = to_diffusers(base.schedule, base.sampler, prediction="x0")
    alone.set_timesteps(5)
    x = y = noise() * scheduler.init_noise_sigma
    for k, t in enumerate(scheduler.timesteps):
        both = torch.cat([x, x])
        output = network(scheduler.scale_model_input(x, t), t)
        two = scheduler.step(torch.cat([output, 2 * output]), t, both, return_dict=False)[1]
        assert scheduler.step_index == k + 1
        scheduler._step_index -= 1
        assert scheduler.step_index == k
        low, high = two.chunk(2)
        x0 = high + 2 * (high - low)
        x = scheduler.step(x0, t, x, return_dict=False, pred_original_sample=x0)[0]
        y = alone.step(x0, t, y).prev_sample
        torch.testing.assert_close(x, y)
    with pytest.raises(ValueError, match="_step_index"):
        scheduler._step_index = 0
