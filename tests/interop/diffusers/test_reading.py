"""Reading configurations, without torch and diffusers."""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from subprocess import run as run_command
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DPMSolverPP, DynamicThreshold, Heun, Midpoint, Schedule, run
from schedalg.interop.diffusers import from_diffusers
from schedalg.interop.diffusers.classes import CLASSES
from tests.interop.diffusers.theirs import network

pytestmark = pytest.mark.filterwarnings(
    # torch's tensors, where diffusers calls NumPy with them.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context:DeprecationWarning",
)

X = np.random.default_rng(3).standard_normal((2, 3, 4, 4))


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
    run_command([sys.executable, "-c", code], check=True)


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
        ("DDIMScheduler", {"trained_betas": [0.1, 1.2]}, "trained_betas"),
        ("DDIMScheduler", {"beta_end": 1.0}, "beta_end"),
        ("DDIMScheduler", {"steps_offset": 10**30}, "steps_offset"),
        ("DDIMScheduler", {"num_train_timesteps": 10**9}, "num_train_timesteps"),
        ("DDIMScheduler", {"thresholding": True, "sample_max_value": 0.5}, "sample_max_value"),
        (
            "DDIMScheduler",
            {"thresholding": True, "dynamic_thresholding_ratio": 0.0},
            "dynamic_thresholding_ratio",
        ),
        ("LCMScheduler", {"timestep_spacing": "middling"}, "timestep_spacing"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 1e30}, "shift"),
        ("FlowMatchEulerDiscreteScheduler", {"shift_terminal": 2.0}, "shift_terminal"),
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
        *(
            (
                name,
                {"use_exponential_sigmas": True, "trained_betas": [0.1] * 999 + [1.0]},
                "trained_betas",
            )
            for name in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler")
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
def test_an_unsupported_option_is_an_error_that_names_it(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        from_diffusers({"_class_name": name, **options}, 10)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_option_is_checked_whether_it_is_used_or_not(name: str) -> None:
    wrong = [[1], {"a": 1}, 0.5, "x", b"x", 1 + 2j, object(), np.array([1.0, 2.0]), ["0.1"] * 9]
    for key in CLASSES[name].defaults:
        if key == "solver_p":  # any object, of which only None is supported
            continue
        messages = []
        for value in wrong:
            try:
                from_diffusers({"_class_name": name, "skip_prk_steps": True, key: value}, 5)
            except (TypeError, ValueError) as error:
                messages.append(str(error))
        assert all(key in message for message in messages)
        assert len(messages) >= len(wrong) - 2  # numbers, text and lists are right for some


def test_a_file_is_a_small_regular_file_of_json(tmp_path: Path) -> None:
    path = tmp_path / "scheduler_config.json"
    for data, words in [
        (b"{", "not JSON"),
        (b'{"_class_name": "\xff"}', "not JSON in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' + b"9" * 5000 + b"}", "not JSON"),
        (b" " * (2**24 + 1), "larger than"),
    ]:
        path.write_bytes(data)
        for source in (path, str(path), tmp_path):
            with pytest.raises(ValueError, match=words) as raised:
                from_diffusers(source)
            assert str(path) in str(raised.value)
    path.write_text("[1]")
    with pytest.raises(TypeError, match=r"scheduler_config\.json must hold a JSON object"):
        from_diffusers(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        from_diffusers(tmp_path / "missing")
    with pytest.raises(ValueError, match="path"):
        from_diffusers("a\0b")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_file_that_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="not a regular file"):
            from_diffusers(source)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 * 10**9)
    with pytest.raises(ValueError, match="larger than"):
        from_diffusers(tmp_path / "sparse")


def test_trained_betas_of_another_length_than_training() -> None:
    """The spacing is that of `num_train_timesteps`, and the noise levels those of the betas."""
    betas = np.linspace(1e-4, 0.02, 1000)
    config = {"_class_name": "DDIMScheduler", "trained_betas": betas, "num_train_timesteps": 200}
    longer = Schedule.from_betas(betas)
    for spacing in ("leading", "trailing", "linspace"):
        read = from_diffusers({**config, "timestep_spacing": spacing}, 8)
        expected = longer[:200].subsample(steps=8, spacing=spacing)
        assert read.schedule.timesteps.tolist() == expected.timesteps.tolist()
        np.testing.assert_array_equal(read.schedule.alpha, expected.alpha)
    assert len(from_diffusers(config).schedule) == 200
    read = from_diffusers({**config, "num_train_timesteps": 2000}, timesteps=[900, 30])
    assert read.schedule == longer.subsample(timesteps=[30, 900])


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_as_many_linspace_steps_as_trained_are_all_of_them(name: str) -> None:
    read = from_diffusers({"_class_name": name, "num_train_timesteps": 50}, 50)
    assert read.schedule.timesteps.tolist() == list(range(50))


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


#: A class, its options, what is asked for, and what is said.
WRONG: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "a timestep beyond training": (
        "DDIMScheduler",
        {},
        {"timesteps": [1000, 0]},
        r"timesteps\[0\] is 1000: the trained ones are 0 to 999",
    ),
    "a timestep below 0": (
        "DDIMScheduler",
        {},
        {"timesteps": [5, 0, -1]},
        r"timesteps\[2\] is -1: the trained ones are 0 to 999",
    ),
    "timesteps and sigmas": (
        "EulerDiscreteScheduler",
        {},
        {"timesteps": [5, 0], "sigmas": [1.0, 0.0]},
        "give timesteps= or sigmas=, not both",
    ),
    "of two lengths": (
        "FlowMatchEulerDiscreteScheduler",
        {},
        {"timesteps": [500, 100, 50], "sigmas": [1.0, 0.5]},
        "timesteps and sigmas differ in length: 3 and 2",
    ),
    "timesteps and a grid": (
        "EulerDiscreteScheduler",
        {"use_karras_sigmas": True},
        {"timesteps": [5, 0]},
        "timesteps= contradicts the karras noise levels",
    ),
    "more steps than a distillation": (
        "LCMScheduler",
        {},
        {"steps": 51},
        "steps must be at most original_inference_steps=50, got 51",
    ),
    "timesteps of EDM": (
        "EDMEulerScheduler",
        {},
        {"timesteps": [5, 0]},
        r"do not go with EDMEulerScheduler: make the schedule itself, by Schedule\.from_sigmas",
    ),
    "one sigma": (
        "EulerDiscreteScheduler",
        {},
        {"sigmas": [1.0]},
        "sigmas must end with the noise level that the last step reaches, such as 0",
    ),
    "timesteps of flow sigmas": (
        "UniPCMultistepScheduler",
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
        {"timesteps": [5, 0]},
        "timesteps= contradicts use_flow_sigmas=True: give sigmas=",
    ),
    "sigmas of flow sigmas": (
        "DPMSolverMultistepScheduler",
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
        {"sigmas": [1.0, 0.5]},
        "sigmas= does not go with DPMSolverMultistepScheduler: give steps=",
    ),
    "a sigma of a flow beyond 1": (
        "FlowMatchEulerDiscreteScheduler",
        {},
        {"sigmas": [2.0, 0.5]},
        r"sigmas\[0\] is the noise level 2 after the shift: .* in \(0, 1\]",
    ),
    "a timestep of a flow at 0": (
        "FlowMatchEulerDiscreteScheduler",
        {},
        {"timesteps": [500, 0]},
        r"timesteps\[1\] is the noise level 0 after the shift: .* in \(0, 1\]",
    ),
    "no shift": (
        "FlowMatchEulerDiscreteScheduler",
        {"shift": 0.0},
        {"steps": 3},
        "the shift of a flow must be above 0, got 0.0",
    ),
    "a grid that stands still": (
        "EulerDiscreteScheduler",
        {"use_karras_sigmas": True, "sigma_min": 3.0, "sigma_max": 2.0},
        {"steps": 5},
        "sigma_min must be above 0 and below sigma_max, got 3.0 and 2.0",
    ),
    "more steps than training": (
        "DDIMScheduler",
        {"timestep_spacing": "trailing"},
        {"steps": 1001},
        "steps must be at most num_train_timesteps=1000, got 1001",
    ),
    "a timestep twice": (
        "DDIMScheduler",
        {"timestep_spacing": "linspace"},
        {"steps": 1001},
        "steps=1001: timestep_spacing='linspace' of DDIMScheduler visits a timestep twice",
    ),
    "a solver that is none": (
        "UniPCMultistepScheduler",
        {"solver_p": np.ones(2)},
        {"steps": 5},
        "solver_p must be a scheduler, got shape",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_requests_are_named(case: str) -> None:
    name, options, asked, message = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=message):
        from_diffusers({"_class_name": name, **options}, **asked)


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


def test_options_of_another_class_pass_if_they_have_no_effect() -> None:
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


def test_inversion_is_the_reversed_plan() -> None:
    """DDIMInverseScheduler is off by one timestep; here one plan serves both directions."""
    config = {"_class_name": "DDIMScheduler", "clip_sample": False}
    schedule = from_diffusers(config, 20).schedule[1:]
    up = DDIM().plan(schedule).reversed()
    points = [schedule.origin, *schedule]
    assert up.timesteps.tolist() == [p.timestep for p in points[:-1]]
    x = X
    for s, t in pairwise(points):
        eps = network(x, s.timestep)
        x = t.alpha * (x - s.sigma * eps) / s.alpha + t.sigma * eps
    result = run(up, lambda x, t: network(x, float(t[0])), X)
    np.testing.assert_allclose(result, x, rtol=1e-9, atol=1e-9)


def test_networks_of_a_flow_are_told_1000_sigma_between_points_too() -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    schedule = from_diffusers(config, 10).schedule
    plan = Midpoint().plan(schedule)
    np.testing.assert_allclose(plan.timesteps[[1, 17]], [980.02, 138.75], atol=0.005)
    for planned in (plan, Heun(s_churn=4.0).plan(schedule[:9])):
        np.testing.assert_allclose(planned.timesteps, 1000 * planned.sigma, rtol=1e-13)
    assert schedule[:9].refine(2)[::2] == schedule[:9]
    fine = schedule.refine(2)
    np.testing.assert_allclose(fine.timesteps, 1000 * fine.sigma, rtol=1e-13)
    assert Schedule.from_dict(schedule.to_dict()) == schedule


def test_edm_s_networks_are_told_log_sigma_between_points_too() -> None:
    schedule = from_diffusers({"_class_name": "EDMEulerScheduler"}, 8).schedule
    plan = Midpoint().plan(schedule)
    told = np.log(plan.sigma / plan.alpha) / 4
    np.testing.assert_allclose(plan.timesteps, told, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"},
        {"_class_name": "DDIMScheduler", "set_alpha_to_one": False},
        {"_class_name": "EulerDiscreteScheduler"},
        {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True},
        {"_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "sigma_min"},
        {"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
    ],
)
def test_stages_are_told_the_timesteps_of_the_trained_schedule(options: dict[str, Any]) -> None:
    schedule = from_diffusers({**options, "beta_schedule": "squaredcos_cap_v2"}, 10).schedule
    plan = Midpoint().plan(schedule)
    trained = Schedule.cosine(1000)
    between = ~np.isin(plan.timesteps, schedule.timesteps)
    assert between.sum() >= 9
    known, level = -trained.to_log_snr(), 2 * np.log(plan.sigma / plan.alpha)
    expected = np.interp(level, known, trained.timesteps)
    np.testing.assert_allclose(plan.timesteps[between], expected[between], rtol=1e-9, atol=1e-9)
