"""A folder of samples: what its files hold, whose it is, and what is said of faults."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DPMSolverPP, DynamicThreshold, Heun, Recipe, Schedule, generate
from schedalg.bulk import files
from schedalg.bulk.generation import blocks_of, checked_layout
from schedalg.bulk.seeds import seeds_from_json, seeds_to_json
from schedalg.plotting.images import pixels
from tests.bulk.few import FORMATS, RECIPE, SEEDS, held, labelled, labels, network
from tests.test_package import HEAVY, run

HERE = "tests.bulk.few"
IMAGES = replace(RECIPE, shape=(3, 4, 5))


def needs(form: str) -> None:
    """Skip where the package that writes a format is not installed."""
    pytest.importorskip({"parquet": "pyarrow", "png": "PIL"}.get(form, "numpy"))


def made(out: Path, recipe: Recipe = RECIPE, model: Any = network, **options: Any) -> list[Path]:
    """Return the files of a folder, but `recipe.json`."""
    generate(recipe, model, options.pop("seeds", SEEDS), out, **{"batch_size": 3, **options})
    return [path for path in sorted(out.rglob("*")) if path.name != "recipe.json"]


def blocks(recipe: Recipe = RECIPE) -> list[np.ndarray]:
    return [recipe.sample(network, SEEDS[i : i + 3]) for i in (0, 3, 6)]


def test_shards_hold_the_samples_of_their_seeds(tmp_path: Path) -> None:
    files = made(tmp_path)
    prefix = RECIPE.fingerprint[:12]
    assert [file.name for file in files] == [f"{prefix}-00000{i}.npy" for i in range(3)]
    for file, samples in zip(files, blocks(), strict=True):
        assert (np.load(file) == samples).all()
        assert np.load(file).dtype == np.float32


def test_parquet_holds_seeds_and_tensors(tmp_path: Path) -> None:
    needs("parquet")
    parquet = importlib.import_module("pyarrow.parquet")
    files = made(tmp_path, format="parquet")
    for i, (file, samples) in enumerate(zip(files, blocks(), strict=True)):
        table = parquet.read_table(file)
        assert table["seed"].to_pylist() == list(SEEDS[3 * i : 3 * i + 3])
        assert (table["sample"].combine_chunks().to_numpy_ndarray() == samples).all()


def test_the_npz_is_that_of_the_evaluator(tmp_path: Path) -> None:
    (file,) = made(tmp_path, IMAGES, format="npz")
    with np.load(file) as archive:
        assert archive.files == ["arr_0"]
        images = archive["arr_0"]
    samples = np.concatenate(blocks(IMAGES))
    adm = ((samples + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    assert images.shape == (7, 4, 5, 3)
    assert (images == adm).all()


def test_an_image_is_named_by_its_seed(tmp_path: Path) -> None:
    needs("png")
    from PIL import Image

    files = made(tmp_path, IMAGES, format="png")
    prefix = IMAGES.fingerprint[:12]
    assert [file.name for file in files] == [f"{prefix}-{seed:06d}.png" for seed in SEEDS]
    expected = pixels(np.concatenate(blocks(IMAGES)), (-1.0, 1.0))
    for file, image in zip(files, expected, strict=True):
        with Image.open(file) as opened:
            assert (np.asarray(opened) == image).all()


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 5), (0, 1)),
        ((1, 4, 5), (1, 2, 0)),
        ((6, 5, 1), (0, 1, 2)),
        ((3, 4, 5), (1, 2, 0)),
        ((5, 5, 3), (0, 1, 2)),
        ((4, 4, 5), (1, 2, 0)),
    ],
)
def test_bytes_stand_for_numbers_as_stated(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    wanted = np.arange(2 * int(np.prod(shape))).reshape(2, *shape) * 2 + 20
    samples = -2 + (wanted + 0.5) * 5 / 255  # the middle of what becomes this byte
    images = pixels(samples, (-2.0, 3.0))
    expected = wanted.clip(0, 255).transpose(0, *[axis + 1 for axis in axes])
    assert images.dtype == np.uint8
    assert images.ndim == 4
    assert (images.reshape(expected.shape) == expected).all()
    assert (pixels(samples - 100, (-2.0, 3.0)) == 0).all()


def test_bytes_are_cut_off_as_adm_s_are() -> None:
    k = np.arange(256)
    exact = (k / 127.5 - 1).astype(np.float32).reshape(1, 16, 16)
    off = k - pixels(exact, (-1.0, 1.0)).reshape(-1)
    assert np.bincount(off).tolist() == [161, 95]


@pytest.mark.parametrize("form", FORMATS)
def test_a_second_call_changes_nothing(tmp_path: Path, form: str) -> None:
    needs(form)
    made(tmp_path, format=form)
    first = held(tmp_path)

    def never(x: Any, timesteps: Any) -> Any:
        raise AssertionError("there is nothing to make")

    made(tmp_path, model=never, format=form)
    assert held(tmp_path) == first


@pytest.mark.parametrize("form", FORMATS)
def test_blocks_may_be_made_in_any_order_and_by_any_process(tmp_path: Path, form: str) -> None:
    needs(form)
    made(tmp_path / "one", format=form)
    for rank in (2, 0, 1):
        made(tmp_path / "many", format=form, part=(rank, 3))
    assert held(tmp_path / "many") == held(tmp_path / "one")


def test_blocks_of_another_size_are_the_same_for_networks_that_treat_samples_apart(
    tmp_path: Path,
) -> None:
    whole = np.concatenate([np.load(file) for file in made(tmp_path / "3")])
    other = np.concatenate([np.load(file) for file in made(tmp_path / "5", batch_size=5)])
    assert (whole == other).all()
    with pytest.raises(ValueError, match=r"batch_size.*was begun with batch_size 3, .* has 5"):
        made(tmp_path / "3", batch_size=5)


def test_recipe_json_holds_the_recipe_and_what_made_the_samples(tmp_path: Path) -> None:
    made(tmp_path)
    text = (tmp_path / "recipe.json").read_text()
    data = json.loads(text)
    assert Recipe.from_json(text) == RECIPE
    assert data["fingerprint"] == RECIPE.fingerprint
    assert (data["seeds"], data["batch_size"]) == ({"start": 3, "stop": 10, "step": 1}, 3)
    assert data["made_with"]["library"] == "numpy"
    assert data["made_with"]["device"] == "cpu"
    assert data["made_with"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("seeds", "same"),
    [(list(SEEDS), True), (np.arange(3, 10), True), ([3, 4, 6, 5, 7, 8, 9], False)],
)
def test_seeds_are_equal_however_they_are_given(tmp_path: Path, seeds: Any, same: bool) -> None:
    made(tmp_path)
    if same:
        made(tmp_path, seeds=seeds)
    else:
        with pytest.raises(ValueError, match=r"seeds.*was begun with seeds"):
            made(tmp_path, seeds=seeds)


def test_uneven_and_falling_and_huge_seeds_are_taken(tmp_path: Path) -> None:
    for k, seeds in enumerate([[5, 1, 2], range(9, 0, -4), [2**127, 3], [7]]):
        files = made(tmp_path / str(k), seeds=seeds)
        assert (np.concatenate([*map(np.load, files)]) == RECIPE.sample(network, seeds)).all()
        made(tmp_path / str(k), seeds=seeds)


def test_nothing_looks_at_each_of_many_seeds() -> None:
    seeds = range(5, 10**15, 3)
    layout = checked_layout(RECIPE, network, seeds, 10**6, "npy", (-1, 1))
    assert seeds_from_json(seeds_to_json(layout.seeds)) == seeds
    last = layout.blocks[-1]
    assert layout.size_of(last) == len(layout.seeds_of(last)) == len(seeds) % 10**6
    assert layout.seeds_of(last)[-1] == seeds[-1]
    assert layout.seed_name(5, "png").endswith("-000000000000005.png")
    assert blocks_of(layout, (1, 2))[:2] == range(1, 5, 2)


def test_a_network_by_name_and_conditions_by_name(tmp_path: Path) -> None:
    made(tmp_path / "named", model=f"{HERE}:labelled", cond=f"{HERE}:labels")
    made(tmp_path / "passed", model=labelled(), cond=labels)
    files = [held(tmp_path / place) for place in ("named", "passed")]
    assert [files[0].pop("recipe.json") != files[1].pop("recipe.json")] == [True]
    assert files[0] == files[1]
    made(tmp_path / "pair", model=f"{HERE}:with_like")
    assert json.loads((tmp_path / "pair" / "recipe.json").read_text())["model"] is not None


def test_tensors_are_made_on_the_device_of_like(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    half = replace(RECIPE, dtype="bfloat16", sampler=DDIM())
    (file,) = made(tmp_path, half, like=torch.zeros(1), batch_size=7)
    expected = half.sample(network, SEEDS, like=torch.zeros(1)).float().numpy()
    assert np.load(file).dtype == np.float32
    assert (np.load(file) == expected).all()
    data = json.loads((tmp_path / "recipe.json").read_text())
    assert data["made_with"]["torch"] == str(torch.__version__)
    file.unlink()
    with pytest.raises(ValueError, match="was made with library torch, and here it is numpy"):
        made(tmp_path, half, batch_size=7)


def failing(at: int, result: Any) -> Any:
    """Return a network that fails in the blocks whose samples are so many."""
    calls = 0

    def model(x: Any, timesteps: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= at:
            return network(x, timesteps)
        if isinstance(result, Exception):
            raise result
        output = network(x, timesteps)
        output[1:2] = result
        return output

    return model


@pytest.mark.parametrize("result", [np.nan, -np.inf])
def test_a_network_that_returns_nan_names_the_seeds_and_loses_nothing(
    tmp_path: Path, result: float
) -> None:
    steps = RECIPE.model_calls or 0
    with pytest.raises(ValueError, match=r"for seeds 7 in call 1 .*at timestep 666") as caught:
        made(tmp_path, model=failing(steps + 1, result))
    assert "seeds 6, 7, 8" in caught.value.__notes__[0]
    assert len(held(tmp_path)) == 2
    made(tmp_path)
    made(tmp_path.with_name("whole"))
    assert held(tmp_path) == held(tmp_path.with_name("whole"))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("form", FORMATS)
def test_samples_that_overflow_though_outputs_are_finite_are_named(
    tmp_path: Path, form: str
) -> None:
    needs(form)
    half = replace(IMAGES, schedule=Schedule.karras(5), sampler=DPMSolverPP(order=2), clip=None)
    half = replace(half, dtype="float16", prediction="epsilon")

    def model(x: Any, timesteps: Any) -> Any:
        output = 0 * x
        output[1:2] = 6e4
        return output

    with pytest.raises(ValueError, match=r"samples of seeds 4 became NaN .* float16") as caught:
        made(tmp_path, half, model, format=form)
    assert caught.value.__notes__ == ["while making the samples of seeds 3, 4, 5"]
    assert list(held(tmp_path)) == ["recipe.json"]
    made(tmp_path, half, model, format=form, check_finite=False)


def test_nan_is_let_through_if_asked(tmp_path: Path) -> None:
    files = made(tmp_path, model=failing(0, np.nan), check_finite=False)
    assert np.isnan(np.load(files[0])).any()


def test_rows_of_guidance_are_of_the_seeds(tmp_path: Path) -> None:
    guided = replace(RECIPE, guidance_scale=2.0)

    def model(x: Any, timesteps: Any, y: Any) -> Any:
        output = network(x, timesteps)
        output[4] = np.nan
        return output

    with pytest.raises(ValueError, match="for seeds 4 in call 0"):
        made(tmp_path, guided, model, cond=labels, uncond=labels)


def test_a_network_that_raises_names_the_seeds_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="of its own") as caught:
        made(tmp_path, model=failing(4, RuntimeError("of its own")))
    assert caught.value.__notes__ == ["while making the samples of seeds 6, 7, 8"]
    assert len(held(tmp_path)) == 2


class OutOfMemoryError(RuntimeError):
    """As torch and CuPy name it."""


@pytest.mark.parametrize(
    "error", [MemoryError(), OutOfMemoryError("x"), RuntimeError("RESOURCE_EXHAUSTED: x")]
)
def test_where_memory_runs_out_a_block_size_is_named(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(MemoryError, match="block of 6 seeds: try batch_size=3, in another folder"):
        made(tmp_path, model=failing(0, error), batch_size=6)


def test_a_bar_counts_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    with pytest.raises(RuntimeError):
        made(tmp_path, model=failing(4, RuntimeError("of its own")), progress=True)
    made(tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "3/7" in shown
    assert "7/7" in shown


def test_a_bar_shows_the_rate_of_this_call_and_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = pytest.importorskip("tqdm.std")
    made(tmp_path, part=(0, 3))
    now = 0.0
    monkeypatch.setattr(bars, "time", lambda: now)

    def slow(x: Any, timesteps: Any) -> Any:
        nonlocal now
        now += 2.0  # in each of three steps
        return network(x, timesteps)

    made(tmp_path, model=slow, progress=True)
    bar = capsys.readouterr().err
    assert "3/7 [00:00<?, ?sample/s]" in bar  # what was there before counts for nothing
    assert "6/7 [00:06<00:02,  2.00s/sample]" in bar
    assert "7/7 [00:12<00:00" in bar


def test_samples_are_made_without_packages_of_formats() -> None:
    heavy = (*HEAVY, "pyarrow", "PIL", "ray")
    code = f"""
