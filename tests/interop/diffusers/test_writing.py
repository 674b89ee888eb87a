"""Configurations written: read again, they are the schedule, the sampler and all the rest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DPMSolver, DynamicThreshold, Heun, Schedule, edm
from schedalg.interop.diffusers import ClippedDDIM, diffusers_config, from_diffusers
from schedalg.interop.diffusers.classes import CLASSES
from schedalg.parameterization import parameterization

#: Options of which each class is given those that it has, one entry at a time.
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"beta_schedule": "scaled_linear", "beta_start": 0.0007, "beta_end": 0.011},
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
    {"timestep_spacing": "trailing"},
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"use_karras_sigmas": True},
    {"use_lu_lambdas": True, "solver_order": 3},
    {"clip_sample": True, "clip_sample_range": 2.0},
    {"thresholding": True, "sample_max_value": 1.5},
    {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"},
    {"shift": 3.0},
    {"final_sigmas_type": "sigma_min"},
    {"algorithm_type": "sde-dpmsolver++", "lower_order_final": False},
    {"set_alpha_to_one": False},
    {"variance_type": "learned_range"},
    {"stochastic_sampling": True},
    {"sigma_schedule": "exponential", "sigma_max": 50.0, "sigma_data": 1.0},
)


def configurations() -> Iterator[dict[str, Any]]:
    for name, record in CLASSES.items():
        needed = {"skip_prk_steps": True} if "skip_prk_steps" in record.defaults else {}
        for options in OPTIONS:
            if options.keys() <= record.defaults.keys():
                yield {"_class_name": name, **needed, **options}


def read(config: dict[str, Any], steps: int) -> Any:
    try:
        return from_diffusers(config, steps)
    except ValueError:  # of this class not with this option
        return None


READ = [(config, found) for config in configurations() if (found := read(config, 6)) is not None]


def label(value: Any) -> str:
    return "-".join(map(str, value.values()))[:60] if isinstance(value, dict) else ""


@pytest.mark.parametrize(("config", "found"), READ, ids=label)
def test_what_was_read_is_written_and_read_again(config: dict[str, Any], found: Any) -> None:
    schedule, sampler, prediction, clip = found
    written = diffusers_config(schedule, sampler, prediction=prediction, clip=clip)
    again = from_diffusers(written, len(schedule))
    assert again.sampler == sampler
    assert parameterization(again.prediction) == parameterization(prediction)
    assert again.clip == clip
    same = Schedule.from_dict(again.schedule.to_dict())
    assert (same.kind, same.network_kind) == (schedule.kind, schedule.network_kind)
    np.testing.assert_allclose(same.timesteps, schedule.timesteps, rtol=1e-9)
    np.testing.assert_allclose(same.to_log_snr(), schedule.to_log_snr(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(same.origin.sigma, schedule.origin.sigma, rtol=1e-9)


@pytest.mark.parametrize(("config", "found"), READ, ids=label)
def test_what_was_read_is_kept_by_json(config: dict[str, Any], found: Any) -> None:
    assert Schedule.from_dict(found.schedule.to_dict()) == found.schedule


def test_a_schedule_of_ones_own_is_written() -> None:
    base = Schedule.cosine(400)
    for schedule in (base.subsample(steps=20), base.subsample(every=8), base, base.shift(2.0)):
        config = diffusers_config(schedule, DDIM(), prediction="v")
        assert config["_class_name"] == "DDIMScheduler"
        assert config["num_train_timesteps"] == 400
        assert ("trained_betas" in config) == (schedule == base.shift(2.0))
        found = from_diffusers(config, len(schedule)).schedule
        np.testing.assert_array_equal(found.timesteps, schedule.timesteps)


#: What diffusers does not have, and what is said of it.
MISSING: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "sampler": ((Schedule.linear(10), DPMSolver()), {}, "sampler DPMSolver"),
    "clip": ((Schedule.linear(10), DDIM()), {"clip": (-1, 2)}, r"clip=.* is not in any scheduler"),
    "bounds of DDIM": ((Schedule.linear(10), DDIM()), {"clip": (-1, 1)}, "sampler DDIM"),
    "prediction": (
        (Schedule.karras(5), DDIM()),
        {"prediction": "score"},
        "prediction is not in any scheduler",
    ),
    "points": (
        (Schedule.linear(1000)[[0, 1, 5, 800]], DDIM()),
        {},
        "schedule .*4 points.* with this sampler",
    ),
    "slice": (
        (Schedule.linear(1000)[5:], DDIM()),
        {},
        "995 points.* was not chosen from",
    ),
    "flow of t": ((Schedule.flow(10), Heun()), {}, "sampler Heun"),
    "no points": ((Schedule.linear(10)[:0], DDIM()), {}, "must have points"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_diffusers_lacks_is_named(name: str) -> None:
    arguments, options, words = MISSING[name]
    with pytest.raises(ValueError, match=words):
        diffusers_config(*arguments, **options)


def test_bounds_and_parameterizations_are_options() -> None:
    fast = Schedule.linear(1000).subsample(every=100)
    config = diffusers_config(fast, ClippedDDIM(), clip=DynamicThreshold(0.9, 2.0))
    assert config["dynamic_thresholding_ratio"] == 0.9
    assert config["sample_max_value"] == 2.0
    found = from_diffusers({"_class_name": "EDMEulerScheduler"}, 5)
    config = diffusers_config(found.schedule, found.sampler, prediction=edm(2.0))
    assert config == {"_class_name": "EDMEulerScheduler", "sigma_data": 2.0}
