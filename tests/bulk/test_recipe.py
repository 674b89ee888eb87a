"""A recipe is a value, and with a network and a seed all that a sample follows from."""

import hashlib
import json
import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    ClassifierFreeGuidance,
    Denoiser,
    DPMSolverPP,
    DynamicThreshold,
    Heun,
    Parameterization,
    Plan,
    Recipe,
    Schedule,
    edm,
    initial_noise,
    sample,
    switch,
)
from schedalg.bulk.seeds import seeds_from_json
from tests.bad_input import check_named
from tests.bulk.few import RECIPE, SCHEDULE, network
from tests.samplers.test_serialization import Mine

PLAN = DDIM().plan(SCHEDULE)
RECIPES = {
    "usual": RECIPE,
    "plan": Recipe(plan=PLAN, shape=(4,), dtype="float64"),
    "flow": Recipe(schedule=Schedule.flow(4, shift=3.0), sampler=Heun(), shape=(1,)),
    "edm": replace(RECIPE, schedule=Schedule.karras(4), prediction=edm(0.7)),
    "v, thresholds": replace(RECIPE, prediction="v", clip=DynamicThreshold(0.9, 3.0)),
    "guidance": replace(RECIPE, guidance_scale=3.0),
    "interval": replace(RECIPE, guidance_scale=3.0, guidance_interval=("sigma", 0.5, None)),
    "zero SNR": replace(RECIPE, schedule=SCHEDULE.rescale_zero_terminal_snr(), prediction="v"),
    "half": replace(RECIPE, dtype="bfloat16", sampler=DDIM()),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_as_it_was_written(name: str) -> None:
    recipe = RECIPES[name]
    found = Recipe.from_json(recipe.to_json())
    assert found == recipe
    assert hash(found) == hash(recipe)
    assert found.fingerprint == recipe.fingerprint
    assert found.schedule == recipe.schedule
    assert (found.sampler, found.plan) == (recipe.sampler, recipe.plan)
    assert (found.shape, found.dtype, found.clip) == (recipe.shape, recipe.dtype, recipe.clip)
    assert found.guidance_interval == recipe.guidance_interval


def test_other_recipes_are_unequal_and_have_other_fingerprints() -> None:
    assert len(set(RECIPES.values())) == len(RECIPES)
    assert len({recipe.fingerprint for recipe in RECIPES.values()}) == len(RECIPES)
    assert RECIPE.to_json() != RECIPE


def test_the_fingerprint_is_that_of_the_canonical_json() -> None:
    text = json.dumps(RECIPE.to_dict(), sort_keys=True, separators=(",", ":"))
    assert RECIPE.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_a_file_of_version_1_stays_what_it_is() -> None:
    recipe = Recipe.from_json(VERSION_1)
    assert recipe.fingerprint == FINGERPRINT_1
    assert recipe.to_json() == VERSION_1
    assert recipe.sampler == DDIM(eta=0.5)


def test_equal_settings_are_one_recipe() -> None:
    whole = replace(RECIPE, clip=[-1, 1], shape=[2, 3], sampler=DDPM("fixed_small"))
    assert whole == RECIPE
    assert replace(RECIPE, prediction=edm(0.5)) == replace(RECIPE, prediction="edm")


def test_a_recipe_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPE.dtype = "float64"  # type: ignore[misc]


def test_a_sample_is_that_of_sample_with_the_start_of_its_seed() -> None:
    seeds = [3, 10**30, 5]
    x = initial_noise(SCHEDULE, (3, 2, 3), seeds, like=np.zeros(1, dtype=np.float32))
    expected = sample(network, SCHEDULE, DDPM(), x, noise=seeds, clip=(-1, 1))
    got = RECIPE.sample(network, seeds)
    assert got.dtype == np.float32
    assert (got == expected).all()
    assert (RECIPE.sample(network, seeds[1:2])[0] == expected[1]).all()
    assert (RECIPE.sample(network, np.array([5, 3]))[0] == expected[2]).all()


def test_a_plan_takes_the_place_of_schedule_and_sampler() -> None:
    recipe = RECIPES["plan"]
    same = replace(recipe, plan=None, schedule=SCHEDULE, sampler=DDIM())
    assert (recipe.sample(network, [1, 2]) == same.sample(network, [1, 2])).all()
    assert recipe.schedule == SCHEDULE
    assert replace(recipe, shape=(1,)).plan == PLAN
    assert recipe.model_calls == same.model_calls == len(PLAN)


def labelled(x: Any, timesteps: Any, y: Any) -> Any:
    return 0.5 * x + np.asarray(y, dtype=np.float32).reshape(-1, 1, 1)


def labels(seeds: list[int]) -> dict[str, Any]:
    return {"y": np.array(seeds, dtype=np.float32) / 10}


def blank(seeds: list[int]) -> dict[str, Any]:
    return {"y": np.zeros(len(seeds), dtype=np.float32)}


def test_seeds_may_be_an_array_of_any_library() -> None:
    torch = pytest.importorskip("torch")
    wanted = RECIPE.sample(network, [3, 1])
    for seeds in (np.array([3, 1]), torch.tensor([3, 1]), (3, 1), range(3, 0, -2)):
        np.testing.assert_array_equal(RECIPE.sample(network, seeds), wanted)
    with pytest.raises(TypeError, match=r"seeds\[0\] must be an integer, got 3.0"):
        RECIPE.sample(network, torch.tensor([3.0, 1.0]))


def test_conditions_follow_the_seeds() -> None:
    recipe = RECIPES["guidance"]
    seeds = [3, 4]
    x = initial_noise(SCHEDULE, (2, 2, 3), seeds, like=np.zeros(1, dtype=np.float32))
    guided = ClassifierFreeGuidance(labelled, 3.0, labels(seeds), blank(seeds))
    expected = sample(guided, SCHEDULE, DDPM(), x, noise=seeds, clip=(-1, 1))
    assert (recipe.sample(labelled, seeds, cond=labels, uncond=blank) == expected).all()
    alone = sample(labelled, SCHEDULE, DDPM(), x, noise=seeds, clip=(-1, 1), **labels(seeds))
    assert (RECIPE.sample(labelled, seeds, cond=labels) == alone).all()
    assert (expected != alone).any()


def test_guidance_in_an_interval_is_that_of_switch() -> None:
    recipe = RECIPES["interval"]
    seeds = [3, 4]
    x = initial_noise(SCHEDULE, (2, 2, 3), seeds, like=np.zeros(1, dtype=np.float32))
    guided = ClassifierFreeGuidance(labelled, 3.0, labels(seeds), blank(seeds))
    inside = Denoiser(guided, SCHEDULE, clip=(-1, 1))
    outside = Denoiser(labelled, SCHEDULE, clip=(-1, 1), model_kwargs=labels(seeds))
    expected = sample(switch(inside, outside, sigma_min=0.5), SCHEDULE, DDPM(), x, noise=seeds)
    assert (recipe.sample(labelled, seeds, cond=labels, uncond=blank) == expected).all()


def test_a_sample_is_of_the_library_of_like_and_of_the_recipes_dtype() -> None:
    torch = pytest.importorskip("torch")
    got = RECIPE.sample(network, [1, 2], like=torch.zeros(1, dtype=torch.float64))
    assert got.dtype == torch.float32
    assert np.allclose(got.numpy(), RECIPE.sample(network, [1, 2]), atol=1e-6)
    half = RECIPES["half"].sample(network, [1], like=torch.zeros(1))
    assert half.dtype == torch.bfloat16


def test_a_sampler_of_ones_own_is_read_where_it_is_passed() -> None:
    recipe = replace(RECIPE, sampler=Mine(Heun()))
    assert Recipe.from_json(recipe.to_json(), samplers=[Mine]) == recipe
    with pytest.raises(ValueError, match=r"'Mine', which is unknown; there are DDIM, .*samplers="):
        Recipe.from_json(recipe.to_json())


#: A file as version 1 wrote it, whose numbers are exact on every processor.
VERSION_1 = """{
  "clip": [-1.0,1.0],
  "dtype": "float32",
  "guidance_interval": ["t",0.25,null],
  "guidance_scale": 2.0,
  "noise": "philox4x64-10, keyed by noise level",
  "plan": null,
  "prediction": {"edm":0.75},
  "sampler": {"name":"DDIM","options":{"eta":0.5,"variance":null},"type":"schedalg.Sampler","version":1},
  "schedule": {"curve":null,"kind":"vp","log_alphas_cumprod":[[0.0,-0.5,-2.0],[0.0,0.0,0.0]],"network_kind":"vp","origin_timestep":null,"timesteps":[0,1],"type":"schedalg.Schedule","version":2,"whole_timesteps":true},
  "shape": [3,4],
  "type": "schedalg.Recipe",
  "version": 1
}
"""  # noqa: E501
FINGERPRINT_1 = "e5386e9ef1ebc2d217a9f46e0cd8a617ebb88b2f927b3a1553fcafdcfd39d7eb"


def changed(**changes: Any) -> dict[str, Any]:
    return {**RECIPE.to_dict(), **changes}


FUNCTIONS = Parameterization(lambda alpha, sigma: 1.0, lambda alpha, sigma: -sigma)
OF_FUNCTION = Schedule.from_alpha_bar(lambda t: 1 - 0.9 * t, 4, timesteps=lambda a, s: s)

CASES = {
    "neither way": (lambda: Recipe(shape=(1,)), ValueError, ["schedule", "sampler", "plan"]),
    "no sampler": (
        lambda: Recipe(schedule=SCHEDULE, shape=(1,)),
        ValueError,
        ["sampler", "plan"],
    ),
    "both ways": (lambda: replace(RECIPE, plan=PLAN), ValueError, ["plan", "sampler"]),
    "no plan": (lambda: Recipe(plan=3, shape=(1,)), TypeError, ["plan"]),
    "a plan as a sampler": (lambda: replace(RECIPE, sampler=PLAN), TypeError, ["plan="]),
    "a sampler that is no value": (
        lambda: replace(RECIPE, sampler=object()),
        TypeError,
        ["sampler", "frozen dataclass"],
    ),
    "timesteps of a function": (
        lambda: replace(RECIPE, schedule=OF_FUNCTION),
        ValueError,
        ["timesteps", "function"],
    ),
    "a shape of one number": (lambda: replace(RECIPE, shape=3), TypeError, ["shape", "3"]),
    "a size of 0": (lambda: replace(RECIPE, shape=(3, 0)), ValueError, ["shape[1]", "0"]),
    "an unknown dtype": (
        lambda: replace(RECIPE, dtype="int8"),
        ValueError,
        ["dtype", "float32", "'int8'"],
    ),
    "an unknown prediction": (
        lambda: replace(RECIPE, prediction="eps"),
        ValueError,
        ["prediction", "'eps'", "epsilon"],
    ),
    "functions": (
        lambda: replace(RECIPE, prediction=FUNCTIONS),
        TypeError,
        ["prediction", "edm"],
    ),
    "a function as bounds": (
        lambda: replace(RECIPE, clip=lambda x0: x0),
        TypeError,
        ["clip", "DynamicThreshold"],
    ),
    "an interval without guidance": (
        lambda: replace(RECIPE, guidance_interval=("sigma", 0.1, 1.0)),
        ValueError,
        ["guidance_interval", "guidance_scale"],
    ),
    "an interval of one number": (
        lambda: replace(RECIPE, guidance_scale=2, guidance_interval=3),
        TypeError,
        ["guidance_interval", "(quantity, low, high)", "3"],
    ),
    "guidance of a denoiser": (
        lambda: replace(RECIPE, guidance_scale=2).sample(
            Denoiser(network, SCHEDULE), [1], uncond={}
        ),
        TypeError,
        ["model", "not a denoiser", "guidance"],
    ),
    "nested text": (lambda: Recipe.from_json("[" * 200_000), ValueError, ["text", "too deeply"]),
    "half a range of seeds": (
        lambda: seeds_from_json({"start": 1, "stop": 3}),
        ValueError,
        ["seeds", "start, stop and step", "['start', 'stop']"],
    ),
    "a range of seeds that stands still": (
        lambda: seeds_from_json({"start": 1, "stop": 3, "step": 0}),
        ValueError,
        ["seeds: step must not be 0"],
    ),
    "an unknown quantity": (
        lambda: replace(RECIPE, guidance_scale=2, guidance_interval=("snr", 0.1, 1.0)),
        ValueError,
        ["guidance_interval[0]", "'snr'", "log_snr"],
    ),
    "an empty interval": (
        lambda: replace(RECIPE, guidance_scale=2, guidance_interval=("t", 0.9, 0.1)),
        ValueError,
        ["guidance_interval", "0.9"],
    ),
    "one seed": (lambda: RECIPE.sample(network, 3), TypeError, ["seeds", "3"]),
    "a negative seed": (lambda: RECIPE.sample(network, [1, -1]), ValueError, ["seeds[1]", "-1"]),
    "half a seed": (lambda: RECIPE.sample(network, [0.5]), TypeError, ["seeds[0]", "0.5"]),
    "a dtype that NumPy lacks": (
        lambda: RECIPES["half"].sample(network, [1]),
        ValueError,
        ["dtype", "bfloat16", "like="],
    ),
    "no uncond": (
        lambda: RECIPES["guidance"].sample(labelled, [1], cond=labels),
        ValueError,
        ["uncond", "guidance_scale"],
    ),
    "uncond without guidance": (
        lambda: RECIPE.sample(labelled, [1], cond=labels, uncond=blank),
        ValueError,
        ["uncond", "guidance_scale"],
    ),
    "no keywords": (
        lambda: RECIPE.sample(labelled, [1], cond=lambda seeds: 3),
        TypeError,
        ["cond returns", "3"],
    ),
    "no JSON": (lambda: Recipe.from_json("{"), ValueError, ["text", "JSON"]),
    "a list": (lambda: Recipe.from_json("[]"), ValueError, ["text", "object"]),
    "no text": (lambda: Recipe.from_json({}), TypeError, ["text"]),
    "another type": (lambda: Recipe.from_dict(PLAN.to_dict()), ValueError, ["schedalg.Plan"]),
    "a later version": (
        lambda: Recipe.from_dict(changed(version=2)),
        ValueError,
        ["version 2", "install a newer"],
    ),
    "a schedule of a later version": (
        lambda: Recipe.from_dict(changed(schedule={**RECIPE.schedule.to_dict(), "version": 3})),
        ValueError,
        ["version 3 of schedalg.Schedule", "install a newer"],
    ),
    "no version": (lambda: Recipe.from_dict(changed(version=True)), ValueError, ["version"]),
    "another noise": (lambda: Recipe.from_dict(changed(noise="x")), ValueError, ["noise", "'x'"]),
    "more keys": (lambda: Recipe.from_dict(changed(eta=1)), ValueError, ["eta"]),
    "fewer keys": (
        lambda: Recipe.from_dict({"type": "schedalg.Recipe", "version": 1}),
        ValueError,
        ["lacks", "shape"],
    ),
    "another prediction in a file": (
        lambda: Recipe.from_dict(changed(prediction={"x": 1})),
        ValueError,
        ["prediction"],
    ),
    "other bounds in a file": (
        lambda: Recipe.from_dict(changed(clip={"x": 1})),
        ValueError,
        ["clip"],
    ),
    "an infinite scale": (
        lambda: replace(RECIPE, guidance_scale=math.inf),
        ValueError,
        ["guidance_scale", "inf"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case: str) -> None:
    check_named(*CASES[case])


def test_a_sampler_without_a_plan_for_the_schedule_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="order=3"):
        replace(RECIPE, schedule=SCHEDULE[:2], sampler=DPMSolverPP(order=3, exact=True))


def test_a_schedule_that_requires_a_gradient_is_refused() -> None:
    torch = pytest.importorskip("torch")
    betas = torch.tensor([0.1, 0.2], dtype=torch.float64, requires_grad=True)
    with pytest.raises(TypeError, match="schedule requires a gradient"):
        replace(RECIPE, schedule=Schedule.from_betas(betas), sampler=DDIM())
    with pytest.raises(TypeError, match="plan requires a gradient"):
        Recipe(plan=DDIM().plan(Schedule.from_betas(betas)), shape=(1,))


def test_plans_are_read_as_plans() -> None:
    assert isinstance(Recipe.from_dict(RECIPES["plan"].to_dict()).plan, Plan)
