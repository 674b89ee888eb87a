"""Tables of recipes: what their rows hold, their means and standard errors, and faults."""

import csv
import errno
import importlib
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docs import sweep_table as docs
from schedalg import DDIM, DDPM, Heun, Recipe, Schedule, Sweep, sweep
from schedalg.bulk.sweep_table import Row
from tests.bulk.few import RECIPE, network

RECIPES = {
    "DDPM/3": RECIPE,
    "DDIM/3": replace(RECIPE, sampler=DDIM()),
    "DDIM/2": replace(RECIPE, sampler=DDIM(), schedule=RECIPE.schedule[1:]),
}


def mean(samples: Any, seeds: list[int]) -> dict[str, float]:
    return {"mean": float(samples.mean()), "seeds, summed": float(sum(seeds))}


def swept(out: Path, recipes: Any = RECIPES, seeds: Any = range(8), **options: Any) -> Sweep:
    measure = options.pop("measure", mean)
    model = options.pop("model", network)
    return sweep(model, recipes, seeds, measure, out, **{"batch_size": 3, **options})


def never(*arguments: Any) -> Any:
    raise AssertionError("there is nothing to measure")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_row_holds_what_was_measured_on_a_block(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"table.{suffix}"
    found = swept(path)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert len(found.rows) == 9
    for row, (name, seeds) in zip(
        found.rows,
        [(name, seeds) for name in RECIPES for seeds in (range(3), range(3, 6), range(6, 8))],
        strict=True,
    ):
        recipe = RECIPES[name]
        assert (row.recipe, row.fingerprint) == (name, recipe.fingerprint)
        assert (row.calls, row.samples) == (len(recipe.schedule), len(seeds))
        assert row.seeds == f"{seeds.start}:{seeds.stop}:1"
        assert row.values == mean(recipe.sample(network, seeds), list(seeds))
    again = swept(path, model=never, measure=never)
    assert again == found
    if suffix == "csv":
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert float(rows[4]["mean"]) == found.rows[4].values["mean"]
    else:
        rows = importlib.import_module("pyarrow.parquet").read_table(path).to_pylist()
        assert rows[4]["mean"] == found.rows[4].values["mean"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_grows_by_recipes_and_by_whole_blocks(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"table.{suffix}"
    swept(path, {"DDPM/3": RECIPE}, range(6))
    counted: list[int] = []

    def measure(samples: Any, seeds: list[int]) -> Any:
        counted.extend(seeds)
        return mean(samples, seeds)

    found = swept(path, seeds=range(9), measure=measure)
    assert counted == [6, 7, 8, *range(9), *range(9)]
    assert len(found.rows) == 9
    assert sorted(found.rows) == sorted(swept(tmp_path / "whole.csv", seeds=range(9)).rows)


def rows(values: list[float], counts: list[int], name: str = "a/1", calls: int = 1) -> list[Row]:
    return [
        Row(name, "", calls, str(k), count, {"error": value})
        for k, (value, count) in enumerate(zip(values, counts, strict=True))
    ]


def test_the_standard_error_of_equal_blocks_is_the_textbooks() -> None:
    values = [1.0, 4.0, 2.5, 8.0]
    (found,) = Sweep(tuple(rows(values, [5] * 4))).averages()
    assert found.mean["error"] == np.mean(values)
    assert found.error["error"] == pytest.approx(np.std(values, ddof=1) / 2, rel=1e-15)
    assert (found.samples, found.blocks) == (20, 4)


def test_the_mean_of_blocks_is_that_of_all_samples() -> None:
    samples = np.random.default_rng(0).normal(size=(10, 6))
    blocks = [samples[:4], samples[4:8], samples[8:]]
    table = rows([float(block.mean()) for block in blocks], [len(block) for block in blocks])
    (found,) = Sweep(tuple(table)).averages()
    assert found.mean["error"] == pytest.approx(samples.mean(), rel=1e-13)


def test_the_standard_error_of_unequal_blocks_is_right_on_average() -> None:
    random = np.random.default_rng(1)
    counts = [4, 4, 4, 4, 4, 1]
    squares = []
    for _ in range(4000):
        values = [float(random.normal(scale=n**-0.5)) for n in counts]
        (found,) = Sweep(tuple(rows(values, counts))).averages()
        squares.append(found.error["error"] ** 2)
    # The variance of the mean of 21 samples; the estimate is of it to 1/n of the blocks.
    assert np.mean(squares) == pytest.approx(1 / sum(counts), rel=0.06)


def test_one_block_has_no_standard_error() -> None:
    (found,) = Sweep(tuple(rows([2.0], [3]))).averages()
    assert found.mean == {"error": 2.0}
    assert math.isnan(found.error["error"])
    assert Sweep(()).averages() == []
    assert str(Sweep(())) == "recipe calls samples"


def test_a_plot_has_a_line_for_each_sampler() -> None:
    pytest.importorskip("matplotlib")
    table = [
        *rows([1.0, 3.0], [2, 2], "Heun/4", 7),
        *rows([4.0, 6.0], [2, 2], "Heun/2", 3),
        *rows([5.0, 5.0], [2, 2], "DDIM/4", 4),
        *rows([9.0, 9.0], [2, 2], "lone", 4),
    ]
    axes = Sweep(tuple(table)).plot()
    lines = {each.get_label(): each.lines[0].get_xydata() for each in axes.containers}
    assert set(lines) == {"Heun", "DDIM", "lone"}
    assert lines["Heun"].tolist() == [[3.0, 5.0], [7.0, 2.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("calls of the network", "error")
    one = Sweep(tuple(table)).plot("error", series=lambda name: "all", ax=axes)
    assert one is axes
    assert len(axes.containers) == 4


def test_a_network_by_name_is_made_once(tmp_path: Path) -> None:
    found = swept(tmp_path / "a.csv", model="tests.bulk.few:factory")
    assert found == swept(tmp_path / "b.csv")


def test_a_bar_counts_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    swept(tmp_path / "table.csv", seeds=range(3))
    swept(tmp_path / "table.csv", progress=True)
    assert "9/9" in capsys.readouterr().err


def test_a_line_that_was_cut_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    swept(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    swept(path)
    assert path.read_bytes() == whole


def test_what_fails_names_the_seeds_and_loses_nothing(tmp_path: Path) -> None:
    def broken(samples: Any, seeds: list[int]) -> Any:
        if 6 in seeds:
            raise RuntimeError("of its own")
        return mean(samples, seeds)

    path = tmp_path / "table.csv"
    with pytest.raises(RuntimeError, match="of its own") as caught:
        swept(path, measure=broken)
    assert caught.value.__notes__ == ["while measuring the samples of seeds 6, 7"]
    assert len(path.read_text().splitlines()) == 3
    swept(path)
    swept(tmp_path / "whole.csv")
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()


OTHER = {"DDPM/3": replace(RECIPE, clip=None)}
FAULTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a list": ({"recipes": [RECIPE]}, TypeError, "recipes must be a mapping"),
    "none": ({"recipes": {}}, ValueError, "recipes is empty"),
    "no name": ({"recipes": {"a\nb": RECIPE}}, ValueError, "recipes must be named .*one line"),
    "no recipe": ({"recipes": {"a": 3}}, TypeError, r"recipes\['a'\] must be a Recipe"),
    "another recipe": ({"recipes": OTHER}, ValueError, "another recipe with the name 'DDPM/3'"),
    "a seed twice": ({"seeds": [1, 1]}, ValueError, r"seeds\[1\] is 1"),
    "too many seeds": ({"seeds": range(2**63)}, ValueError, "seeds are more than"),
    "another suffix": ({"out": Path("table.txt")}, ValueError, r"out must end in .csv or .parquet"),
    "no path": ({"out": 3}, TypeError, "out must be the path of a table"),
    "no batch": ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "no measure": ({"measure": 3}, TypeError, "measure must be callable"),
    "no number": (
        {"measure": lambda samples, seeds: "good", "seeds": range(9, 12)},
        TypeError,
        "what measure returns for seeds 9, 10, 11, 'measure', must be a real number",
    ),
    "NaN": (
        {"measure": lambda samples, seeds: math.nan, "seeds": range(9, 12)},
        ValueError,
        "must be finite, got nan",
    ),
    "an empty name": (
        {"measure": lambda samples, seeds: {"": 1.0}, "seeds": range(9, 12)},
        ValueError,
        "measure must return numbers by names .*; got ''",
    ),
    "a name that is taken": (
        {"measure": lambda samples, seeds: {"calls": 1.0}, "seeds": range(9, 12)},
        ValueError,
        "measure must return numbers by names .*; got 'calls'",
    ),
    "other measures": (
        {"measure": lambda samples, seeds: 1.0, "seeds": range(9, 12)},
        ValueError,
        "measure returned measure for 'DDPM/3', and .*table.csv has mean",
    ),
    "NaN of the network": (
        {"model": lambda x, t: x * np.nan, "seeds": range(9, 12)},
        ValueError,
        "for seeds 9, 10, 11",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str) -> None:
    given, error, message = FAULTS[fault]
    path = tmp_path / "table.csv"
    swept(path)
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        swept(**{"out": path, **given})
    assert path.read_bytes() == before


HEADS = "recipe,fingerprint,calls,seeds,samples,x\n"
NO_TABLES = {
    "a,b\n1,2\n": "table.csv is not a table of sweep",
    "a,b\n1,2": "table.csv is not a table of sweep",
    "": "table.csv is not a table of sweep",
    HEADS + "a,b,1,0:1:1,one,2\n": "line 2 of table.csv",
    HEADS + "a,b,1\n": "it has 3 cells",
    HEADS + "a,b,1,0:1:1,1,nan\n": "line 2 of table.csv is damaged: 'x' is nan",
    HEADS + "a,b,1,0:1:1,1,-inf\n": "line 2 of table.csv is damaged: 'x' is -inf",
    HEADS + "a,b,-1,0:1:1,1,2\n": "line 2 of table.csv is damaged: its calls are -1",
    HEADS + "a,b,1,0:1:1,-1,2\n": "line 2 of table.csv is damaged: it has -1 samples of 1 seeds",
    HEADS + "a,b,1,0:2:1,1,2\n": "line 2 of table.csv is damaged: it has 1 samples of 2 seeds",
    HEADS + "a,b,1,00:1:1,1,2\n": "line 2 of table.csv is damaged: its seeds are '00:1:1'",
    HEADS + "a,b,1,0:1:1:1,1,2\n": "line 2 of table.csv is damaged: range expected",
    HEADS + "a,b,1,3 3,2,2\n": r"line 2 of table.csv is damaged: seeds\[1\] is 3",
    HEADS + 2 * "a,b,1,0:1:1,1,2\n": "line 3 .* it has the seeds 0:1:1 of 'a' a second time",
    HEADS + "a,b,1,0:2:1,2,2\na,b,1,1:3:1,2,2\n": "0:2:1 and 1:3:1 of 'a' share the seed 1",
    HEADS + "a" * 140_000 + ",b,1,0:1:1,1,2\n": "line 2 of table.csv is damaged: field larger",
    HEADS + "a\udcff,b,1,0:1:1,1,2\n": "table.csv is damaged: 'utf-8'",
}


@pytest.mark.parametrize("text", NO_TABLES, ids=range(len(NO_TABLES)))
def test_files_that_are_no_tables_are_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=NO_TABLES[text]):
        swept(path, model=never)
    assert path.read_bytes() == text.encode(errors="surrogateescape")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        ({"seeds": range(10)}, "6:8:1 .* 6:9:1, which share the seed 6"),
        ({"batch_size": 4}, "0:3:1 .* 0:4:1, which share the seed 0"),
        ({"seeds": range(7, -1, -1)}, "6:8:1 .* 7:4:-1, which share the seed 7"),
        ({"seeds": [9, 11, 1], "recipes": {"DDIM/2": RECIPES["DDIM/2"]}}, "0:3:1 .* 9 11 1, which"),
    ],
)
def test_no_seed_is_measured_twice(
    tmp_path: Path, suffix: str, options: dict[str, Any], blocks: str
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"table.{suffix}"
    swept(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"seeds or batch_size: .* of seeds {blocks}"):
        swept(path, model=never, **options)
    assert path.read_bytes() == before
    swept(path, seeds=range(100, 103))


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file system that cannot lock files."""

    def flock(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("at", [0, 3])
def test_of_two_calls_at_once_one_raises(
    tmp_path: Path, suffix: str, at: int, locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    pytest.importorskip("fcntl")
    if not locks:
        without_locks(monkeypatch)
    path, inner = tmp_path / f"table.{suffix}", {"seeds": range(20, 24)}
    raised = pytest.raises(ValueError, match=r"another call writes to .* at the same time")

    def measure(samples: Any, seeds: list[int]) -> Any:
        if seeds[0] == at:
            with raised if locks else nullcontext():
                swept(path, **inner)
        return mean(samples, seeds)

    with nullcontext() if locks else raised:
        swept(path, measure=measure)
    swept(path)
    swept(path, **inner)
    found = swept(path, **inner, model=never)
    assert len({(row.recipe, row.seeds) for row in found.rows}) == len(found.rows) == 15
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_of_many_calls_at_one_moment_one_measures(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    calls, path = 6, tmp_path / "new" / "table.csv"
    begin, refused = threading.Barrier(calls), threading.Semaphore(0)

    def measure(samples: Any, seeds: list[int]) -> float:
        assert all(refused.acquire(timeout=20) for _ in range(calls - 1))
        return 1.0

    def swept_at_once(k: int) -> str:
        begin.wait()
        try:
            swept(path, {"DDIM/3": RECIPES["DDIM/3"]}, [k], measure=measure)
        except ValueError as error:
            refused.release()
            return str(error)
        return ""

    with ThreadPoolExecutor(calls) as pool:
        said = sorted(pool.map(swept_at_once, range(calls)))
    assert said[0] == ""
    assert all("another call writes to" in each for each in said[1:])
    assert len(path.read_text().splitlines()) == 2
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_is_there_is_read_while_another_call_measures(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    first = swept(path)

    def measure(samples: Any, seeds: list[int]) -> Any:
        assert swept(path, model=never).rows[: len(first.rows)] == first.rows
        return mean(samples, seeds)

    swept(path, seeds=range(20, 24), measure=measure)


def test_the_lock_of_a_killed_call_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / ".table.csv.lock").touch()
    swept(tmp_path / "table.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_seeds_that_no_cell_holds_are_refused(tmp_path: Path) -> None:
    seeds = [2**127 + k * k for k in range(4000)]
    with pytest.raises(ValueError, match="batch_size is 4000, and so many uneven seeds are more"):
        swept(tmp_path / "table.csv", model=never, seeds=seeds, batch_size=4000)


def test_faults_of_plots_are_named() -> None:
    table = Sweep(tuple(rows([1.0], [1])))
    with pytest.raises(ValueError, match="measure must be one of error; got 'fid'"):
        table.plot("fid")
    with pytest.raises(TypeError, match="series must be callable"):
        table.plot(series=3)
    with pytest.raises(ValueError, match="the table is empty, and holds no measure"):
        Sweep(()).plot()
    stepped = Sweep((Row("a", "", None, "", 1, {"error": 1.0}),))
    with pytest.raises(ValueError, match="recipe 'a' has a sampler without a plan"):
        stepped.plot()
    assert str(stepped).splitlines()[1].startswith("a")


def test_names_that_no_legend_would_list_are_refused() -> None:
    pytest.importorskip("matplotlib")
    table = Sweep(tuple(rows([1.0], [1])))
    with pytest.raises(ValueError, match="name of series is '_a'"):
        table.plot(series=lambda name: "_a")


def test_the_measured_error_of_a_sampler_falls_with_the_calls(tmp_path: Path) -> None:
    # Data N(0, 1): the variance of DDIM with n steps of the perfect network is a product.
    recipes, exact = {}, {}
    for n in (4, 16):
        s = Schedule.linear(1000).subsample(steps=n)
        recipes[f"DDPM/{n}"] = Recipe(schedule=s, sampler=DDPM(), shape=(64,), dtype="float64")
        recipes[f"Heun/{n}"] = replace(recipes[f"DDPM/{n}"], sampler=Heun())
    for name, recipe in recipes.items():
        variance, plan = recipe.schedule.prior_std**2, recipe._plan()
        assert plan is not None
        if name.startswith("DDPM"):
            for a, b, c, alpha in zip(plan.a, plan.b[:, 0], plan.c, plan.alpha, strict=True):
                variance = (a + b * alpha) ** 2 * variance + c**2  # x0 is alpha x
            exact[name] = variance
    base = Schedule.linear(1000)

    def model(x: Any, timesteps: Any) -> Any:  # eps is sigma x
        return x * np.interp(timesteps, base.timesteps, base.sigma)[:, None]

    def square(samples: Any, seeds: list[int]) -> float:
        return float((samples**2).mean())

    found = sweep(model, recipes, range(400), square, tmp_path / "table.csv", batch_size=40)
    averages = {each.recipe: each for each in found.averages()}
    for name, variance in exact.items():
        each = averages[name]
        assert abs(each.mean["measure"] - variance) < 4 * each.error["measure"]
        # Of 64 numbers for each of 400 samples: sqrt(2 / 25600) of the variance, to a quarter.
        assert each.error["measure"] == pytest.approx(variance * (2 / 25600) ** 0.5, rel=0.75)


def test_the_table_of_the_docs_is_that_of_a_sweep(tmp_path: Path) -> None:
    page = docs.PAGE.read_text(encoding="utf-8").split(docs.START)[1].split(docs.END)[0]
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in page.splitlines()}
    assert [*rows][2:] == [f"| `{name}`" for name in docs.SAMPLERS]
    (row,) = (line for name, line in rows.items() if "DDIM" in name)
    mean, error = map(float, row[0].split(" ± "))
    few = {"DDIM()/5": docs.RECIPES["DDIM()/5"]}
    (found,) = docs.swept(
        tmp_path / "a.csv", few, seeds=range(2000, 2040), batch_size=20
    ).averages()
    spread = error * (len(docs.SEEDS) / 40) ** 0.5
    assert abs(found.mean["distance"] - mean) < 4 * spread < 0.5 * mean
