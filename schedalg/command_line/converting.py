"""Configurations of diffusers as recipes, and back."""

from collections.abc import Mapping
from typing import Any

from schedalg.bulk.recipe import Recipe
from schedalg.interop.diffusers import diffusers_config, from_diffusers


def from_configuration(
    config: Mapping[str, Any], steps: int | None, shape: tuple[int, ...], dtype: str
) -> Recipe:
    """Return the recipe of a configuration of diffusers.

    Raises:
        TypeError: An option is of the wrong type, or no recipe can hold it.
        ValueError: An option is unknown, not supported, or contradicts another.
    """
    schedule, sampler, prediction, clip = from_diffusers(config, steps)
    return Recipe(
        schedule=schedule,
        sampler=sampler,
        shape=shape,
        dtype=dtype,
        prediction=prediction,
        clip=clip,  # type: ignore[arg-type]  # which the recipe checks
    )


def to_configuration(recipe: Recipe) -> dict[str, Any]:
    """Return the configuration of diffusers that samples as a recipe does.

    Raises:
        ValueError: There is none.
    """
    if recipe.sampler is None:
        raise ValueError("the recipe holds a plan, and configurations of diffusers name a sampler")
    if recipe.guidance_scale is not None:
        raise ValueError(
            f"the recipe has guidance_scale={recipe.guidance_scale}, which diffusers passes to its "
            "pipelines and has not in configurations"
        )
    return diffusers_config(
        recipe.schedule, recipe.sampler, prediction=recipe.prediction, clip=recipe.clip
    )
