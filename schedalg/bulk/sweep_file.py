"""`SweepFile`: a table of `sweep` on disk, to which rows are added."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schedalg.bulk.files import append_line, remove_temporary, sync_folder, write
from schedalg.bulk.recipe import Recipe
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
from schedalg.checks import checked_path, shown
from schedalg.plugins import imported


def checked_file(out: object) -> Path:
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


class SweepFile:
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
        try:
            data = self.log.read_bytes()
        except FileNotFoundError:
            if self.of_parquet and self.path.exists():
                self.rows = rows_of(self.path.name, _csv_of_parquet(self.path))
        else:
            lines = data[: data.rfind(b"\n") + 1]
            self.rows = rows_of(self.log.name, lines)
            self.size, self.whole = len(data), len(lines)
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
            write([(self.log, lines)], replace=self.size > 0)
            sync_folder(self.log.parent)
            self.size = self.whole = sum(map(len, lines))
        self._check_alone()
        self.rows.append(row)

    def _check_alone(self) -> None:
        """Raise if another call wrote to the CSV file since this one did, on systems without locks.

        The size is looked at before a row is written, so that of two calls one goes on; and after,
        in case they wrote at one moment.

        Raises:
            ValueError: It did.
        """
        size = self.log.stat().st_size if self.log.exists() else 0
        if size != self.size:
            raise self.shared()

    def shared(self) -> ValueError:
        """Return what is said where another call writes to the table."""
        return ValueError(
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
