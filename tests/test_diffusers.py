"""Schedules and samplers from configurations of diffusers, against diffusers in float64."""

import json
import math
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from subprocess import run
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import DDIM, DDPM, DPMSolverPP, DynamicThreshold, Schedule, sample
from schedalg.interop.diffusers import from_diffusers
from schedalg.interop.diffusers.options import CLASSES

pytestmark = pytest.mark.filterwarnings(
    # torch's tensors, where diffusers calls NumPy with them.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context:DeprecationWarning",
)

X = np.random.default_rng(3).standard_normal((2, 3, 4, 4))


# What needs neither torch nor diffusers.


def test_importing_and_reading_need_neither_torch_nor_diffusers(tmp_path: Path) -> None:
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "DDIMScheduler"}))
    code = f"""
import sys
from schedalg.interop.diffusers import from_diffusers, to_diffusers
a = from_diffusers({str(path)!r}, 10)
b = from_diffusers({{"_class_name": "DDIMScheduler"}}, 10)
c = from_diffusers({str(tmp_path)!r}, 10)
assert a.schedule == b.schedule == c.schedule and a.sampler == b.sampler
assert not {{"torch", "diffusers"}} & set(sys.modules)
"""
    run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("NoScheduler", {}, "_class_name"),
        ("DDIMScheduler", {"typo": 1}, "typo"),
        ("DDIMScheduler", {"use_karras_sigmas": True}, "use_karras_sigmas"),
        ("DDIMScheduler", {"beta_schedule": "cubic"}, "beta_schedule"),
        ("DDIMScheduler", {"timestep_spacing": "middling"}, "timestep_spacing"),
        ("DDIMScheduler", {"prediction_type": "image"}, "prediction_type"),
        ("DDIMScheduler", {"prediction_type": "flow_prediction"}, "prediction_type"),
        ("DDIMScheduler", {"steps_offset": 200}, "steps_offset"),
        ("DDIMScheduler", {"trained_betas": [0.1, 0.2]}, "num_train_timesteps"),
        ("DDPMScheduler", {"variance_type": "learned"}, "variance_type"),
        ("PNDMScheduler", {}, "skip_prk_steps"),
        ("EulerDiscreteScheduler", {"interpolation_type": "log_linear"}, "interpolation_type"),
        ("EulerDiscreteScheduler", {"sigma_max": 5.0}, "sigma_max"),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, "timestep_type"),
        ("EulerDiscreteScheduler", {"clip_sample": True}, "clip_sample"),
        (
            "EulerDiscreteScheduler",
            {"use_karras_sigmas": True, "use_beta_sigmas": True},
            "use_karras_sigmas",
        ),
        (
            "EulerDiscreteScheduler",
            {"use_karras_sigmas": True, "rescale_betas_zero_snr": True},
            "rescale_betas_zero_snr",
        ),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver"}, "algorithm_type"),
        ("DPMSolverMultistepScheduler", {"solver_order": 4}, "solver_order"),
        (
            "DPMSolverMultistepScheduler",
            {"solver_order": 3, "solver_type": "heun"},
            "solver_type",
        ),
        ("DPMSolverMultistepScheduler", {"flow_shift": 3.0}, "flow_shift"),
        ("DPMSolverMultistepScheduler", {"use_dynamic_shifting": True}, "use_dynamic_shifting"),
        ("UniPCMultistepScheduler", {"disable_corrector": [0]}, "disable_corrector"),
        ("UniPCMultistepScheduler", {"predict_x0": False}, "predict_x0"),
        ("UniPCMultistepScheduler", {"shift_terminal": 0.1}, "shift_terminal"),
        ("TCDScheduler", {"clip_sample": True}, "clip_sample"),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "invert_sigmas"),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, "mu"),
        ("EDMEulerScheduler", {"sigma_schedule": "linear"}, "sigma_schedule"),
    ],
)
def test_what_is_not_supported_is_an_error_that_names_it(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        from_diffusers({"_class_name": name, **options}, 10)


def test_wrong_arguments() -> None:
    ddim = {"_class_name": "DDIMScheduler"}
    with pytest.raises(TypeError, match="scheduler must be"):
        from_diffusers(3)
    with pytest.raises(ValueError, match="_class_name"):
        from_diffusers({})
    with pytest.raises(ValueError, match="not both"):
        from_diffusers(ddim, 3, timesteps=[1])
    with pytest.raises(ValueError, match=r"timesteps\[1\]"):
        from_diffusers(ddim, timesteps=[1, 5])
    with pytest.raises(ValueError, match="mu"):
        from_diffusers(ddim, 3, mu=1.0)
    with pytest.raises(TypeError, match="thresholding"):
        from_diffusers({**ddim, "thresholding": "yes"}, 3)
    with pytest.raises(ValueError, match="sigmas"):
        from_diffusers(ddim, sigmas=[1.0, 0.0])


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_without_steps_the_schedule_is_that_of_training(name: str) -> None:
    config = {"_class_name": name, "num_train_timesteps": 50}
    if name == "PNDMScheduler":
        config["skip_prk_steps"] = True
    read = from_diffusers(config)
    assert len(read.schedule) == 50
    plan = getattr(read.sampler, "plan", None)
    assert plan is None or len(plan(read.schedule)) >= 50


def test_bounds() -> None:
    config = {"_class_name": "DDPMScheduler", "clip_sample_range": 2.0}
    assert from_diffusers(config, 5).clip == (-2.0, 2.0)
    assert from_diffusers({**config, "clip_sample": False}, 5).clip is None
    bound = from_diffusers({**config, "thresholding": True, "sample_max_value": 1.5}, 5).clip
    assert bound == DynamicThreshold(0.995, 1.5)


def test_options_carried_from_another_class_pass_where_they_mean_nothing() -> None:
    config = {
        "_class_name": "DPMSolverMultistepScheduler",
        "_diffusers_version": "0.42.1",
        "skip_prk_steps": True,
        "set_alpha_to_one": False,
        "clip_sample": False,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    read = from_diffusers(config, 4)
    assert read.schedule.timesteps.tolist() == [201, 401, 601, 801]
    assert isinstance(read.sampler, DPMSolverPP)


# The numbers that diffusers' own tests hold it to; see tests/test_textbook.py for more.


def residual(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    t = timesteps[:, None, None, None].astype(x.dtype)
    return np.asarray(x * t / (t + 1))


def oracle(config: dict[str, Any]) -> np.ndarray:
    ramp = np.arange(768, dtype=np.float64).reshape(3, 8, 8, 4) / 768
    schedule, sampler, prediction, clip = from_diffusers(config, 10)
    x = np.moveaxis(ramp, 3, 0) * schedule.prior_std
    return np.asarray(sample(residual, schedule, sampler, x, prediction=prediction, clip=clip))


DDIM_ORACLE = {"_class_name": "DDIMScheduler", "clip_sample": True}
DPM_ORACLE = {
    "_class_name": "DPMSolverMultistepScheduler",
    "lower_order_final": False,
    "final_sigmas_type": "sigma_min",
}
UNIPC_ORACLE = {"_class_name": "UniPCMultistepScheduler", "final_sigmas_type": "sigma_min"}


@pytest.mark.parametrize(
    ("config", "mean"),
    [
        (DDIM_ORACLE, 0.223967),
        ({**DDIM_ORACLE, "prediction_type": "v_prediction"}, 0.0684),
        ({**DDIM_ORACLE, "beta_start": 0.01}, 0.1951),
        ({**DDIM_ORACLE, "beta_start": 0.01, "set_alpha_to_one": False}, 0.1941),
        (DPM_ORACLE, 0.3301),
        ({**DPM_ORACLE, "use_karras_sigmas": True, "prediction_type": "v_prediction"}, 0.2096),
        (UNIPC_ORACLE, 0.2464),
        ({**UNIPC_ORACLE, "use_karras_sigmas": True}, 0.2925),
        ({**UNIPC_ORACLE, "prediction_type": "v_prediction"}, 0.1014),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, 133.362 / 768),
        (
            {"_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 1100},
            None,
        ),
    ],
)
def test_the_numbers_of_diffusers_own_tests(config: dict[str, Any], mean: float | None) -> None:
    result = oracle(config)
    if mean is None:  # their loop gives the scaled copy to the network, as a pipeline does
        assert np.abs(result).sum() == pytest.approx(168.0516, abs=1e-2)
    else:
        assert np.abs(result).mean() == pytest.approx(mean, abs=1e-3)


# diffusers itself, computing in float64.


class Double:
    """A library whose float32 is float64."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.float32 = library.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


class Classes(SimpleNamespace):
    """Classes by name."""

    def __repr__(self) -> str:
        return "diffusers"


@pytest.fixture(scope="module")
def diffusers() -> Iterator[Any]:
    """Diffusers' classes by name, in whose modules float32 is float64."""
    pytest.importorskip("diffusers")
    pytest.importorskip("scipy")
    import torch

    patch = pytest.MonkeyPatch()
    classes = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        for name in CLASSES:
            classes[name] = getattr(diffusers, name)
    for kind in classes.values():
        module = sys.modules[kind.__module__]
        patch.setattr(module, "torch", Double(torch))
        if hasattr(module, "np"):
            patch.setattr(module, "np", Double(np))
        # The loops below compare steps; they are not told about deprecations.
        if hasattr(module, "deprecate"):
            patch.setattr(module, "deprecate", lambda *args, **kwargs: None)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield Classes(torch=torch, **classes)
    torch.set_default_dtype(before)
    patch.undo()


def network(x: Any, t: float) -> Any:
    """A network with a smooth answer, for torch and NumPy."""
    return 0.6 * x * math.cos(t / 300) + 0.05 * x**2 / (1 + x**2)


def theirs_after(
    theirs: Any, torch: Any, draws: list[np.ndarray], timesteps: Any = None, **options: Any
) -> np.ndarray:
    """The loop of a pipeline over a scheduler of diffusers."""
    remaining = iter(draws)
    module: Any = sys.modules[type(theirs).__module__]
    had = getattr(module, "randn_tensor", None)
    if had is not None:
        module.randn_tensor = lambda *a, **k: torch.tensor(next(remaining))
    if hasattr(theirs, "set_begin_index"):
        # Else they look for the first timestep, and take the second where rounding repeats it.
        theirs.set_begin_index(0)
    try:
        x = torch.tensor(X) * theirs.init_noise_sigma
        for t in theirs.timesteps if timesteps is None else timesteps:
            output = network(theirs.scale_model_input(x, t), float(t))
            x = theirs.step(output, t, x, return_dict=False, **options)[0]
    finally:
        if had is not None:
            module.randn_tensor = had
    return np.asarray(x)


def ours_after(read: Any, draws: list[np.ndarray]) -> np.ndarray:
    remaining = iter(draws)
    # On a flow, diffusers starts from noise of variance 1, where sigma may be 0.999.
    scale = 1.0 if read.schedule.kind == "flow" else read.schedule.prior_std
    return np.asarray(
        sample(
            lambda x, t: network(x, float(t[0])),
            read.schedule,
            read.sampler,
            X * scale,
            prediction=read.prediction,
            clip=read.clip,
            noise=lambda x: next(remaining),
        )
    )


def noises(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(4).standard_normal((count, *X.shape)))


BETAS = ["linear", "scaled_linear", "squaredcos_cap_v2"]
NAMES = [name for name in CLASSES if not name.startswith(("Flow", "EDM"))]


@st.composite
def configurations(draw: Any) -> tuple[str, dict[str, Any], int]:
    """Configurations on which diffusers makes none of the mistakes that are tested below."""
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
    if "use_karras_sigmas" in CLASSES[name]:
        grid = draw(st.sampled_from([None, "karras", "exponential", "beta"]))
        if grid is not None:
            options[f"use_{grid}_sigmas"] = True
    if "final_sigmas_type" in CLASSES[name]:
        options["final_sigmas_type"] = draw(st.sampled_from(["zero", "sigma_min"]))
    if "solver_order" in CLASSES[name]:
        third = name != "DPMSolverMultistepScheduler"
        options["solver_order"] = draw(st.integers(1, 3 if third else 2))
    if name == "DPMSolverMultistepScheduler":
        kinds = ["dpmsolver++", "sde-dpmsolver++"]
        options["algorithm_type"] = draw(st.sampled_from(kinds))
        options["solver_type"] = draw(st.sampled_from(["midpoint", "heun"]))
        options["lower_order_final"] = draw(st.booleans())
        if grid is not None and options["final_sigmas_type"] == "sigma_min":
            # Their last step has no length, which is NaN here where noise, or its length, divides.
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
    told = plan(read.schedule).timesteps if plan else read.schedule.timesteps[::-1]
    expected = np.asarray(theirs.timesteps, dtype=np.float64)
    assert len(told) == len(expected)
    # A level that is a trained one but for rounding is told one timestep less by diffusers, where
    # it cuts off; ours tells the trained one.
    cut = np.abs(told - expected) > 1e-6
    assert (told[cut] - expected[cut] == 1).all()
    assert not cut.any() or options.get("use_exponential_sigmas") or options.get("use_beta_sigmas")
    if cut.any():
        theirs.timesteps = diffusers.torch.tensor(told.astype(np.float64))
    draws = noises(2 * steps + 2)
    result, wanted = ours_after(read, draws), theirs_after(theirs, diffusers.torch, draws)
    if read.schedule.kind == "vp" and hasattr(theirs, "is_scale_input_called"):
        result = result / read.schedule.origin.alpha  # theirs is where alpha is 1
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
    """Diffusers shifts the lowest of its levels when it is made, and again in set_timesteps."""
    config = {"_class_name": name, "shift": 3.0}
    theirs = getattr(diffusers, name)(shift=3.0)
    theirs.set_timesteps(6)
    read = from_diffusers(config, 6)
    level = np.linspace(1 / 1000, 1, 6)
    once = 3 * level / (1 + 2 * level)
    np.testing.assert_allclose(read.schedule.sigma, once, rtol=1e-12)
    lowest = 3 * once[0] / (1 + 2 * once[0])
    assert float(theirs.timesteps[-1]) / 1000 == pytest.approx(lowest, rel=1e-12)
    # Told the levels before the shift, it shifts them once as well.
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
    told = read.sampler.plan(read.schedule).timesteps  # type: ignore[union-attr]
    np.testing.assert_allclose(told, theirs.timesteps, rtol=1e-12)
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
    told = read.schedule.timesteps[::-1]
    np.testing.assert_allclose(told, theirs.timesteps, rtol=1e-9, atol=1e-12)
    draws = noises(10)
    wanted = theirs_after(theirs, diffusers.torch, draws)
    np.testing.assert_allclose(ours_after(read, draws), wanted, rtol=1e-8, atol=1e-8)


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


# Where diffusers is wrong.


def test_diffusers_replaces_zero_signal_by_a_little() -> None:
    """Its solvers take 2^-24 for an alpha_cumprod of 0, more than the trained step before has."""
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
    told = theirs.timesteps.tolist()
    assert any(t - 1000 // steps != s for t, s in pairwise(told))
    read = from_diffusers({"_class_name": "DDIMScheduler", **options}, steps)
    assert read.schedule.timesteps[::-1].tolist() == told
    result = ours_after(read, [])
    alphas_cumprod = np.asarray(theirs.alphas_cumprod)
    x = X
    for t, s in zip(told, [*told[1:], None], strict=True):
        now, then = alphas_cumprod[t], 1.0 if s is None else alphas_cumprod[s]
        eps = network(x, t)
        x0 = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
        x = np.sqrt(then) * x0 + np.sqrt(1 - then) * eps
    np.testing.assert_allclose(result, x, rtol=1e-8, atol=1e-8)
    assert np.abs(theirs_after(theirs, diffusers.torch, []) - x).max() > 1e-3


def test_trailing_timesteps_are_as_many_as_asked_for(diffusers: Any) -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing="trailing")
    wrong = 0
    for steps in range(1, 200):
        theirs.set_timesteps(steps)
        read = from_diffusers(theirs, steps).schedule.timesteps
        assert len(read) == steps
        assert read[0] >= 0
        wrong += len(theirs.timesteps) != steps
    assert wrong > 0


def test_repeated_timesteps_are_told_apart_by_position(diffusers: Any) -> None:
    """Karras levels rounded to timesteps repeat, and diffusers begins at the second of them."""
    options = {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}
    theirs = diffusers.DEISMultistepScheduler(**options)
    theirs.set_timesteps(20)
    read = from_diffusers({"_class_name": "DEISMultistepScheduler", **options}, 20)
    told = read.schedule.timesteps[::-1].tolist()
    assert told == theirs.timesteps.tolist()
    assert told[0] == told[1]
    assert theirs.index_for_timestep(theirs.timesteps[0]) == 1
    wanted = theirs_after(theirs, diffusers.torch, [])  # which says where to begin
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


def third_order_errors(diffusers: Any, steps: int) -> tuple[float, float]:
    """Errors of ours and theirs, of order 3, for an x0 prediction that depends on lambda alone.

    Its integral is known: x = sigma_s/sigma_t x + sigma_s ∫ e^lambda x0(lambda) dlambda.
    """
    # Evaluations even in lambda, from 6 to -6; data that change in the middle of them only.
    lam = np.linspace(6, -6, steps + 1)
    schedule = Schedule.from_log_snr(2 * lam, timesteps=np.arange(steps + 1))[1:]

    def data(at: Any) -> Any:
        return np.exp(-(np.asarray(at) ** 2) / 2)

    x = np.zeros((1, 1, 1, 1))
    ours = sample(
        lambda x, t: 0 * x + data(lam[int(t[0])]),
        schedule,
        DPMSolverPP(order=3),
        x,
        prediction="x0",
    )
    nodes, weights = np.polynomial.legendre.leggauss(200)
    exact = schedule.origin.sigma * float((6 * weights * np.exp(6 * nodes) * data(6 * nodes)).sum())
    theirs = diffusers.DPMSolverMultistepScheduler(
        solver_order=3,
        prediction_type="sample",
        lower_order_final=False,
        final_sigmas_type="sigma_min",
    )
    torch = diffusers.torch
    theirs.set_timesteps(steps)
    theirs.timesteps = torch.arange(steps, 0, -1)
    theirs.sigmas = torch.tensor(np.exp(-lam[::-1]))
    theirs.set_begin_index(0)
    state = torch.zeros(1, 1, 1, 1)
    for t in theirs.timesteps:
        output = torch.zeros(1, 1, 1, 1) + float(data(lam[int(t)]))
        state = theirs.step(output, t, state, return_dict=False)[0]
    return abs(float(ours.squeeze()) - exact), abs(float(state.squeeze()) - exact)


def test_dpm_solver_pp_3m_is_of_order_3(diffusers: Any) -> None:
    """Diffusers halves the second difference, and its method is of order 2."""
    coarse, fine = third_order_errors(diffusers, 80), third_order_errors(diffusers, 160)
    ours, theirs = (math.log2(a / b) for a, b in zip(coarse, fine, strict=True))
    assert ours > 2.8
    assert theirs < 2.3
    # From the same network they are near each other, and not the same.
    options = {"solver_order": 3}
    scheduler = diffusers.DPMSolverMultistepScheduler(**options)
    scheduler.set_timesteps(12)
    read = from_diffusers({"_class_name": "DPMSolverMultistepScheduler", **options}, 12)
    wanted = theirs_after(scheduler, diffusers.torch, noises(12))
    assert 1e-6 < np.abs(ours_after(read, []) - wanted).max() < 0.1 * np.abs(wanted).max()


def test_inversion_is_the_same_table_walked_the_other_way() -> None:
    """DDIMInverseScheduler is off by one timestep; here one table goes both ways."""
    config = {"_class_name": "DDIMScheduler", "clip_sample": False}
    schedule = from_diffusers(config, 20).schedule[1:]
    up = DDIM().plan(schedule).reversed()
    points = [schedule.origin, *schedule]
    assert up.timesteps.tolist() == [p.timestep for p in points[:-1]]
    x = X
    for s, t in pairwise(points):
        eps = network(x, s.timestep)
        x = t.alpha * (x - s.sigma * eps) / s.alpha + t.sigma * eps
    result = up.run(lambda x, t: network(x, float(t[0])), X)
    np.testing.assert_allclose(result, x, rtol=1e-9, atol=1e-9)


def test_pndm_mixes_the_noise_of_v_predictions(diffusers: Any) -> None:
    """Theirs mixes velocities of different noise levels, and reads the mixture at the last."""
    options = {"skip_prk_steps": True, "prediction_type": "v_prediction"}
    theirs = diffusers.PNDMScheduler(**options)
    theirs.set_timesteps(8)
    ours = ours_after(from_diffusers({"_class_name": "PNDMScheduler", **options}, 8), [])
    wrong = theirs_after(theirs, diffusers.torch, [])
    # Told the noise itself, it does what ours does.
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
