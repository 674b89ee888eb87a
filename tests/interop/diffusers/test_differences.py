"""Differences from diffusers, where diffusers is wrong."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from schedalg import LMS
from schedalg.interop.diffusers import from_diffusers, to_diffusers
from tests.interop.diffusers.theirs import diffusers, network, noises, ours_after, theirs_after

__all__ = ["diffusers"]

pytestmark = pytest.mark.filterwarnings(
    # torch's tensors, where diffusers calls NumPy with them.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context:DeprecationWarning",
)

X = np.random.default_rng(3).standard_normal((2, 3, 4, 4))


def test_diffusers_replaces_zero_signal_by_a_little() -> None:
    """Its solvers use 2^-24 for an alpha_cumprod of 0, more than the trained step before has."""
    diffusers = pytest.importorskip("diffusers")
    options = {
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "prediction_type": "v_prediction",
    }
    theirs = diffusers.DPMSolverMultistepScheduler(**options)
    assert float(theirs.alphas_cumprod[-1]) == 2**-24
    assert theirs.alphas_cumprod[-1] > theirs.alphas_cumprod[-2]
    read = from_diffusers(theirs, 8)
    assert read.schedule.alpha[-1] == 0
    assert (np.diff(from_diffusers(theirs).schedule.to_alphas_cumprod()) < 0).all()
    assert np.isfinite(ours_after(read, [])).all()


@pytest.mark.parametrize(("spacing", "steps"), [("linspace", 10), ("trailing", 7), ("linspace", 3)])
def test_ddim_arrives_at_the_next_timestep(diffusers: Any, spacing: str, steps: int) -> None:
    """Diffusers arrives at t - T // N, which with these spacings is not the next one."""
    options = {"timestep_spacing": spacing, "clip_sample": False}
    theirs = diffusers.DDIMScheduler(**options)
    theirs.set_timesteps(steps)
    timesteps = theirs.timesteps.tolist()
    assert any(t - 1000 // steps != s for t, s in pairwise(timesteps))
    read = from_diffusers({"_class_name": "DDIMScheduler", **options}, steps)
    assert read.schedule.timesteps[::-1].tolist() == timesteps
    result = ours_after(read, [])
    alphas_cumprod = np.asarray(theirs.alphas_cumprod)
    x = X
    for t, s in zip(timesteps, [*timesteps[1:], None], strict=True):
        now, then = alphas_cumprod[t], 1.0 if s is None else alphas_cumprod[s]
        eps = network(x, t)
        x0 = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
        x = np.sqrt(then) * x0 + np.sqrt(1 - then) * eps
    np.testing.assert_allclose(result, x, rtol=1e-8, atol=1e-8)
    assert np.abs(theirs_after(theirs, diffusers.torch, []) - x).max() > 1e-3


def test_the_number_of_trailing_timesteps_is_the_requested_one(diffusers: Any) -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing="trailing")
    wrong = 0
    for steps in range(1, 200):
        theirs.set_timesteps(steps)
        read = from_diffusers(theirs, steps).schedule.timesteps
        assert len(read) == steps
        assert read[0] >= 0
        wrong += len(theirs.timesteps) != steps
    assert wrong > 0


def test_repeated_timesteps_are_distinguished_by_position(diffusers: Any) -> None:
    """Rounded timesteps of Karras noise levels repeat; diffusers begins at the second of them."""
    options = {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}
    theirs = diffusers.DEISMultistepScheduler(**options)
    theirs.set_timesteps(20)
    read = from_diffusers({"_class_name": "DEISMultistepScheduler", **options}, 20)
    timesteps = read.schedule.timesteps[::-1].tolist()
    assert timesteps == theirs.timesteps.tolist()
    assert timesteps[0] == timesteps[1]
    assert theirs.index_for_timestep(theirs.timesteps[0]) == 1
    wanted = theirs_after(theirs, diffusers.torch, [])  # which sets the index to begin at
    np.testing.assert_allclose(ours_after(read, []), wanted, rtol=1e-7, atol=1e-7)


def test_large_variances_leave_the_last_step_alone(diffusers: Any) -> None:
    """Diffusers adds noise to the finished image, unless its last timestep is 0."""
    options = {
        "variance_type": "fixed_large",
        "timestep_spacing": "trailing",
        "clip_sample": False,
    }
    theirs = diffusers.DDPMScheduler(**options)
    theirs.set_timesteps(5)
    read = from_diffusers({"_class_name": "DDPMScheduler", **options}, 5)
    draws = noises(5)
    wanted = theirs_after(theirs, diffusers.torch, draws)
    beta = 1 - float(theirs.alphas_cumprod[199])
    result = ours_after(read, draws)
    np.testing.assert_allclose(result + math.sqrt(beta) * draws[4], wanted, rtol=1e-7, atol=1e-7)
    assert from_diffusers({"_class_name": "DDPMScheduler", "variance_type": "fixed_large_log"}, 5)