import sys, tempfile
from schedalg import DDIM, Recipe, Schedule, generate
recipe = Recipe(schedule=Schedule.linear(2), sampler=DDIM(), shape=(2,))
with tempfile.TemporaryDirectory() as out:
    generate(recipe, lambda x, t: x, range(3), out, batch_size=2)
print([name for name in {heavy} if name in sys.modules])
"""
    assert run(code) == "[]"


def folder_of(path: Path, content: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "recipe.json").write_text(content)
    return path


OTHER = replace(RECIPE, clip=DynamicThreshold(), sampler=Heun())
FAULTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no recipe": ({"recipe": 3}, TypeError, "recipe must be a Recipe"),
    "another recipe": ({"recipe": OTHER}, ValueError, r"another recipe.*sampler, clip\)"),
    "a seed twice": ({"seeds": [1, 2, 1]}, ValueError, r"seeds\[2\] is 1, as seeds\[0\]"),
    "seeds that overlap": ({"seeds": range(5, 12)}, ValueError, "seeds: .* was begun with seeds 3"),
    "no seeds": ({"seeds": []}, ValueError, "seeds is empty"),
    "negative seeds": ({"seeds": range(-1, 3)}, ValueError, r"seeds\[0\].*-1"),
    "too many seeds": ({"seeds": range(2**70)}, ValueError, "seeds are more than"),
    "a seed more than too many": ({"seeds": range(2**63)}, ValueError, "seeds are more than"),
    "a number of seeds": ({"seeds": 7}, TypeError, "seeds must be a range"),
    "a batch of none": ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "another format": ({"format": "npz"}, ValueError, "format: .* was begun with format npy"),
    "an unknown format": ({"format": "jpg"}, ValueError, "format must be one of npy, parquet"),
    "no range": ({"pixel_range": 3}, TypeError, "pixel_range must be"),
    "a range upside down": ({"pixel_range": (1, -1)}, ValueError, "pixel_range .* low < high"),
    "a range of nothing": ({"pixel_range": (0, 1e-310)}, ValueError, "pixel_range .* of float32"),
    "a huge range": ({"pixel_range": (-1e300, 1e300)}, ValueError, "pixel_range .* of float32"),
    "another name": ({"model": f"{HERE}:factory"}, ValueError, "model: .* was begun with model"),
    "no pair": ({"part": 3}, TypeError, "part must be"),
    "a rank too high": ({"part": (3, 3)}, ValueError, "part must be .* 0 <= rank < size"),
    "no path": ({"out": 3}, TypeError, "out must be the path"),
    "an empty path": ({"out": ""}, ValueError, "out must be the path"),
    "a file": ({"out": __file__}, ValueError, "out must be the path of a folder, and .* is a file"),
    "an unknown engine": ({"engine": "spark"}, ValueError, "engine must be 'embedded' or 'ray'"),
    "no actors": ({"engine": "ray", "actors": 0}, ValueError, "actors must be at least 1"),
    "no options": ({"actor_options": 3}, TypeError, "actor_options must be a mapping"),
    "a network for Ray": ({"engine": "ray"}, TypeError, "model must be the name of a factory"),
    "an array for Ray": (
        {"engine": "ray", "model": f"{HERE}:factory", "like": np.zeros(1)},
        TypeError,
        "like must be None",
    ),
    "a function for Ray": (
        {"engine": "ray", "model": f"{HERE}:factory", "cond": labels},
        TypeError,
        "cond must be a mapping, or the name of a function",
    ),
    "no network": ({"model": 3}, TypeError, "model must be callable"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str) -> None:
    given, error, message = FAULTS[fault]
    made(tmp_path)
    before = held(tmp_path)
    usual = {"recipe": RECIPE, "model": network, "seeds": SEEDS, "out": tmp_path, "batch_size": 3}
    with pytest.raises(error, match=message):
        generate(**{**usual, **given})
    assert held(tmp_path) == before


NAMES = {
    "no colon": ("network", ValueError, "model must be .*package.module:name.*'network'"),
    "no module": ("missing.module:name", ValueError, "there is no module missing"),
    "no submodule": ("tests.missing:name", ValueError, "there is no module tests.missing"),
    "no name": (f"{HERE}:missing", ValueError, f"{HERE} has no missing"),
    "no function": (f"{HERE}:SEEDS", TypeError, "must be a function that returns the network"),
    "a function that raises": ("tests.bulk.test_generate:broken", OSError, "no weights"),
}


def broken() -> Any:
    raise OSError("no weights")


@pytest.mark.parametrize("case", NAMES)
def test_what_is_wrong_with_a_name_is_said(tmp_path: Path, case: str) -> None:
    name, error, message = NAMES[case]
    with pytest.raises(error, match=message):
        made(tmp_path, model=name)
    assert not held(tmp_path)


def test_a_module_that_cannot_be_imported_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_much.py").write_text("import not_installed_anywhere")
    (tmp_path / "is_wrong.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    for name, error in (("needs_much", ModuleNotFoundError), ("is_wrong", ZeroDivisionError)):
        with pytest.raises(error) as caught:
            made(tmp_path / "out", model=f"{name}:make")
        assert caught.value.__notes__ == [f"while importing {name}, for model='{name}:make'"]


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'notes.txt' and no recipe.json"):
        made(tmp_path)
    for content in ("{", "[]", "{}", '{"type": "schedalg.Samples", "version": 1}'):
        with pytest.raises(ValueError, match=r"out: .*recipe.json"):
            made(folder_of(tmp_path / "damaged", content))
    later = '{"type": "schedalg.Samples", "version": 2}'
    with pytest.raises(ValueError, match="written by a later schedalg"):
        made(folder_of(tmp_path / "damaged", later))


def test_a_folder_of_another_version_is_not_mixed(tmp_path: Path) -> None:
    made(tmp_path)[0].unlink()
    path = tmp_path / "recipe.json"
    path.write_text(path.read_text().replace(f'"numpy":"{np.__version__}"', '"numpy":"1.0"'))
    with pytest.raises(ValueError, match=r"was made with numpy 1\.0, and here it is"):
        made(tmp_path)


def test_shapes_that_are_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape of the recipe is \(2,\), and images"):
        made(tmp_path, replace(RECIPE, shape=(2,)), format="npz")
    assert not held(tmp_path)


def test_seeds_that_parquet_cannot_hold_are_refused(tmp_path: Path) -> None:
    needs("parquet")
    with pytest.raises(ValueError, match="seeds hold 18446744073709551616"):
        made(tmp_path, seeds=[2**64], format="parquet")


def test_ray_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match='engine="ray" needs ray'):
        made(tmp_path, model=f"{HERE}:factory", engine="ray")


def test_a_cluster_that_does_not_let_in_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster\n")

    closed = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setitem(sys.modules, "ray", closed)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(
        ConnectionError, match=r"RAY_ADDRESS=auto: Failed .* cluster\. Is it of the"
    ):
        made(tmp_path, model=f"{HERE}:factory", engine="ray")


@pytest.mark.parametrize(("form", "package"), [("parquet", "pyarrow"), ("png", "PIL")])
def test_a_missing_package_is_named(
    tmp_path: Path, form: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (package, f"{package}.Image"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"format={form!r} needs {package}".replace("'", '"')):
        made(tmp_path, format=form)


def test_two_processes_may_begin_at_the_same_time(tmp_path: Path) -> None:
    code = f"""
