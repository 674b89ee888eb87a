"""The commands that make recipes and samples: `recipe`, `convert`, `generate`, `verify`."""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, get_args

import click

import schedalg.bulk.generation as generation
import schedalg.bulk.verification as verification
from schedalg.bulk.recipe import DTYPES, Recipe
from schedalg.command_line.arguments import (
    FINITE,
    INTERVAL,
    JSON,
    RECIPE,
    SAMPLER,
    SCHEDULE,
    SEEDS,
    SHAPE,
    examples,
)
from schedalg.command_line.converting import from_configuration, to_configuration
from schedalg.command_line.files import OF_DIFFUSERS, is_configuration, recipe_of
from schedalg.parameterization import Prediction
from schedalg.schedule import Schedule


@click.command(
    epilog=examples(
        'recipe "cosine(999)[::9]" --sampler "DDIM()" --shape 3,8,8 > a.json',
        'recipe "flow(28)" --sampler "Euler()" --shape 16,64,64 > b.json',
        'recipe "karras(18)" --sampler "Heun()" --shape 2 --prediction edm',
    )
)
@click.argument("schedule", callback=SCHEDULE)
@SAMPLER
@click.option(
    "--shape",
    callback=SHAPE,
    required=True,
    metavar="SIZES",
    help="That of a sample, as 3,32,32.",
)
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option(
    "--prediction",
    type=click.Choice(get_args(Prediction)),
    help="What the network predicts; by the kind of the schedule if not given.",
)
@click.option(
    "--clip",
    nargs=2,
    type=float,
    callback=FINITE,
    help="Two numbers between which each x0 prediction is clamped.",
)
@click.option(
    "--guidance-scale", type=float, callback=FINITE, help="That of classifier-free guidance."
)
@click.option(
    "--guidance-interval",
    callback=INTERVAL,
    metavar="BOUNDS",
    help="The noise levels with guidance, as sigma:0.3:5, or t, timestep or log_snr.",
)
def recipe(schedule: Schedule, **settings: Any) -> None:
    """Make a recipe: all that a sample follows from, but the network and the seed.

    It is printed as JSON, of which generate makes samples.
    """
    click.echo(Recipe(schedule=schedule, **settings).to_json(), nl=False)


@click.command(
    epilog=examples(
        "convert scheduler_config.json --steps 20 --shape 4,64,64 > a.json",
        "convert recipe.json > b.json",
    )
)
@click.argument("source", metavar="FILE", type=click.Path(), callback=JSON)
@click.option("--steps", type=click.IntRange(min=1), help="Points; all of training if not given.")
@click.option("--shape", callback=SHAPE, metavar="SIZES", help="That of a sample, as 3,32,32.")
@click.option("--dtype", type=click.Choice(DTYPES), help="That of a sample; float32 if not given.")
def convert(source: Any, steps: int | None, shape: Any, dtype: str | None) -> None:
    """Convert a configuration of diffusers to a recipe, and back.

    FILE is a scheduler_config.json, and the recipe is printed; or it is a recipe.json, and the
    configuration is printed that has the same points when it is asked for as many steps.
    """
    if is_configuration(source):
        if shape is None:
            raise click.UsageError("a recipe needs --shape, that of a sample, such as 3,32,32")
        click.echo(from_configuration(source, steps, shape, dtype or "float32").to_json(), nl=False)
    elif steps is not None or shape is not None or dtype is not None:
        raise click.UsageError("--steps, --shape and --dtype go with a configuration of diffusers")
    else:
        click.echo(json.dumps(to_configuration(recipe_of(source)), indent=2))


def _conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `--cond` and `--uncond` to a command: a network's keyword arguments."""
    for name, what in (("uncond", "The same without the condition."), ("cond", "Its keywords.")):
        text = f'{what} "package.module:function" of a list of seeds.'
        command = click.option(f"--{name}", help=text, metavar="NAME")(command)
    return command


@click.command(
    epilog=examples(
        "generate recipe.json --model nets:make --seeds 0:50000 -o out",
        "generate recipe.json --model nets:make --seeds 7 --format png -o a",
        "generate recipe.json --model nets:make --seeds 7 --engine ray -o b",
    )
)
@click.argument("recipe", metavar="RECIPE", type=click.Path(), callback=RECIPE)
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help='The network: "package.module:function", which returns it when it is called.',
)
@_conditions
@click.option("--seeds", callback=SEEDS, required=True, help="Such as 0:50000, or 0:10,20,31.")
@click.option("-o", "--output", type=click.Path(file_okay=False), required=True, help="The folder.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["npy", "parquet", "npz", "png"]),
    default="npy",
    show_default=True,
)
@click.option(
    "--pixel-range",
    nargs=2,
    type=float,
    callback=FINITE,
    default=(-1.0, 1.0),
    show_default=True,
    help="What becomes 0 and 255 in npz and png.",
)
@click.option(
    "--part",
    nargs=2,
    type=int,
    default=(0, 1),
    help="RANK and WORLD SIZE, where several processes share a folder.",
)
@click.option(
    "--engine",
    type=click.Choice(["embedded", "ray"]),
    default="embedded",
    show_default=True,
    help="This process, or actors on a cluster of Ray.",
)
@click.option("--actors", type=click.IntRange(min=1), default=1, help="How many, with ray.")
@click.option(
    "--gpus", type=click.FloatRange(min=0), callback=FINITE, help="For each actor, with ray."
)
def generate(
    recipe: Recipe,
    model: str,
    cond: str | None,
    uncond: str | None,
    seeds: Sequence[int],
    output: str,
    batch_size: int,
    form: Any,
    pixel_range: tuple[float, float],
    part: tuple[int, int],
    engine: Any,
    actors: int,
    gpus: float | None,
) -> None:
    """Make the samples of many seeds, in a folder.

    RECIPE is a file with a recipe, as recipe and convert print it. Stopped and called again, the
    command makes what is missing. Names are looked up among installed packages and in this folder.
    """
    generation.generate(
        recipe,
        model,
        seeds,
        output,
        batch_size=batch_size,
        format=form,
        cond=cond,
        uncond=uncond,
        pixel_range=pixel_range,
        part=part,
        engine=engine,
        actors=actors,
        actor_options=None if gpus is None else {"num_gpus": gpus},
        progress=sys.stderr.isatty() and find_spec("tqdm") is not None,
    )


@click.command(epilog=examples("verify out", "verify out --model nets:make --blocks 5"))
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--model", metavar="NAME", help="The network, as for generate.")
@_conditions
@click.option(
    "--blocks",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many blocks of samples are made again.",
)
@click.pass_context
def verify(
    ctx: click.Context,
    folder: str,
    model: str | None,
    cond: str | None,
    uncond: str | None,
    blocks: int,
) -> None:
    """Check a folder of samples against its recipe.

    Every file is read. With --model, some samples are made again and compared byte for byte. The
    exit code is 1 if anything is wrong.
    """
    found = verification.verify(
        folder, model, blocks=blocks, cond=cond, uncond=uncond, samplers=OF_DIFFUSERS
    )
    for problem in found.problems:
        click.echo(problem)
    again = f"{found.remade} of them made again" if model else "none made again without --model"
    files = f"{found.files} file" + "s" * (found.files != 1)
    click.echo(f"{found.samples} samples in {files}, {again}")
    click.echo(f"recipe {found.fingerprint}: {'wrong' if found.problems else 'right'}")
    if found.problems:
        ctx.exit(1)