def test_sde_3m_adds_the_half_that_diffusers_subtracts(diffusers: Any) -> None:
    """In ((1 - e^-2h - 2h) / (2h)² + 1/2) D2, which is O(h) D2; theirs is off by D2 itself."""
    options = {"solver_order": 3, "algorithm_type": "sde-dpmsolver++", "lower_order_final": False}
    draws = noises(12)

    class Mended(diffusers.DPMSolverMultistepScheduler):  # type: ignore[misc]
        def multistep_dpm_solver_third_order_update(
            self, outputs: Any, *args: Any, **kwargs: Any
        ) -> Any:
            wrong = super().multistep_dpm_solver_third_order_update(outputs, *args, **kwargs)
            levels = self.sigmas[self.step_index - 2 : self.step_index + 2]
            alpha, sigma = self._sigma_to_alpha_sigma_t(levels)
            h1, h0, h = (alpha / sigma).log().diff()
            first, second = outputs[-1] - outputs[-2], outputs[-2] - outputs[-3]
            return wrong + alpha[-1] * h**2 * (first / h0 - second / h1) / (h0 + h1)

    Mended.__module__ = diffusers.DPMSolverMultistepScheduler.__module__
    results = []
    for kind in (diffusers.DPMSolverMultistepScheduler, Mended):
        theirs = kind(**options)
        theirs.set_timesteps(12)
        results.append(theirs_after(theirs, diffusers.torch, draws))
    config = {"_class_name": "DPMSolverMultistepScheduler", **options}
    ours = ours_after(from_diffusers(config, 12), draws)
    np.testing.assert_allclose(ours, results[1], rtol=1e-7, atol=1e-7)
    assert np.abs(ours - results[0]).max() > 1e-2 * np.abs(ours).max()


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "DEISMultistepScheduler"])
def test_as_many_linspace_steps_as_trained_visit_each_timestep_once(
    diffusers: Any, name: str
) -> None:
    """Diffusers visits one of them twice, and is NaN from order 2 on."""
    theirs = getattr(diffusers, name)(num_train_timesteps=50)
    theirs.set_timesteps(50)
    assert len(set(theirs.timesteps.tolist())) == 49
    assert np.isnan(theirs_after(theirs, diffusers.torch, [])).all()
    assert np.isfinite(ours_after(from_diffusers(theirs, 50), [])).all()


def test_lms_starts_late_with_the_slopes_that_it_has(diffusers: Any) -> None:
    """Diffusers takes the first of the weights for more slopes than there are yet."""
    theirs = diffusers.LMSDiscreteScheduler()
    theirs.set_timesteps(8)
    theirs.set_begin_index(3)
    read = from_diffusers({"_class_name": "LMSDiscreteScheduler"}, 8)
    late = read._replace(schedule=read.schedule[:5])
    torch = diffusers.torch
    x = torch.tensor(X) * late.schedule.prior_std
    t = theirs.timesteps[3]
    slope = network(theirs.scale_model_input(x, t), float(t))
    wrong = theirs.step(slope, t, x, return_dict=False)[0]
    levels = theirs.sigmas[3:5]
    euler = x + (levels[1] - levels[0]) * slope
    assert np.abs(np.asarray(wrong - euler)).max() > 0.01 * np.abs(np.asarray(euler)).max()
    plan = LMS().plan(late.schedule)
    assert (plan.b[0, 1:] == 0).all()


def test_pndm_starts_late_at_the_noise_level_of_x(diffusers: Any) -> None:
    """Diffusers corrects the first step without a call for it, and so skips a noise level."""
    theirs = diffusers.PNDMScheduler(skip_prk_steps=True)
    theirs.set_timesteps(8)
    scheduler = to_diffusers(
        *from_diffusers({"_class_name": "PNDMScheduler", "skip_prk_steps": True}, 8)[:2]
    )
    scheduler.set_timesteps(8)
    torch = diffusers.torch
    alphas_cumprod = {int(t): float(theirs.alphas_cumprod[t]) for t in theirs.timesteps}
    noise = torch.tensor(X)  # all of x is noise, so that it stays at its noise level
    for ours, broken in ((scheduler, False), (theirs, True)):
        timesteps = ours.timesteps[4:]
        x = (1 - alphas_cumprod[int(timesteps[0])]) ** 0.5 * noise
        off = 0.0
        for t in timesteps:
            level = (1 - alphas_cumprod[int(t)]) ** 0.5
            off = max(off, float((x / noise / level - 1).abs().max()))
            x = ours.step(noise, t, x, return_dict=False)[0]
        assert (off > 0.02) if broken else (off < 1e-6)