import sys
from schedalg import generate
from tests.bulk.few import RECIPE, SEEDS, network
generate(RECIPE, network, SEEDS, {str(tmp_path / "many")!r}, batch_size=1, format="npz",
         part=(int(sys.argv[1]), 2))
"""
    root = Path(__file__).parents[2]
    runs = [subprocess.Popen([sys.executable, "-c", code, str(k)], cwd=root) for k in range(2)]
    assert [each.wait() for each in runs] == [0, 0]
    made(tmp_path / "one", batch_size=1, format="npz")
    assert held(tmp_path / "many") == held(tmp_path / "one")


@pytest.mark.parametrize("at", ["begun", "empty"])
def test_parts_may_be_a_link(tmp_path: Path, at: str) -> None:
    out, place = tmp_path / "out", tmp_path / "elsewhere"
    made(tmp_path / "alone", IMAGES, format="npz")
    if at == "begun":
        made(out, IMAGES, format="npz", part=(0, 2))
        (out / "parts").rename(place)
    else:
        out.mkdir()
        place.mkdir()
        shutil.copy(tmp_path / "alone" / "recipe.json", out)
    (out / "parts").symlink_to(place)
    made(out, IMAGES, format="npz")
    name = f"{IMAGES.fingerprint[:12]}.npz"
    assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_link_to_nothing_is_no_block(tmp_path: Path, form: str) -> None:
    needs(form)
    whole = held(made(tmp_path, format=form)[0].parent)
    file = made(tmp_path, format=form)[0]
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    made(tmp_path, format=form)
    assert held(tmp_path) == whole


MEANWHILE: dict[str, tuple[dict[str, Any], str]] = {
    "another recipe": ({"recipe": replace(RECIPE, clip=None)}, r"another recipe.*\(they .* clip\)"),
    "other seeds": ({"seeds": range(100, 107)}, "seeds: .* was begun with seeds 100"),
    "other blocks": ({"batch_size": 2}, "batch_size: .* was begun with batch_size 2"),
    "another format": ({"format": "npz"}, "format: .* was begun with format npz"),
    "another network": ({}, "model: .* was begun with model tests.bulk.few:with_like"),
}


@pytest.mark.parametrize("case", MEANWHILE)
def test_a_folder_that_another_call_takes_meanwhile_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    other, message = MEANWHILE[case]

    def loading() -> Any:
        made(tmp_path, **{"model": f"{HERE}:with_like", **other})
        return network

    monkeypatch.setattr(f"{HERE}.factory", loading)
    with pytest.raises(ValueError, match=message):
        made(tmp_path, model=f"{HERE}:factory")
    first = held(tmp_path)
    made(tmp_path, **{"model": f"{HERE}:with_like", **other})
    assert held(tmp_path) == first


@pytest.mark.parametrize("form", FORMATS)
def test_a_block_is_written_again_where_another_call_removed_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    needs(form)
    made(tmp_path / "alone", format=form)
    begun: set[str] = set()
    synchronize = files._synchronize

    def removed(path: Path) -> None:
        name = path.name.rpartition("-")[0]
        if name not in begun and not name.endswith(".npz"):
            begun.add(name)
            if path.name.startswith(".tmp-recipe.json"):  # as of a call that is finished
                shutil.copy(tmp_path / "alone" / "recipe.json", path.parent)
            path.unlink()
        synchronize(path)

    monkeypatch.setattr(files, "_synchronize", removed)
    made(tmp_path / "many", format=form)
    assert begun
    assert held(tmp_path / "many") == held(tmp_path / "alone")


def test_the_disk_has_a_file_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, Any]] = []
    fsync, rename = os.fsync, os.replace

    def synced(file: int) -> None:
        done.append(("sync", os.fstat(file).st_ino))
        fsync(file)

    def named(source: Any, target: Any) -> None:
        done.append(("name", os.stat(source).st_ino))
        rename(source, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", named)
    made(tmp_path)
    folder = tmp_path.stat().st_ino
    places = [k for k, (what, _) in enumerate(done) if what == "name"]
    assert len(places) == 3
    for k in places:
        assert ("sync", done[k][1]) in done[:k]
        assert ("sync", folder) in done[k:]


def test_a_recipe_with_a_schedule_of_torch_is_the_same_folder(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    betas = [0.1, 0.2]
    host = Recipe(schedule=Schedule.from_betas(betas), sampler=DDIM(), shape=(2,))
    other = replace(host, schedule=Schedule.from_betas(torch.tensor(betas, dtype=torch.float64)))
    assert other == host
    made(tmp_path, host)
    made(tmp_path, other)
