"""Schedules and samplers from configurations, against diffusers computing in float64."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import DDPM, sample
from schedalg.interop.diffusers import from_diffusers
from schedalg.interop.diffusers.classes import CLASSES
from tests.interop.diffusers.theirs import diffusers, network, noises, ours_after, theirs_after

__all__ = ["diffusers"]

pytestmark = pytest.mark.filterwarnings(
    # torch's tensors, where diffusers calls NumPy with them.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context:DeprecationWarning",
)

X = np.random.default_rng(3).standard_normal((2, 3, 4, 4))
BETAS = ["linear", "scaled_linear", "squaredcos_cap_v2"]
NAMES = [name for name in CLASSES if not name.startswith(("Flow", "EDM"))]


@st.composite
def configurations(draw: Any) -> tuple[str, dict[str, Any], int]:
    """Yield configurations in which diffusers has none of the faults in `test_differences`."""
    name = draw(st.sampled_from(NAMES))
    options: dict[str, Any] = {"beta_schedule": draw(st.sampled_from(BETAS))}
    if options["beta_schedule"] != "squaredcos_cap_v2":
        options["beta_start"] = draw(st.sampled_from([1e-4, 0.00085]))
        options["beta_end"] = draw(st.sampled_from([0.012, 0.02]))
    steps = draw(st.integers(2, 20))
    distilled = name in ("LCMScheduler", "TCDScheduler")
    if not distilled:
        options["timestep_spacing"] = draw(st.sampled_from(["leading", "trailing", "linspace"]))
        options["steps_offset"] = draw(st.integers(0, 1))
    if options.get("timestep_spacing") == "trailing":
        # `arange` gives one entry too many for some, and DDIM's step is only theirs for divisors.
        steps = draw(st.sampled_from([2, 4, 5, 8, 10, 20]))
    if name in ("DDIMScheduler", "PNDMScheduler") and options["timestep_spacing"] == "linspace":
        options["timestep_spacing"] = "leading"
    predictions = ["epsilon", "v_prediction"]
    if name == "PNDMScheduler":
        options["skip_prk_steps"] = True
        predictions = ["epsilon"]
    elif name not in ("EulerAncestralDiscreteScheduler",):
        predictions.append("sample")
    options["prediction_type"] = draw(st.sampled_from(predictions))
    if name in ("DDIMScheduler", "PNDMScheduler"):
        options["set_alpha_to_one"] = draw(st.booleans())
    if name in ("DDIMScheduler", "DDPMScheduler", "LCMScheduler", "HeunDiscreteScheduler"):
        options["clip_sample"] = draw(st.booleans())
    if name in ("DDIMScheduler", "DDPMScheduler", "UniPCMultistepScheduler"):
        options["thresholding"] = draw(st.booleans())
        options["sample_max_value"] = 1.7
    grid = None
    if "use_karras_sigmas" in CLASSES[name].defaults:
        grid = draw(st.sampled_from([None, "karras", "exponential", "beta"]))
        if grid is not None:
            options[f"use_{grid}_sigmas"] = True
    if "final_sigmas_type" in CLASSES[name].defaults:
        options["final_sigmas_type"] = draw(st.sampled_from(["zero", "sigma_min"]))
    if "solver_order" in CLASSES[name].defaults:
        options["solver_order"] = draw(st.integers(1, 3))
    if name == "DPMSolverMultistepScheduler":
        kinds = ["dpmsolver++", "sde-dpmsolver++"]
        options["algorithm_type"] = draw(st.sampled_from(kinds))
        options["solver_type"] = draw(st.sampled_from(["midpoint", "heun"]))
        options["lower_order_final"] = draw(st.booleans())
        if grid is not None and options["final_sigmas_type"] == "sigma_min":
            # Their last step has no length, which is NaN here where noise, or its length, divides.
            options["algorithm_type"], options["solver_type"] = "dpmsolver++", "midpoint"
            options["solver_order"] = min(options["solver_order"], 2)
        if options["solver_order"] == 3:  # their SDE-3M is wrong, and "heun" is not of order 3
            options["algorithm_type"], options["solver_type"] = "dpmsolver++", "midpoint"
    return name, options, steps


@pytest.mark.usefixtures("diffusers")
@settings(max_examples=60, deadline=None)
@given(configurations())
def test_loops_agree_in_float64(
    diffusers: Any, configuration: tuple[str, dict[str, Any], int]
) -> None:
    name, options, steps = configuration
    theirs = getattr(diffusers, name)(**options)
    theirs.set_timesteps(steps)
    read = from_diffusers({"_class_name": name, **options}, steps)
    base = from_diffusers({"_class_name": name, **options}).schedule.as_vp()
    np.testing.assert_allclose(base.to_alphas_cumprod(), theirs.alphas_cumprod, rtol=1e-10)
    plan = getattr(read.sampler, "plan", None)
    timesteps = plan(read.schedule).timesteps if plan else read.schedule.timesteps[::-1]
    expected = np.asarray(theirs.timesteps, dtype=np.float64)
    assert len(timesteps) == len(expected)
    # For a noise level that is a trained one up to rounding, diffusers truncates to the timestep
    # below; ours is the trained one.
    cut = np.abs(timesteps - expected) > 1e-6
    assert (timesteps[cut] - expected[cut] == 1).all()
    assert not cut.any() or options.get("use_exponential_sigmas") or options.get("use_beta_sigmas")
    if cut.any():
        theirs.timesteps = diffusers.torch.tensor(timesteps.astype(np.float64))
    draws = noises(2 * steps + 2)
    result, wanted = ours_after(read, draws), theirs_after(theirs, diffusers.torch, draws)
    if read.schedule.kind == "vp" and hasattr(theirs, "is_scale_input_called"):
        result = result / read.schedule.origin.alpha  # theirs is in the scale with alpha = 1
    np.testing.assert_allclose(result, wanted, rtol=1e-7, atol=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("grid", [None, "karras", "exponential", "beta"])
@pytest.mark.parametrize(
    ("options", "mu"),
    [
        ({}, None),
        ({"shift_terminal": 0.1}, None),
        ({"use_dynamic_shifting": True, "shift": 3.0}, 0.8),
        ({"use_dynamic_shifting": True, "time_shift_type": "linear"}, 2.5),
        ({"stochastic_sampling": True}, None),
    ],
)
def test_flow_matching_euler_agrees_in_float64(
    diffusers: Any, options: dict[str, Any], mu: float | None, grid: str | None
) -> None:
    if grid is not None:
        options = {**options, f"use_{grid}_sigmas": True}
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(**options)
    theirs.init_noise_sigma = 1.0
    theirs.scale_model_input = lambda x, t: x
    theirs.set_timesteps(7, mu=mu)
    read = from_diffusers({"_class_name": type(theirs).__name__, **options}, 7, mu=mu)
    np.testing.assert_allclose(read.schedule.timesteps[::-1], theirs.timesteps, rtol=1e-12)
    draws = noises(9)
    wanted = theirs_after(theirs, diffusers.torch, draws)
    np.testing.assert_allclose(ours_after(read, draws), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"]
)
def test_a_flow_is_shifted_once(diffusers: Any, name: str) -> None:
    """Diffusers shifts its lowest noise level when it is made, and again in set_timesteps."""
    config = {"_class_name": name, "shift": 3.0}
    theirs = getattr(diffusers, name)(shift=3.0)
    theirs.set_timesteps(6)
    read = from_diffusers(config, 6)
    level = np.linspace(1 / 1000, 1, 6)
    once = 3 * level / (1 + 2 * level)
    np.testing.assert_allclose(read.schedule.sigma, once, rtol=1e-12)
    lowest = 3 * once[0] / (1 + 2 * once[0])
    assert float(theirs.timesteps[-1]) / 1000 == pytest.approx(lowest, rel=1e-12)
    # Given the noise levels before the shift, it shifts them once as well.
    if name == "FlowMatchEulerDiscreteScheduler":
        chosen = np.linspace(1, 1 / 6, 6)
        theirs.set_timesteps(sigmas=chosen.tolist())
        read = from_diffusers(config, sigmas=chosen)
        np.testing.assert_allclose(read.schedule.timesteps[::-1], theirs.timesteps, rtol=1e-12)


def test_flow_matching_heun_agrees_in_float64(diffusers: Any) -> None:
    theirs = diffusers.FlowMatchHeunDiscreteScheduler()
    theirs.init_noise_sigma = 1.0
    theirs.scale_model_input = lambda x, t: x
    theirs.set_timesteps(6)
    read = from_diffusers({"_class_name": "FlowMatchHeunDiscreteScheduler"}, 6)
    timesteps = read.sampler.plan(read.schedule).timesteps  # type: ignore[union-attr]
    np.testing.assert_allclose(timesteps, theirs.timesteps, rtol=1e-12)
    wanted = theirs_after(theirs, diffusers.torch, [])
    np.testing.assert_allclose(ours_after(read, []), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler"],
)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_solvers_on_a_flow_agree_in_float64(diffusers: Any, name: str, shift: float) -> None:
    options = {
        "use_flow_sigmas": True,
        "prediction_type": "flow_prediction",
        "flow_shift": shift,
    }
    theirs = getattr(diffusers, name)(**options)
    theirs.set_timesteps(8)
    read = from_diffusers({"_class_name": name, **options}, 8)
    np.testing.assert_allclose(read.schedule.timesteps[::-1], theirs.timesteps)
    wanted = theirs_after(theirs, diffusers.torch, noises(10))
    np.testing.assert_allclose(ours_after(read, noises(10)), wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prediction_type": "v_prediction", "sigma_data": 0.7},
        {"sigma_schedule": "exponential", "sigma_min": 0.01},
    ],
)
def test_edm_agrees_in_float64(diffusers: Any, name: str, options: dict[str, Any]) -> None:
    theirs = getattr(diffusers, name)(**options)
    theirs.set_timesteps(9)
    read = from_diffusers({"_class_name": name, **options}, 9)
    timesteps = read.schedule.timesteps[::-1]
    np.testing.assert_allclose(timesteps, theirs.timesteps, rtol=1e-9, atol=1e-12)
    draws = noises(10)
    wanted = theirs_after(theirs, diffusers.torch, draws)
    # Both in EDM's scale, x = x0 + sigma eps; theirs starts from noise and unit data together.
    assert read.schedule.kind == "ve"
    assert read.schedule.prior_std == pytest.approx(80.0, rel=1e-15)
    scale = float(theirs.init_noise_sigma)
    assert scale == pytest.approx((80.0**2 + 1) ** 0.5, rel=1e-15)
    np.testing.assert_allclose(ours_after(read, draws, scale), wanted, rtol=1e-8, atol=1e-8)
    theirs = getattr(diffusers, name)(**options, final_sigmas_type="sigma_min")
    theirs.set_timesteps(9)
    config = {"_class_name": name, **options, "final_sigmas_type": "sigma_min"}
    wanted = theirs_after(theirs, diffusers.torch, draws)
    result = ours_after(from_diffusers(config, 9), draws, scale)
    np.testing.assert_allclose(result, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("end", ["zero", "sigma_min"])
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_a_scheduler_s_own_sigmas_are_read(diffusers: Any, end: str, spacing: str) -> None:
    options = {"final_sigmas_type": end, "timestep_spacing": spacing}
    theirs = diffusers.EulerDiscreteScheduler(**options)
    theirs.set_timesteps(6)
    sigmas = np.asarray(theirs.sigmas).tolist()
    config = {"_class_name": "EulerDiscreteScheduler", **options}
    read = from_diffusers(config, sigmas=sigmas)
    theirs.set_timesteps(sigmas=sigmas)
    wanted = theirs_after(theirs, diffusers.torch, noises(6))
    np.testing.assert_allclose(ours_after(read, noises(6)), wanted, rtol=1e-7, atol=1e-7)


def test_custom_timesteps_and_sigmas(diffusers: Any) -> None:
    theirs = diffusers.EulerDiscreteScheduler()
    for chosen in ({"timesteps": [900, 300, 20]}, {"sigmas": [50.0, 4.0, 0.3, 0.0]}):
        theirs.set_timesteps(**chosen)
        read = from_diffusers({"_class_name": "EulerDiscreteScheduler"}, **chosen)
        np.testing.assert_allclose(read.schedule.timesteps[::-1], theirs.timesteps, rtol=1e-9)
        np.testing.assert_allclose(read.schedule.to_sigmas()[::-1], theirs.sigmas[:-1], rtol=1e-9)
        wanted = theirs_after(theirs, diffusers.torch, noises(3))
        np.testing.assert_allclose(ours_after(read, noises(3)), wanted, rtol=1e-7, atol=1e-7)
    theirs = diffusers.DDPMScheduler(clip_sample=False)
    theirs.set_timesteps(timesteps=[700, 30, 0])
    read = from_diffusers(theirs, timesteps=[700, 30, 0])
    wanted = theirs_after(theirs, diffusers.torch, noises(3))
    np.testing.assert_allclose(ours_after(read, noises(3)), wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "beta_schedule"),
    [
        ("DDPMScheduler", "sigmoid"),
        ("DDPMScheduler", "laplace"),
        ("HeunDiscreteScheduler", "exp"),
    ],
)
def test_the_other_beta_schedules(diffusers: Any, name: str, beta_schedule: str) -> None:
    theirs = getattr(diffusers, name)(beta_schedule=beta_schedule)
    read = from_diffusers(theirs)
    alphas_cumprod = read.schedule.as_vp().to_alphas_cumprod()
    np.testing.assert_allclose(alphas_cumprod, theirs.alphas_cumprod, rtol=1e-9)


def test_trained_betas_and_zero_terminal_snr(diffusers: Any) -> None:
    betas = np.linspace(0.001, 0.04, 200)
    options = {
        "trained_betas": betas.tolist(),
        "num_train_timesteps": 200,
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "prediction_type": "v_prediction",
        "clip_sample": False,
    }
    theirs = diffusers.DDIMScheduler(**options)
    theirs.set_timesteps(10)
    read = from_diffusers(theirs, 10)
    assert read.schedule.alpha[-1] == 0
    np.testing.assert_allclose(
        from_diffusers(theirs).schedule.to_alphas_cumprod(), theirs.alphas_cumprod, atol=1e-14
    )
    wanted = theirs_after(theirs, diffusers.torch, [])
    np.testing.assert_allclose(ours_after(read, []), wanted, rtol=1e-7, atol=1e-7)


def test_learned_range(diffusers: Any) -> None:
    options = {"variance_type": "learned_range", "clip_sample": False}
    theirs = diffusers.DDPMScheduler(**options)
    theirs.set_timesteps(8)
    read = from_diffusers({"_class_name": "DDPMScheduler", **options}, 8)
    assert read.sampler == DDPM("learned_range")
    draws, torch = noises(8), diffusers.torch
    remaining = iter(draws)
    patch = pytest.MonkeyPatch()
    module = sys.modules[type(theirs).__module__]
    patch.setattr(module, "randn_tensor", lambda *a, **k: torch.tensor(next(remaining)))
    x = torch.tensor(X)
    for t in theirs.timesteps:
        output = torch.cat([network(x, float(t)), torch.tanh(x)], dim=1)
        x = theirs.step(output, t, x, return_dict=False)[0]
    patch.undo()
    remaining = iter(draws)
    result = sample(
        lambda x, t: np.concatenate([network(x, float(t[0])), np.tanh(x)], axis=1),
        read.schedule,
        read.sampler,
        X,
        noise=lambda x: next(remaining),
    )
    np.testing.assert_allclose(result, np.asarray(x), rtol=1e-7, atol=1e-7)
