"""The commands of `schedalg`."""

import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np

import schedalg.bulk.generation as generation
import schedalg.bulk.verification as verification
import schedalg.running.backend as running
from schedalg.bulk.recipe import DTYPES, Recipe
from schedalg.command_line import plotting
from schedalg.command_line.arguments import (
    JSON,
    RECIPE,
    SAMPLER,
    SCHEDULE,
    SCHEDULES,
    SEEDS,
    SHAPE,
)
from schedalg.command_line.comparing import differences
from schedalg.command_line.converting import from_configuration, to_configuration
from schedalg.command_line.curve import drawn
from schedalg.command_line.files import OF_DIFFUSERS, is_configuration, recipe_of
from schedalg.command_line.listing import sigma_list
from schedalg.command_line.tables import csv, fitted, quantities, width
from schedalg.parameterization import Prediction
from schedalg.plan.text import columns
from schedalg.schedule import Schedule

#: Errors whose message says all.
FAILURES = (ValueError, TypeError, ImportError, OSError, MemoryError, RuntimeError)


class Failing(click.Group):
    """Commands whose errors are one message, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, click.exceptions.Exit, click.Abort):  # click ends by them
            raise
        except Exception as error:
            notes = getattr(error, "__notes__", [])
            if not notes and not isinstance(error, FAILURES):
                raise
            raise click.ClickException(_said_of(error, notes)) from error


def _said_of(error: Exception, notes: Sequence[str]) -> str:
    """Return what an error says; where a network or its factory raised it, also where that was."""
    if not notes:
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"  raised in {last.filename}, line {last.lineno}, in {last.name}"
    return "\n".join([f"{type(error).__name__}: {error}", *(f"  {note}" for note in notes), place])


def _examples(*lines: str) -> str:
    """Return examples for the end of a help text, whose lines click leaves as they are."""
    return "\n".join(["\b", "Examples:", *(f"  schedalg {line}" for line in lines)])


@click.group(
    cls=Failing,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_examples(
        'show "linear(1000) | subsample(every=10)"',
        'show "cosine(1000)[::10] | shift(3.0)"',
        'plan "karras(20)" --sampler "DPMSolverPP(order=2)"',
        'compare scheduler_config.json "scaled_linear(1000)"',
    ),
)
@click.version_option(package_name="schedalg")
def schedalg() -> None:
    """Noise schedules and samplers of diffusion models.

    A SCHEDULE is a constructor and, after "|", transforms; slices follow what they are of. Or it is
    the name of a .json file with a schedule, a plan or a scheduler_config.json of diffusers.

    The exit code is 0, or 1 if what was asked for failed or is not so, or 2 if the command was not
    understood.
    """


def _command(*examples: str) -> Callable[..., Any]:
    """Return a decorator that makes a function a command with examples of its use."""
    return schedalg.command(epilog=_examples(*examples))


_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="A table to be read, or all numbers to their last bit.",
)


def _as_text(form: str, data: dict[str, Any], table: dict[str, np.ndarray]) -> str:
    """Return data as JSON, or its table as CSV."""
    return json.dumps(data, allow_nan=False) if form == "json" else csv(table)


@_command(
    'show "linear(1000) | subsample(every=10)"',
    'show "flow(20, shift=3.0)" --format csv > flow.csv',
    'show "cosine(1000)" --format json > cosine.json',
)
@click.argument("schedule", callback=SCHEDULE)
@_FORMAT
def show(schedule: Schedule, form: str) -> None:
    """Show a schedule as a table and a curve.

    The table has a row for each point, the least noisy first; the curve is their log-SNR.
    """
    table = quantities(schedule)
    if form != "table":
        click.echo(_as_text(form, schedule.to_dict(), table))
        return
    click.echo(repr(schedule))
    click.echo(fitted({"point": np.arange(len(schedule)), **table}))
    if np.isfinite(table["log_snr"]).any():
        click.echo()
        click.echo(drawn(table["log_snr"], "log SNR, by point", max(width(otherwise=80), 30)))


@_command(
    'plan "linear(1000) | subsample(steps=10)" --sampler "DDIM()"',
    'plan "flow(20)" --sampler "Heun()" --prediction flow',
    'plan "karras(20)" --sampler "UniPC(3)" --format json > plan.json',
)
@click.argument("schedule", callback=SCHEDULE)
@click.option("--sampler", callback=SAMPLER, required=True, help='Such as "DPMSolverPP(order=2)".')
@click.option(
    "--prediction",
    type=click.Choice(get_args(Prediction)),
    help="What the network predicts: adds the columns by which x0 follows from its output.",
)
@_FORMAT
def plan(schedule: Schedule, sampler: Any, prediction: Any, form: str) -> None:
    """Show a sampler as its table of numbers.

    It has a row for each call of the network, the first call first.
    """
    if form == "json" and prediction is not None:
        raise click.UsageError("--prediction has no place in a plan's JSON: it is passed to run")
    found = sampler.plan(schedule)
    table = columns(found, prediction)
    if form != "table":
        click.echo(_as_text(form, found.to_dict(), table))
        return
    click.echo(found.table(prediction).partition("\n")[0])
    click.echo(fitted(table))


@_command(
    'compare "linear(1000)" "scaled_linear(1000, 1e-4, 0.02)"',
    'compare scheduler_config.json "linear(1000)" --tolerance 1e-6',
)
@click.argument("a", callback=SCHEDULE)
@click.argument("b", callback=SCHEDULE)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="The largest difference that does not count.",
)
@click.pass_context
def compare(ctx: click.Context, a: Schedule, b: Schedule, tolerance: float) -> None:
    """Show how much two schedules differ.

    The largest difference of each quantity, and where it is. Differences are relative, and absolute
    for timesteps and log-SNR. Points are compared one by one; if there are not equally many, those
    with the same timesteps are. The exit code is 0 if there are equally many, and no difference is
    above the tolerance; otherwise 1.
    """
    found = differences(a, b)
    if len(a) != len(b):
        click.echo(f"{len(a)} and {len(b)} points")
    titles = ("quantity", "difference", "point", "A", "B")
    values = map(np.array, zip(*found, strict=True))
    click.echo(fitted(dict(zip(titles, values, strict=True))))
    if len(a) != len(b) or any(each.largest > tolerance for each in found):
        ctx.exit(1)


@_command(
    'plot "linear(1000)" "cosine(1000)" -o curves.svg',
    'plot "flow(20)" "flow(20) | shift(3.0)" --output shift.png',
)
@click.argument("schedules", metavar="SCHEDULE...", nargs=-1, required=True, callback=SCHEDULES)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file; its name ends in .svg, .png, .pdf or another format of matplotlib.",
)
def plot(schedules: Mapping[str, Schedule], output: Path) -> None:
    """Plot the log-SNR of schedules by timestep.

    Schedules of up to 100 points have a mark at each of them.
    """
    plotting.plot(schedules, output)


@_command(
    'sigmas "karras(10, sigma_min=0.03, sigma_max=14.6)"',
    "sigmas \"linear(1000) | subsample(steps=20, spacing='karras')\"",
    'sigmas "flow(8, shift=3.0)"',
)
@click.argument("schedule", callback=SCHEDULE)
def sigmas(schedule: Schedule) -> None:
    """List noise levels for other tools.

    Noisiest first and 0 last, each to its last bit: sigma/alpha, as ComfyUI and k-diffusion take
    it, and of a flow t, which these call sigma too.
    """
    click.echo(", ".join(map(repr, sigma_list(schedule))))


@_command(
    "convert scheduler_config.json --steps 20 --shape 4,64,64 > a.json",
    "convert recipe.json > b.json",
)
@click.argument("source", metavar="FILE", callback=JSON)
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
    """Add the options of a network's keywords."""
    for name, what in (("uncond", "The same without the condition."), ("cond", "Its keywords.")):
        text = f'{what} "package.module:function" of a list of seeds.'
        command = click.option(f"--{name}", help=text, metavar="NAME")(command)
    return command


@_command(
    "generate recipe.json --model nets:make --seeds 0:50000 -o out",
    "generate recipe.json --model nets:make --seeds 7 --format png -o a",
    "generate recipe.json --model nets:make --seeds 7 --engine ray -o b",
)
@click.argument("recipe", metavar="RECIPE", callback=RECIPE)
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help='The network: "package.module:function", which returns it when it is called.',
)
@_conditions
@click.option("--seeds", callback=SEEDS, required=True, help="Such as 0:50000, or 0:10,20,31.")
@click.option("-o", "--output", required=True, help="The folder.")
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
@click.option("--gpus", type=click.FloatRange(min=0), help="For each actor, with ray.")
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

    RECIPE is a file with a recipe, such as convert prints. Stopped and called again, the command
    makes what is missing. Names are looked up among installed packages and in this folder.
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


@_command("verify out", "verify out --model nets:make --blocks 5")
@click.argument("folder")
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


@_command("backends")
def backends() -> None:
    """List what runs here, and why others do not."""
    for found in running.backends():
        said = "runs" if found.available else "does not run"
        reason = f": {found.reason}" if found.reason else ""
        click.echo(f"{found.name} {found.version} {said}{reason}")
