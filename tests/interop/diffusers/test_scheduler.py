"""`to_diffusers`: the scheduler itself, without a pipeline."""

import math
import os
from copy import deepcopy
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from schedalg import DDIM, DDPM, LMS, DPMSolverPP, Euler, Heun, Restart, Schedule, UniPC, sample  # noqa: E402
from schedalg.interop.diffusers import (  # noqa: E402
    DiffusersScheduler,
    from_diffusers,
    to_diffusers,
)
from tests.interop.diffusers.pipelines import _one_thread, seeded  # noqa: E402

__all__ = ["_one_thread"]

pytestmark = [
    # torch's tensors where diffusers calls NumPy with them, and what both libraries will change.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers"),
]


def network(x: Any, t: Any) -> Any:
    return 0.6 * x * math.cos(float(t) / 300) + 0.05 * x**2 / (1 + x**2)


def walked(scheduler: DiffusersScheduler, x: Any, generator: Any = None) -> Any:
    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x, generator=generator, return_dict=False)[0]
        yield x


@pytest.mark.parametrize("sampler", [DPMSolverPP(order=3), UniPC(order=2), LMS(), Heun(), DDIM()])
@pytest.mark.parametrize("scale", ["vp", "ve"])
def test_interleaved_runs_do_not_disturb_each_other(sampler: Any, scale: str) -> None:
    base = Schedule.linear(1000)[:990]
    schedule = base if scale == "vp" else base.as_ve()
    a, b = torch.randn(2, 2, 3, 4, 4, generator=seeded())
    alone = []
    for x, steps in ((a, 7), (b, 5)):
        scheduler = to_diffusers(schedule, sampler)
        scheduler.set_timesteps(steps)
        alone.append([*walked(scheduler, x * scheduler.init_noise_sigma)][-1])
        points = schedule.subsample(steps=steps, spacing="leading")
        expected = sample(lambda x, t: network(x, t[0]), points, sampler, x * points.prior_std)
        torch.testing.assert_close(alone[-1], expected, rtol=1e-4, atol=1e-4)
    shared = to_diffusers(schedule, sampler)
    shared.set_timesteps(7)
    first = walked(shared, a * shared.init_noise_sigma)
    last = [next(first), None]
    shared.set_timesteps(5)  # between the steps of the first run
    second = walked(shared, b * shared.init_noise_sigma)
    for pair in zip_longest(second, first):
        last = [old if new is None else new for old, new in zip(last, pair[::-1], strict=True)]
    torch.testing.assert_close(last[0], alone[0], rtol=0, atol=0)
    torch.testing.assert_close(last[1], alone[1], rtol=0, atol=0)


def test_a_step_can_be_taken_again() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), DPMSolverPP(order=2))
    scheduler.set_timesteps(5)
    x = torch.randn(1, 3, 4, 4, generator=seeded())
    t, s = scheduler.timesteps[:2]
    after = scheduler.step(network(x, t), t, x).prev_sample
    once = scheduler.step(network(after, s), s, after).prev_sample
    again = scheduler.step(network(after, s), s, after).prev_sample
    torch.testing.assert_close(once, again, rtol=0, atol=0)


def test_noise_of_one_generator_and_of_one_for_each_sample() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), DDPM())
    scheduler.set_timesteps(4)
    x = torch.randn(2, 3, 4, 4, generator=seeded())
    both = [*walked(scheduler, x, [seeded(1), seeded(2)])][-1]
    scheduler.set_timesteps(4)
    second = [*walked(scheduler, x[1:], seeded(2))][-1]
    torch.testing.assert_close(both[1:], second)


def test_half_precision_is_preserved() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), UniPC())
    scheduler.set_timesteps(4)
    x = torch.randn(1, 3, 4, 4, generator=seeded()).half()
    assert [*walked(scheduler, x)][-1].dtype == torch.float16


def test_noise_is_added_to_data() -> None:
    schedule = Schedule.linear(1000)
    scheduler = to_diffusers(schedule, DDIM())
    x, z = torch.randn(2, 3, 1, 2, 2, generator=seeded())
    noisy = scheduler.add_noise(x, z, torch.tensor([0, 500, 999]))
    torch.testing.assert_close(noisy, schedule.add_noise(x, z, torch.tensor([0, 500, 999])))
    one = scheduler.scale_noise(x, torch.tensor([500]), z)
    torch.testing.assert_close(one, schedule.add_noise(x, z, 500))
    with pytest.raises(ValueError, match="1000"):
        scheduler.add_noise(x, z, torch.tensor([1000]))


def test_attributes_of_a_scheduler() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), Heun(), prediction="v")
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config["num_train_timesteps"] == len(scheduler) == 1000
    assert scheduler.config.get("base_image_seq_len", 256) == 256
    scheduler.set_timesteps(5)
    assert scheduler.order == 2
    assert scheduler.timesteps.tolist() == [800, 600, 600, 400, 400, 200, 200, 0, 0]
    levels = Schedule.linear(1000).to_sigmas()[scheduler.timesteps]
    np.testing.assert_allclose(scheduler.sigmas, [*levels, 0], rtol=1e-6)
    assert "Heun" in repr(scheduler)


