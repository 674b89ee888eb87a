"""`Sweep`: what was measured of many recipes, with standard errors, as a table and a plot."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from schedalg.bulk.seeds import distinct_seeds, seeds_to_json
from schedalg.checks import check_callable, shown
from schedalg.plotting.axes import axes_or_new
from schedalg.plotting.marks import legend_text, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The columns before those of what is measured.
COLUMNS = ("recipe", "fingerprint", "calls", "seeds", "samples")


class Row(NamedTuple):
    """What was measured of one recipe on one block of seeds.

    Attributes:
        recipe: The name of the recipe.
        fingerprint: Its fingerprint.
        calls: How often the network is called for a sample; None for a sampler without a plan.
        seeds: The seeds, as "start:stop:step" or as numbers with spaces between.
        samples: How many they are.
        values: What was measured, by name.
    """

    recipe: str
    fingerprint: str
    calls: int | None
    seeds: str
    samples: int
    values: dict[str, float]


class Average(NamedTuple):
    """The mean over the samples of a recipe, and its standard error.

    Attributes:
        recipe: The name of the recipe.
        calls: How often the network is called for a sample; None for a sampler without a plan.
        samples: How many samples there are.
        blocks: How many blocks of seeds.
        mean: The mean of each measure, each block weighed by its samples.
        error: The standard error of each, from the differences between blocks: NaN for one block.
    """

    recipe: str
    calls: int | None
    samples: int
    blocks: int
    mean: dict[str, float]
    error: dict[str, float]


@dataclass(frozen=True)
class Sweep:
    """What `sweep` measured: a row for each recipe and block of seeds.

    Attributes:
        rows: The rows, in the order in which they were measured.

    Example:
        >>> from schedalg.bulk.sweep_table import Row, Sweep
        >>> rows = [Row("DDIM/5", "3f…", 5, f"{k}:{k + 1}:1", 1, {"error": k}) for k in (1, 3)]
        >>> print(Sweep(tuple(rows)))
        recipe calls samples error ±
        DDIM/5     5       2     2 1
    """

    rows: tuple[Row, ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of what was measured."""
        return tuple(self.rows[0].values) if self.rows else ()

    def averages(self) -> list[Average]:
        """Return the mean and the standard error of each recipe, in the order of the rows.

        With the share w of each block's samples and the mean m, the standard error is
        sqrt(K / (K - 1) Σ w² (value - m)²), for K blocks: of blocks of one size, their standard
        deviation over sqrt(K).
        """
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.recipe, []).append(row)
        return [_average(name, rows) for name, rows in groups.items()]

    def __str__(self) -> str:
        heads = ["recipe", "calls", "samples"]
        for name in self.measures:
            heads += [name, "±"]
        lines = [heads]
        for each in self.averages():
            line = [each.recipe, "" if each.calls is None else str(each.calls), str(each.samples)]
            for name in self.measures:
                line += [f"{each.mean[name]:.4g}", f"{each.error[name]:.2g}"]
            lines.append(line)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            " ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in lines
        )

    def plot(
        self,
        measure: str | None = None,
        *,
        series: Callable[[str], str] | None = None,
        ax: "Axes | None" = None,
    ) -> Any:
        """Draw a measure against the calls of the network, with standard errors (needs matplotlib).

        Args:
            measure: What is drawn. None: the first.
            series: A function of a recipe's name that returns the name of its line. None: what
                stands before the last "/", so that "DDIM/10" is a point of "DDIM".
            ax: Axes of matplotlib to draw on. None: those of a new figure.

        Returns:
            The axes: `axes.figure.savefig("sweep.svg")` saves them.

        Raises:
            TypeError: `series` is not callable, or `ax` is not axes.
            ValueError: There is no such measure, a sampler has no plan, and so no fixed number of
                calls, or the name of a line begins with "_".
            ImportError: matplotlib is not installed.
        """
        if measure is None and self.rows:
            measure = self.measures[0]
        if measure not in self.measures:
            if not self.measures:
                raise ValueError("the table is empty, and holds no measure that could be drawn")
            listed = ", ".join(self.measures)
            raise ValueError(f"measure must be one of {listed}; got {shown(measure)}")
        if series is not None:
            check_callable("series", series)
        lines: dict[str, list[Average]] = {}
        for each in self.averages():
            if each.calls is None:
                raise ValueError(
                    f"recipe {each.recipe!r} has a sampler without a plan, and so no fixed number "
                    "of calls to be drawn at"
                )
            line = _before_slash(each.recipe) if series is None else series(each.recipe)
            lines.setdefault(line, []).append(each)
        axes = axes_or_new(ax)
        for line, points in lines.items():
            points.sort(key=lambda each: each.calls or 0)
            axes.errorbar(
                [float(each.calls or 0) for each in points],
                [each.mean[measure] for each in points],
                [each.error[measure] for each in points],
                capsize=2,
                label=legend_text("a name of series", line),
                **series_style(len(axes.containers)),
            )
        axes.set_xscale("log")
        axes.set_xlabel("calls of the network")
        axes.set_ylabel(measure)
        axes.legend()
        return axes


