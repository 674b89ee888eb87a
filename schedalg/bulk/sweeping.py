"""`sweep`: many recipes measured on the same seeds, into one table."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from schedalg.arrays import Array
from schedalg.bulk.factories import network_of
from schedalg.bulk.files import append_line, remove_temporary, sync_folder, write
from schedalg.bulk.folder import checked_path
from schedalg.bulk.making import Maker, Network
from schedalg.bulk.recipe import Keywords, Recipe
from schedalg.bulk.seeds import distinct_seeds, seeds_named
from schedalg.bulk.sweep_table import (
    COLUMNS,
    Row,
    Sweep,
    cells_of,
    csv_line,
    rows_of,
    seeds_text,
    shared_seed,
)
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
    undisturbed call. A call with more recipes, or with more seeds in whole blocks, adds rows. Where
    two calls write to one table at the same time, one of them raises.

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
    table = _Table(_checked_file(out))
    chosen = distinct_seeds(seeds)
    size = positive_integer("batch_size", batch_size)
    finite, progress = flag("check_finite", check_finite), flag("progress", progress)
    blocks = [distinct_seeds(chosen[k : k + size]) for k in range(0, len(chosen), size)]
    _check_texts(blocks, size)
    there = table.opened(named)
    wanted = [(name, block) for name in named for block in blocks]
    missing = [(name, block) for name, block in wanted if (name, seeds_text(block)) not in there]
    table.check_apart(missing)
    if missing:
        network, place = network_of(model, like)
        given = Network(network, place, cond, uncond, finite)
        makers = {name: Maker(recipe, given) for name, recipe in named.items()}
        for name, block in _counted(missing, len(wanted), progress):
            samples = makers[name].samples(list(block))
            values = _measured(measure, samples, list(block))
            calls, text = named[name].model_calls, seeds_text(block)
            table.add(Row(name, named[name].fingerprint, calls, text, len(block), values))
    return table.finished()


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


def _checked_file(out: object) -> Path:
    """Return the path of a table.

    Raises:
        TypeError: It is not a path.
        ValueError: It has no known suffix.
        ImportError: pyarrow is not installed.
    """
    path = checked_path("out", out, "a table")
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"out must end in .csv or .parquet, got {shown(path.name)}")
    if path.suffix == ".parquet":
        _pyarrow("pyarrow.parquet")
    return path


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
        if not isinstance(name, str) or not name.isprintable() or name in COLUMNS:
            raise ValueError(
                f"measure must return numbers by names of one line, other than "
                f"{', '.join(COLUMNS)}; got {shown(name)}"
            )
    what = f"what measure returns for seeds {seeds_named(seeds)}"
    return {name: real_number(f"{what}, {name!r},", value) for name, value in found.items()}


class _Table:
    """A table on disk: a CSV file to which rows are added, and at the end perhaps a Parquet file.

    Args:
        path: The table that is wanted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.of_parquet = path.suffix == ".parquet"
        self.log = path.with_name(f"{path.name}.csv") if self.of_parquet else path
        self.rows: list[Row] = []
        #: Bytes of the CSV file, of which the last may be of a line that was cut.
        self.size = 0
        self.whole = 0

    def opened(self, recipes: Mapping[str, Recipe]) -> set[tuple[str, str]]:
        """Return which rows there are, by recipe and seeds.

        Raises:
            ValueError: The file is not a table of `sweep`, is damaged, or names another recipe.
        """
        if self.log.exists():
            data = self.log.read_bytes()
            lines = data[: data.rfind(b"\n") + 1]
            self.rows = rows_of(self.log.name, lines)
            self.size, self.whole = len(data), len(lines)
        elif self.of_parquet and self.path.exists():
            self.rows = rows_of(self.path.name, _csv_of_parquet(self.path))
        for row in self.rows:
            recipe = recipes.get(row.recipe)
            if recipe is not None and recipe.fingerprint != row.fingerprint:
                raise ValueError(
                    f"out: {self.path} has another recipe with the name {row.recipe!r}, of the "
                    f"fingerprint {row.fingerprint}; this one has {recipe.fingerprint}: use "
                    "another name, or another table"
                )
        return {(row.recipe, row.seeds) for row in self.rows}

    def check_apart(self, missing: Sequence[tuple[str, Sequence[int]]]) -> None:
        """Raise if blocks that are missing share a seed with others of the recipe.

        Raises:
            ValueError: They do, or blocks of the table do.
        """
        of_rows: dict[str, list[str]] = {}
        for row in self.rows:
            of_rows.setdefault(row.recipe, []).append(row.seeds)
        of_call: dict[str, list[str]] = {}
        for name, block in missing:
            of_call.setdefault(name, []).append(seeds_text(block))
        seen = set()
        for name, there in of_rows.items():
            blocks = (*there, *of_call.get(name, ()))
            if blocks in seen:
                continue
            seen.add(blocks)
            if (found := shared_seed(blocks)) is None:
                continue
            earlier, later, seed = found
            if later in there:
                raise ValueError(
                    f"out: {self.path} is damaged: its blocks of seeds {earlier} and {later} of "
                    f"{name!r} share the seed {seed}"
                )
            raise ValueError(
                f"seeds or batch_size: {self.path} has a block of seeds {earlier} of {name!r}, and "
                f"this call one of {later}, which share the seed {seed}: each is measured once. "
                "Use the same batch_size and whole blocks of seeds, or another table"
            )

    def add(self, row: Row) -> None:
        """Write a row.

        Raises:
            ValueError: It has other measures than the rows before it, or another call writes rows.
        """
        if self.rows and row.values.keys() != self.rows[0].values.keys():
            raise ValueError(
                f"measure returned {', '.join(row.values)} for {row.recipe!r}, and {self.path} has "
                f"{', '.join(self.rows[0].values)}"
            )
        self._check_alone()
        if self.rows and self.size:
            if self.whole < self.size:
                os.truncate(self.log, self.whole)
            line = csv_line(cells_of(row)).encode()
            append_line(self.log, line)
            self.size = self.whole = self.whole + len(line)
        else:
            cells = [[*COLUMNS, *row.values], *map(cells_of, [*self.rows, row])]
            lines = [csv_line(line).encode() for line in cells]
            self.log.parent.mkdir(parents=True, exist_ok=True)
            write([(self.log, lines)], replace=self.size > 0)
            sync_folder(self.log.parent)
            self.size = self.whole = sum(map(len, lines))
        self._check_alone()
        self.rows.append(row)

    def _check_alone(self) -> None:
        """Raise if another call wrote to the CSV file since this one did.

        A lock would be left behind by a call that is killed. The size is looked at before a row is
        written, so that of two calls one goes on; and after, in case they wrote at one moment.

        Raises:
            ValueError: It did.
        """
        size = self.log.stat().st_size if self.log.exists() else 0
        if size != self.size:
            raise ValueError(
                f"out: another call writes to {self.path} at the same time. What it has is kept: "
                "call the same again when the other has ended"
            )

    def finished(self) -> Sweep:
        """Return the table, and write it as Parquet if that is wanted."""
        if self.of_parquet and self.log.exists():
            write([(self.path, [_parquet(self.rows)])])
            sync_folder(self.path.parent)
            self._check_alone()
            self.log.unlink()
        remove_temporary(self.path.parent, [self.path.name, self.log.name])
        return Sweep(tuple(self.rows))


def _parquet(rows: Sequence[Row]) -> bytes:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    for name in rows[0].values:
        columns[name] = arrow.array([row.values[name] for row in rows], arrow.float64())
    columns["calls"] = arrow.array(columns["calls"], arrow.int64())
    file = io.BytesIO()
    parquet.write_table(arrow.table(columns), file)
    return file.getvalue()


def _csv_of_parquet(path: Path) -> bytes:
    """Return a Parquet table as the CSV file that it was made of.

    Raises:
        ValueError: It is damaged.
    """
    try:
        table = _pyarrow("pyarrow.parquet").read_table(path, partitioning=None)
        columns = [column.to_pylist() for column in table.columns]
        lines = [
            ["" if cell is None else cell for cell in cells] for cells in zip(*columns, strict=True)
        ]
        return "".join(map(csv_line, [table.column_names, *lines])).encode()
    except Exception as error:
        raise ValueError(f"out: {path} is damaged: {error}") from None


def _pyarrow(module: str) -> Any:
    return imported(module, "a table that ends in .parquet", "parquet")


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
