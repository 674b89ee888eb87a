"""The commands that show: `show`, `plan`, `compare`, `plot`, `sigmas`, `backends`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np

import schedalg.running.backend as running
from schedalg.command_line import plotting
from schedalg.command_line.arguments import FINITE, SAMPLER, SCHEDULE, SCHEDULES, examples
from schedalg.command_line.comparing import differences
from schedalg.command_line.curve import drawn
from schedalg.command_line.listing import sigma_list
from schedalg.command_line.tables import csv, fitted, quantities, width
from schedalg.parameterization import Prediction
from schedalg.plan.text import columns
from schedalg.schedule import Schedule

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


@click.command(
    epilog=examples(
        'show "linear(1000) | subsample(every=10)"',
        'show "flow(20, shift=3.0)" --format csv > flow.csv',
        'show "cosine(1000)" --format json > cosine.json',
    )
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


@click.command(
    epilog=examples(
        'plan "linear(1000) | subsample(steps=10)" --sampler "DDIM()"',
        'plan "flow(20)" --sampler "Heun()" --prediction flow',
        'plan "karras(20)" --sampler "UniPC(3)" --format json > plan.json',
    )
)
@click.argument("schedule", callback=SCHEDULE)
@SAMPLER
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


@click.command(
    epilog=examples(
        'compare "linear(1000)" "scaled_linear(1000, 1e-4, 0.02)"',
        'compare scheduler_config.json "linear(1000)" --tolerance 1e-6',
    )
)
@click.argument("a", callback=SCHEDULE)
@click.argument("b", callback=SCHEDULE)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    callback=FINITE,
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


@click.command(
    epilog=examples(
        'plot "linear(1000)" "cosine(1000)" -o curves.svg',
        'plot "flow(20)" "flow(20) | shift(3.0)" --output shift.png',
    )
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
    if not output.suffix:
        raise click.BadParameter(
            f"{output} has no ending: a name such as {output}.svg says the format",
            param_hint="--output",
        )
    plotting.plot(schedules, output)


@click.command(
    epilog=examples(
        'sigmas "karras(10, sigma_min=0.03, sigma_max=14.6)"',
        "sigmas \"linear(1000) | subsample(steps=20, spacing='karras')\"",
        'sigmas "flow(8, shift=3.0)"',
    )
)
@click.argument("schedule", callback=SCHEDULE)
def sigmas(schedule: Schedule) -> None:
    """List noise levels for other tools.

    Noisiest first and 0 last, each to its last bit: sigma/alpha, as ComfyUI and k-diffusion take
    it, and of a flow t, which these call sigma too.
    """
    click.echo(", ".join(map(repr, sigma_list(schedule))))


@click.command(epilog=examples("backends"))
def backends() -> None:
    """List what runs here, and why others do not."""
    for found in running.backends():
        said = "runs" if found.available else "does not run"
        reason = f": {found.reason}" if found.reason else ""
        click.echo(f"{found.name} {found.version} {said}{reason}")