@pytest.mark.parametrize("scale", ["vp", "ve"])
def test_numbers_of_training(scale: str) -> None:
    """Of every timestep up to the last that a subset knows, by timestep, as pipelines read them."""
    trained = Schedule.linear(1000)
    base = trained if scale == "vp" else trained.as_ve()
    for schedule, known in ((base, 1000), (base.subsample(every=20), 981)):
        scheduler = to_diffusers(schedule, Euler())
        expected = trained.to_alphas_cumprod()[:known]
        np.testing.assert_allclose(scheduler.alphas_cumprod, expected, rtol=1e-6)
        np.testing.assert_allclose(scheduler.betas, trained.to_betas()[:known], rtol=1e-6)
    for untrained in (Schedule.flow(10), Schedule.karras(10)):
        scheduler = to_diffusers(untrained, Euler())
        assert not hasattr(scheduler, "alphas_cumprod")
        with pytest.raises(AttributeError, match="betas: the schedule must be chosen from"):
            _ = scheduler.betas


def test_a_scheduler_can_be_copied_in_the_middle_of_a_run() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), DPMSolverPP(order=2))
    scheduler.set_timesteps(5)
    x = torch.randn(1, 3, 4, 4, generator=seeded())
    t = scheduler.timesteps[0]
    x = scheduler.step(network(x, t), t, x).prev_sample
    copy, y = deepcopy(scheduler), x.clone()
    for t in scheduler.timesteps[1:]:
        x = scheduler.step(network(x, t), t, x).prev_sample
        y = copy.step(network(y, t), t, y).prev_sample
    torch.testing.assert_close(x, y, rtol=0, atol=0)


def test_sigmas_of_a_flow_are_those_that_are_asked_for() -> None:
    scheduler = to_diffusers(Schedule.flow(100), Euler(), prediction="flow")
    scheduler.set_timesteps(sigmas=[1.0, 0.7, 0.1])
    np.testing.assert_allclose(scheduler.sigmas, [1.0, 0.7, 0.1, 0.0], rtol=1e-6)
    scheduler.set_timesteps(sigmas=scheduler.sigmas)  # the last is where it ends
    np.testing.assert_allclose(scheduler.sigmas, [1.0, 0.7, 0.1, 0.0], rtol=1e-6)
    told = [900.0, 500.0, 100.0]
    scheduler.set_timesteps(sigmas=[1.0, 0.7, 0.1], timesteps=told)
    assert scheduler.timesteps.tolist() == told
    np.testing.assert_allclose(scheduler.sigmas, [1.0, 0.7, 0.1, 0.0], rtol=1e-6)
    with pytest.raises(ValueError, match="differ in length: 2 and 3"):
        scheduler.set_timesteps(sigmas=[1.0, 0.7, 0.1], timesteps=told[:2])
    with pytest.raises(ValueError, match="shift=3 is for schedules of flow networks"):
        to_diffusers(Schedule.linear(10), Euler(), shift=3)
    ends = from_diffusers(
        {"_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "sigma_min"}, 5
    )
    scheduler = to_diffusers(ends.schedule, Euler())
    scheduler.set_timesteps(5)
    own = scheduler.sigmas
    scheduler.set_timesteps(sigmas=own.tolist())
    np.testing.assert_allclose(scheduler.sigmas, own, rtol=1e-6)
    assert len(scheduler.timesteps) == 5


def test_a_dynamic_shift() -> None:
    scheduler = to_diffusers(Schedule.flow(100), Euler(), prediction="flow", dynamic_shift=True)
    sigmas = np.linspace(1, 0.25, 4)
    scheduler.set_timesteps(sigmas=sigmas.tolist(), mu=0.7)
    shifted = math.exp(0.7) / (math.exp(0.7) + 1 / sigmas - 1)
    np.testing.assert_allclose(scheduler.schedule.sigma[::-1], shifted, rtol=1e-12)
    np.testing.assert_allclose(scheduler.timesteps, shifted, rtol=1e-6)


def test_bad_input() -> None:
    base = Schedule.linear(1000)
    scheduler = to_diffusers(base, DDIM())
    x = torch.zeros(1, 3, 4, 4)
    with pytest.raises(TypeError, match="sampler"):
        to_diffusers(base, DDIM)
    with pytest.raises(TypeError, match="schedule"):
        to_diffusers(3, DDIM())
    with pytest.raises(ValueError, match="prediction"):
        to_diffusers(base, DDIM(), prediction="image")
    with pytest.raises(ValueError, match="give one of"):
        scheduler.set_timesteps()
    with pytest.raises(ValueError, match="sigmas"):
        scheduler.set_timesteps(sigmas=[1e9, 1.0])
    with pytest.raises(ValueError, match="num_inference_steps"):
        scheduler.set_timesteps(4, timesteps=[9, 8])
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="timestep is 3"):
        scheduler.step(x, 3, x)
    with pytest.raises(ValueError, match="eta"):
        scheduler.step(x, 750, x, eta=0.5)
    with pytest.raises(TypeError, match="typo"):
        scheduler.step(x, 750, x, typo=0.5)
    after = scheduler.step(x, 750, x).prev_sample
    with pytest.raises(ValueError, match="goes on at 500"):
        scheduler.step(x, 0, x.clone())
    assert after.shape == x.shape
    with pytest.raises(ValueError, match="model_output"):
        scheduler.step(x[:, :2], 500, after)
    noisy = to_diffusers(base, Euler(s_churn=80.0))
    with pytest.raises(ValueError, match="before its first call"):
        noisy.set_timesteps(5)
    climbing = to_diffusers(base, Restart(DDIM(), [(1, 3, 1)]))
    climbing.set_timesteps(6)
    climbing.set_begin_index(2)
    with pytest.raises(ValueError, match="cannot start"):
        climbing.step(x, climbing.timesteps[2], x)