def _before_slash(name: str) -> str:
    return name.rpartition("/")[0] or name


def _average(name: str, rows: Sequence[Row]) -> Average:
    samples, count = sum(row.samples for row in rows), len(rows)
    shares = [row.samples / samples for row in rows]
    mean, error = {}, {}
    for measure in rows[0].values:
        values = [row.values[measure] for row in rows]
        middle = math.fsum(w * v for w, v in zip(shares, values, strict=True))
        squares = math.fsum((w * (v - middle)) ** 2 for w, v in zip(shares, values, strict=True))
        mean[measure] = middle
        error[measure] = math.sqrt(count / (count - 1) * squares) if count > 1 else math.nan
    return Average(name, rows[0].calls, samples, count, mean, error)


def seeds_text(seeds: Sequence[int]) -> str:
    """Return the seeds of a block as a text: "start:stop:step", or numbers with spaces between."""
    data = seeds_to_json(seeds)
    if isinstance(data, Mapping):
        return f"{data['start']}:{data['stop']}:{data['step']}"
    return " ".join(map(str, data))


def seeds_of_text(text: str) -> Sequence[int]:
    """Return the seeds of a text that `seeds_text` made.

    Raises:
        ValueError: It made none such.
    """
    numbers = [int(number) for number in text.replace(":", " ").split(" ")]
    seeds = distinct_seeds(range(*numbers) if ":" in text else numbers)
    if seeds_text(seeds) != text:
        raise ValueError(f"its seeds are {shown(text)}, which is not what sweep writes")
    return seeds


def csv_line(cells: Sequence[Any]) -> str:
    """Return a line of a CSV file. Floats are written so that they are read as they were."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def cells_of(row: Row) -> list[Any]:
    """Return the cells of a row."""
    calls = "" if row.calls is None else row.calls
    values = [repr(value) for value in row.values.values()]
    return [row.recipe, row.fingerprint, calls, row.seeds, row.samples, *values]


def rows_of(name: str, data: bytes) -> list[Row]:
    """Return the rows of a CSV file that `sweep` wrote.

    Raises:
        ValueError: It is not such a file, or is damaged.
    """
    try:
        lines = csv.reader(io.StringIO(data.decode()))
    except UnicodeDecodeError as error:
        raise ValueError(f"out: {name} is damaged: {error}") from None
    heads: list[str] = []
    rows: dict[tuple[str, str], Row] = {}
    try:
        heads = next(lines, [])
        for cells in lines if tuple(heads[: len(COLUMNS)]) == COLUMNS else ():
            row = _row(heads, cells)
            if rows.setdefault((row.recipe, row.seeds), row) is not row:
                raise ValueError(f"it has the seeds {row.seeds} of {row.recipe!r} a second time")
    except (ValueError, TypeError, csv.Error) as error:
        raise ValueError(f"out: line {lines.line_num} of {name} is damaged: {error}") from None
    if tuple(heads[: len(COLUMNS)]) != COLUMNS:
        raise ValueError(
            f"out: {name} is not a table of sweep, whose columns begin with {', '.join(COLUMNS)}; "
            f"got {shown(heads)}"
        )
    return list(rows.values())


def _row(heads: Sequence[str], cells: Sequence[str]) -> Row:
    """Return the row of a line.

    Raises:
        TypeError: Its seeds are none.
        ValueError: A cell is not what `sweep` writes.
    """
    if len(cells) != len(heads):
        raise ValueError(f"it has {len(cells)} cells, and there are {len(heads)} columns")
    recipe, fingerprint, calls, seeds, samples, *values = cells
    row = Row(
        recipe,
        fingerprint,
        int(calls) if calls else None,
        seeds,
        int(samples),
        dict(zip(heads[len(COLUMNS) :], map(float, values), strict=True)),
    )
    if row.calls is not None and row.calls < 0:
        raise ValueError(f"its calls are {row.calls}")
    if (count := len(seeds_of_text(seeds))) != row.samples:
        raise ValueError(f"it has {row.samples} samples of {count} seeds")
    for name, value in row.values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name!r} is {value}, which is not finite")
    return row


def shared_seed(blocks: Iterable[str]) -> tuple[str, str, int] | None:
    """Return two blocks that share a seed, and the seed; None if there are no such.

    Args:
        blocks: The seeds of each, as texts.
    """
    places: dict[int, str] = {}
    for block in blocks:
        for seed in seeds_of_text(block):
            if (earlier := places.setdefault(seed, block)) is not block:
                return earlier, block, seed
    return None
