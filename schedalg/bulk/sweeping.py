"""`sweep`: many recipes measured on the same seeds, into one table."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from schedalg.arrays import Array
from schedalg.bulk.factories import network_of
from schedalg.bulk.files import alone
from schedalg.bulk.keywords import Keywords
from schedalg.bulk.making import Maker, Network
from schedalg.bulk.recipe import Recipe
from schedalg.bulk.seeds import distinct_seeds, seeds_named
from schedalg.bulk.sweep_file import SweepFile, checked_file
from schedalg.bulk.sweep_table import COLUMNS, Row, Sweep, seeds_text
from schedalg.checks import (
    check_callable,
    flag,
    positive_integer,
    raise_stopped,
    real_number,
    shown,
)
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model
from schedalg.plugins import imported

#: A function of samples (B, ...) and their seeds that returns a number, or numbers by name.
Measure: TypeAlias = Callable[[Array, list[int]], float | Mapping[str, float]]


def sweep(
    model: Model | AnyDenoiser | str,
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int],
    measure: Measure,
    out: str | os.PathLike[str],
    *,
    batch_size: int,
    like: Array | None = None,
    cond: Keywords | str | None = None,
    uncond: Keywords | str | None = None,
    check_finite: bool = True,
    progress: bool = False,
) -> Sweep:
    """Measure many recipes on the same seeds, and write a table with a row for each block of seeds.

    Stopped and called again, it measures what is missing, and the table is byte for byte that of an
    undisturbed call. A call with more recipes, or with more seeds in whole blocks, adds rows. While
    a call measures, another one with the same table and something to measure raises.

    Args:
        model: The network of all recipes, as `generate` takes it.
        recipes: The recipes by name. "DDIM/10" is drawn as a point of the line "DDIM".
        seeds: A range, or a list of integers of which none is there twice. All recipes get the same
            seeds, so that differences between them are more certain than each of them.
        measure: Called with the samples of a block, (B, ...), and the list of their seeds. It
            returns a number, the mean over these samples, or several by name.
        out: The table: "….csv", or "….parquet" (needs pyarrow), which is written when all is
            measured and held in "….parquet.csv" in the same folder until then.
        batch_size: The number of seeds in a block.
        like: As in `generate`.
        cond: As in `generate`.
        uncond: As in `generate`.
        check_finite: As in `generate`.
        progress: Show a bar (needs tqdm).

    Returns:
        The table, with means and standard errors: `print(result)`, `result.plot()`.

    Raises:
        TypeError: An argument is of the wrong type, or `measure` returns no numbers.
        ValueError: An argument has a wrong value, blocks of seeds overlap with those of the table,
            the table is of other recipes or damaged, another call writes to it, or the network
            returned NaN or infinity, or a sample became so.
        ImportError: A package is missing.
        Exception: What the network or `measure` raises, with a note that names the seeds.

    Example:
        >>> import tempfile
        >>> from schedalg import DDIM, Heun, Recipe, Schedule, sweep
        >>> recipes = {
        ...     f"{sampler}/{n}": Recipe(schedule=Schedule.karras(n), sampler=kind(), shape=(4,))
        ...     for sampler, kind in (("DDIM", DDIM), ("Heun", Heun))
        ...     for n in (4, 8)
        ... }
        >>> def model(x, sigma):  # the perfect network for standard normal data
        ...     return x * (sigma / (1 + sigma**2))[:, None]
        >>> def spread(samples, seeds):
        ...     return {"variance": (samples**2).mean()}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = sweep(
        ...         model, recipes, range(100), spread, folder + "/table.csv", batch_size=20
        ...     )
        >>> print(found)
        recipe calls samples variance     ±
        DDIM/4     4     100   0.2286 0.011
        DDIM/8     8     100   0.5056 0.025
        Heun/4     7     100    15.99  0.78
        Heun/8    15     100    1.784 0.087
    """
    named = _checked_recipes(recipes)
    check_callable("measure", measure)
    table = SweepFile(checked_file(out))
    chosen = distinct_seeds(seeds)
    size = positive_integer("batch_size", batch_size)
    finite, progress = flag("check_finite", check_finite), flag("progress", progress)
    blocks = [distinct_seeds(chosen[k : k + size]) for k in range(0, len(chosen), size)]
    _check_texts(blocks, size)
    table.path.parent.mkdir(parents=True, exist_ok=True)
    with alone(table.path) as only:
        there = table.opened(named)
        wanted = [(name, block) for name in named for block in blocks]
        missing = [
            (name, block) for name, block in wanted if (name, seeds_text(block)) not in there
        ]
        table.check_apart(missing)
        if missing and not only:
            raise table.shared()
        if missing:
            network, place = network_of(model, like)
            given = Network(network, place, cond, uncond, finite)
            makers = {name: Maker(recipe, given) for name, recipe in named.items()}
            for name, block in _counted(missing, len(wanted), progress):
                samples = makers[name].samples(list(block))
                values = _measured(measure, samples, list(block))
                calls, text = named[name].model_calls, seeds_text(block)
                table.add(Row(name, named[name].fingerprint, calls, text, len(block), values))
        return table.finished() if only else Sweep(tuple(table.rows))


def _checked_recipes(recipes: Any) -> dict[str, Recipe]:
    if not isinstance(recipes, Mapping):
        raise TypeError(f"recipes must be a mapping from names to recipes, got {shown(recipes)}")
    for name, recipe in recipes.items():
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f"recipes must be named by strings of one line, got {shown(name)}")
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipes[{shown(name)}] must be a Recipe, got {shown(recipe)}")
    if not recipes:
        raise ValueError("recipes is empty: there is nothing to measure")
    return dict(recipes)


def _check_texts(blocks: Sequence[Sequence[int]], batch_size: int) -> None:
    """Raise if a cell of a CSV file cannot hold the seeds of a block.

    Raises:
        ValueError: It cannot.
    """
    most = csv.field_size_limit()
    for block in blocks:
        if not isinstance(block, range) and len(seeds_text(block)) > most:
            raise ValueError(
                f"batch_size is {batch_size}, and so many uneven seeds are more than the {most} "
                "characters of a cell: use a smaller batch_size, or a range"
            )


def _measured(measure: Measure, samples: Array, seeds: list[int]) -> dict[str, float]:
    """Return what was measured, by name.

    Raises:
        TypeError: It is neither a number nor a mapping from names to numbers.
        ValueError: A number is not finite.
        Exception: What `measure` raises, with a note that names the seeds.
    """
    try:
        found: Any = measure(samples, seeds)
    except StopIteration as error:
        raise_stopped(error, "measure")
    except Exception as error:
        error.add_note(f"while measuring the samples of seeds {seeds_named(seeds)}")
        raise
    if not isinstance(found, Mapping):
        found = {"measure": found}
    for name in found:
        if not isinstance(name, str) or not name or not name.isprintable() or name in COLUMNS:
            raise ValueError(
                f"measure must return numbers by names of one line, other than "
                f"{', '.join(COLUMNS)}; got {shown(name)}"
            )
    what = f"what measure returns for seeds {seeds_named(seeds)}"
    return {name: real_number(f"{what}, {name!r},", value) for name, value in found.items()}


def _counted(
    missing: Sequence[tuple[str, Sequence[int]]], total: int, progress: bool
) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield what is missing, and show on a bar how much of all is done.

    Raises:
        ImportError: tqdm is not installed.
    """
    if not progress:
        yield from missing
        return
    tqdm = imported("tqdm.auto", "progress=True", "progress").tqdm
    yield from tqdm(missing, total=total, initial=total - len(missing), unit="block")