def test_pndm_mixes_the_noise_of_v_predictions(diffusers: Any) -> None:
    """Theirs mixes v predictions of several noise levels, and interprets the sum at the last."""
    options = {"skip_prk_steps": True, "prediction_type": "v_prediction"}
    theirs = diffusers.PNDMScheduler(**options)
    theirs.set_timesteps(8)
    ours = ours_after(from_diffusers({"_class_name": "PNDMScheduler", **options}, 8), [])
    wrong = theirs_after(theirs, diffusers.torch, [])
    # With the noise prediction, it gives the same as ours.
    theirs = diffusers.PNDMScheduler(skip_prk_steps=True)
    theirs.set_timesteps(8)
    x = diffusers.torch.tensor(X)
    for t in theirs.timesteps:
        alpha = theirs.alphas_cumprod[t] ** 0.5
        eps = alpha * network(x, float(t)) + (1 - alpha**2) ** 0.5 * x
        x = theirs.step(eps, t, x, return_dict=False)[0]
    np.testing.assert_allclose(ours, np.asarray(x), rtol=1e-7, atol=1e-7)
    assert np.abs(ours - wrong).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DDPMScheduler", {"variance_type": "fixed_large_log"}),
        (
            "DPMSolverMultistepScheduler",
            {
                "use_karras_sigmas": True,
                "final_sigmas_type": "sigma_min",
                "algorithm_type": "sde-dpmsolver++",
            },
        ),
    ],
)
def test_what_is_nan_in_diffusers_is_finite(
    diffusers: Any, name: str, options: dict[str, Any]
) -> None:
    theirs = getattr(diffusers, name)(**options)
    undefined = 0
    for steps in range(2, 16):  # a last step of no length is NaN where rounding makes it negative
        theirs.set_timesteps(steps)
        read = from_diffusers({"_class_name": name, **options}, steps)
        undefined += np.isnan(theirs_after(theirs, diffusers.torch, noises(16))).any()
        assert np.isfinite(ours_after(read, noises(16))).all()
    assert undefined > 0


def test_unipc_corrects_from_x_as_it_was(diffusers: Any) -> None:
    """Diffusers keeps the tensor x itself, which pipelines that write into x change under it."""
    torch = diffusers.torch

    def ends(scheduler: Any, *, in_place: bool) -> Any:
        x, video = torch.tensor(X), torch.tensor(X)
        for t in scheduler.timesteps:
            x = video[:] if in_place else x
            x = scheduler.step(torch.tanh(x + t / 1000), t, x, return_dict=False)[0]
            video[:] = x
        return video

    def theirs() -> Any:
        scheduler = diffusers.UniPCMultistepScheduler()
        scheduler.set_timesteps(6)
        return scheduler

    def ours() -> Any:
        read = from_diffusers(theirs(), 6)
        scheduler = to_diffusers(read.schedule, read.sampler, spacing="all")
        scheduler.set_timesteps(6)
        return scheduler

    plain = ends(theirs(), in_place=False)
    assert (ends(theirs(), in_place=True) - plain).abs().max() > 1e-2
    for in_place in (False, True):
        assert (ends(ours(), in_place=in_place) - plain).abs().max() < 1e-5


@pytest.mark.parametrize("grid", ["karras", "exponential"])
@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_a_single_step_of_edm_goes_from_the_highest_to_the_lowest_noise(
    diffusers: Any, name: str, grid: str
) -> None:
    """Diffusers starts an exponential grid at the lowest, and its Euler may stay at the highest."""
    options = {"sigma_schedule": grid, "final_sigmas_type": "sigma_min"}
    theirs = getattr(diffusers, name)(**options)
    theirs.set_timesteps(1)
    schedule = from_diffusers({"_class_name": name, **options}, 1).schedule
    ours = np.array([schedule.sigma[0], schedule.origin.sigma])
    np.testing.assert_allclose(ours, [80.0, 0.002], rtol=1e-12)
    same = name == "EDMDPMSolverMultistepScheduler" and grid == "karras"
    assert np.allclose(ours, theirs.sigmas, rtol=1e-5) == same
