"""The commands, called in this process: what they print, and the exit codes."""

import inspect
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    BackendStatus,
    DPMSolverPP,
    Plan,
    Recipe,
    Schedule,
    UniPC,
    generate,
)
from schedalg.bulk import generation
from schedalg.interop.diffusers import ClippedDDIM
from schedalg.running import backend

pytest.importorskip("click")

from click import BadParameter
from click.testing import CliRunner, Result

from schedalg.command_line.arguments import SEEDS
from schedalg.command_line.commands import schedalg


def call(*arguments: str) -> Result:
    """Return what a command printed, and its exit code."""
    result = CliRunner().invoke(schedalg, arguments, prog_name="schedalg")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def printed(*arguments: str) -> str:
    """Return what a command printed on standard output, which is all that it printed."""
    result = call(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_show_prints_a_table_and_a_curve() -> None:
    lines = printed("show", "linear(1000) | subsample(every=10)").splitlines()
    assert lines[0] == repr(Schedule.linear(1000)[::10])
    assert lines[1].split()[:3] == ["point", "timestep", "alpha"]
    assert lines[12] == "… 80 rows …"
    assert lines[24] == "log SNR, by point"
    assert max(map(len, lines)) <= 80
    assert printed("show", "linear(9)[:0]").splitlines()[0] == "<Schedule vp: no points>"


def test_what_is_printed_is_plain_and_ends_with_a_newline() -> None:
    for arguments in (["show", "flow(5)"], ["--help"], ["sigmas", "karras(3)"]):
        text = printed(*arguments)
        assert text.endswith("\n")
        assert "\x1b" not in text


def test_json_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    s = Schedule.cosine(50)[::5]
    path.write_text(printed("show", "cosine(50)[::5]", "--format", "json"))
    assert Schedule.from_dict(json.loads(path.read_text())) == s
    assert printed("show", str(path)) == printed("show", "cosine(50)[::5]")
    path.write_text(printed("plan", str(path), "--sampler", "UniPC(order=3)", "--format", "json"))
    assert Plan.from_dict(json.loads(path.read_text())) == UniPC(order=3).plan(s)
    assert printed("compare", str(path), "cosine(50)[::5]")
    path.write_text(Recipe(schedule=s, sampler=DDIM(), shape=(3,)).to_json())
    assert printed("compare", str(path), "cosine(50)[::5]")


def test_a_configuration_of_diffusers_is_a_schedule(tmp_path: Path) -> None:
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear"}))
    assert printed("compare", str(path), "scaled_linear(1000, 1e-4, 0.02)", "--tolerance", "1e-9")


def test_plan_prints_the_plan() -> None:
    plan = DDIM().plan(Schedule.linear(1000)[::250])
    arguments = ["plan", "linear(1000)[::250]", "--sampler", "DDIM()"]
    assert printed(*arguments) == f"{plan}\n"
    table = printed(*arguments, "--prediction", "v")
    assert table == f"{plan.table('v')}\n"
    rows = printed(*arguments, "--format", "csv", "--prediction", "v").splitlines()
    assert rows[0] == ",".join(table.splitlines()[1].split())
    assert len(rows) == 5


def test_compare_tells_by_its_exit_code() -> None:
    assert call("compare", "linear(9)", "linear(9)").exit_code == 0
    result = call("compare", "linear(9)", "linear(9) | shift(1.001)")
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "quantity", "timestep", "alpha", "sigma", "sigma/alpha", "log_snr", "beta"
    ]  # fmt: skip
    loose = ("compare", "linear(9)", "linear(9) | shift(1.001)", "--tolerance", "0.01")
    assert call(*loose).exit_code == 0
    result = call("compare", "linear(9)", "linear(9)[::2]")
    assert result.exit_code == 1
    assert result.stdout.startswith("9 and 5 points\n")


def test_sigmas_are_pasted_back() -> None:
    text = printed("sigmas", "karras(5)")
    values = [float(each) for each in text.split(", ")]
    assert values == [*Schedule.karras(5).to_sigmas()[::-1].tolist(), 0.0]
    back = f"from_sigmas('{text.strip()}')"
    assert printed("compare", "karras(5)", back, "--tolerance", "1e-15")


def test_a_recipe_is_made_of_expressions(tmp_path: Path) -> None:
    line = ["recipe", "linear(1000) | subsample(steps=20)", "--sampler", "DPMSolverPP(order=2)"]
    s = Schedule.linear(1000).subsample(steps=20)
    plain = Recipe(schedule=s, sampler=DPMSolverPP(order=2), shape=(3, 32, 32))
    assert printed(*line, "--shape", "3,32,32") == plain.to_json()
    options = "--shape 4 --dtype float16 --prediction v --clip -1 1 --guidance-scale 3"
    full = Recipe(
        schedule=s,
        sampler=DPMSolverPP(order=2),
        shape=(4,),
        dtype="float16",
        prediction="v",
        clip=(-1, 1),
        guidance_scale=3.0,
        guidance_interval=("sigma", 0.3, 5.0),
    )
    made = printed(*line, *options.split(), "--guidance-interval", "sigma:0.3:5")
    assert Recipe.from_json(made) == full
    named = {*inspect.signature(Recipe).parameters} - {"plan"}
    assert {each.name for each in schedalg.commands["recipe"].params} == named
    open_below = printed(*line, *options.split(), "--guidance-interval", "timestep::500")
    assert Recipe.from_json(open_below).guidance_interval == ("timestep", None, 500.0)
    path = tmp_path / "recipe.json"  # whose schedule another recipe may have
    path.write_text(made)
    assert printed("recipe", str(path), *line[2:], "--shape", "3,32,32") == plain.to_json()


def test_a_configuration_becomes_a_recipe_and_back(tmp_path: Path) -> None:
    source, recipe = tmp_path / "scheduler_config.json", tmp_path / "recipe.json"
    config = {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"}
    source.write_text(json.dumps(config))
    options = ["--steps", "20", "--shape", "3,8,8", "--dtype", "float64"]
    recipe.write_text(printed("convert", str(source), *options))
    found = Recipe.from_json(recipe.read_text(), samplers=[ClippedDDIM])
    assert found.schedule == Schedule.linear(1000).subsample(steps=20)
    assert (found.sampler, found.clip) == (ClippedDDIM(), (-1, 1))
    assert (found.shape, found.dtype) == ((3, 8, 8), "float64")
    assert json.loads(printed("convert", str(recipe))) == config
    recipe.write_text(Recipe(plan=DDIM().plan(found.schedule), shape=(2,)).to_json())
    assert "holds a plan" in call("convert", str(recipe)).stderr
    guided = Recipe(
        schedule=found.schedule, sampler=DDIM(), shape=(2,), guidance_scale=2.0
    ).to_json()
    recipe.write_text(guided)
    assert "guidance_scale=2.0" in call("convert", str(recipe)).stderr
    for arguments, said in (
        ([str(recipe), "--steps", "3"], "go with a configuration of diffusers"),
        ([str(source)], "a recipe needs --shape"),
        ([str(source), "--shape", "3,x"], "sizes have commas between them"),
    ):
        result = call("convert", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr
    assert call("convert", str(source), "--shape", "0").exit_code == 1


NETS = '''"""Networks that are made by name."""


def make():
    return lambda x, timesteps: 0.1 * x


def nothing():
    pass


def broken():
    raise RuntimeError("no weights")


def wrong():
    def network(x, timesteps):
        raise KeyError("label")

    return network
'''


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Go to a folder with a recipe and networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    (tmp_path / "nets.py").write_text(NETS)
    found = Recipe(schedule=Schedule.linear(9)[::3], sampler=DDIM(), shape=(2,))
    (tmp_path / "recipe.json").write_text(found.to_json())
    return found


def test_generate_makes_the_samples_of_the_recipe(recipe: Recipe) -> None:
    arguments = ["generate", "recipe.json", "--model", "nets:make", "--seeds", "0:10"]
    assert printed(*arguments, "-o", "out", "--batch-size", "4") == ""
    made = np.concatenate([np.load(path) for path in sorted(Path("out").glob("*.npy"))])
    expected = recipe.sample(lambda x, timesteps: 0.1 * x, range(10))
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    last = f"recipe {recipe.fingerprint}: right"
    lines = ["10 samples in 3 files, none made again without --model", last]
    assert printed("verify", "out").splitlines() == lines
    lines = ["10 samples in 3 files, 6 of them made again", last]
    assert printed("verify", "out", "--model", "nets:make").splitlines() == lines
    next(Path("out").glob("*1.npy")).unlink()
    result = call("verify", "out")
    assert (result.exit_code, result.stderr) == (1, "")
    assert "1 of 3 blocks are missing" in result.stdout
    assert result.stdout.endswith("wrong\n")
    assert printed("show", "out/recipe.json") == printed("show", "recipe.json")
    result = call(*arguments, "-o", "out", "--batch-size", "5")
    assert "use another folder" in result.stderr


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ("nets:missing", 1, "nets has no missing"),
        ("nowhere:make", 1, "there is no module nowhere"),
        ("make", 1, '"package.module:name"'),
        ("nets:nothing", 1, "Error: what nets:nothing returns must be callable, got NoneType"),
        ("nets:broken", 1, "Error: RuntimeError: no weights\n  while making the network"),
        ("nets:wrong", 1, "Error: KeyError: 'label'\n  while making the samples of seeds"),
    ],
)
@pytest.mark.usefixtures("recipe")
def test_a_network_that_is_not_there_or_fails(model: str, code: int, said: str) -> None:
    result = call("generate", "recipe.json", "--model", model, "--seeds", "0:10", "-o", "out")
    assert result.exit_code == code
    assert said in result.stderr
    assert ("nets.py, line" in result.stderr) == ("while" in said)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:10", range(10)),
        ("0:10:3", range(0, 10, 3)),
        ("7", range(7, 8)),
        ("0:3,9,20:22", [0, 1, 2, 9, 20, 21]),
        ("a:3", None),
        ("0:10:0", None),
        ("1:2:3:4", None),
        ("", None),
    ],
)
def test_seeds_are_ranges_and_numbers(text: str, seeds: Sequence[int] | None) -> None:
    if seeds is None:
        with pytest.raises(BadParameter, match="as in 0:50000"):
            SEEDS(None, None, text)
    else:
        assert SEEDS(None, None, text) == seeds


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize(
    ("seeds", "code"), [("0:99999999999999999999999", 1), ("0:99999999999999999999999,4", 2)]
)
def test_more_seeds_than_there_can_be_are_named(seeds: str, code: int) -> None:
    result = call("generate", "recipe.json", "--model", "nets:make", "-o", "out", "--seeds", seeds)
    assert (result.exit_code, result.stdout) == (code, "")
    assert ("seeds are more than" if code == 1 else "at most 10000000; got 1") in result.stderr


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("compare linear(9) linear(9)", ["--tolerance"]),
        ("generate recipe.json --model nets:make --seeds 0:9 -o out", ["--gpus"]),
        ("generate recipe.json --model nets:make --seeds 0:9 -o out", ["--pixel-range", "-1"]),
    ],
)
def test_numbers_must_be_finite(line: str, option: list[str], number: str) -> None:
    result = call(*line.split(), *option, number)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Invalid value for '{option[0]}'" in result.stderr


def test_generate_passes_all_options_on(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(
        generation, "generate", lambda *args, **options: called.append((args, options))
    )
    line = (
        "generate recipe.json --model a:b --seeds 0:9 -o out --batch-size 3 --format png "
        "--cond c:d --uncond e:f --pixel-range 0 1 --part 1 2 --engine ray --actors 4 --gpus 0.5"
    )
    printed(*line.split())
    assert called == [
        (
            (recipe, "a:b", range(9), "out"),
            {
                "batch_size": 3,
                "format": "png",
                "cond": "c:d",
                "uncond": "e:f",
                "pixel_range": (0, 1),
                "part": (1, 2),
                "engine": "ray",
                "actors": 4,
                "actor_options": {"num_gpus": 0.5},
                "progress": False,
            },
        )
    ]
    named = {*inspect.signature(generate).parameters} - {"like", "check_finite"}
    assert named == {"recipe", "model", "seeds", "out", *called[0][1]}


@pytest.mark.usefixtures("recipe")
def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["--model", "nets:make", "--seeds", "0:9", "-o", "out", "--engine", "ray"]
    result = call("generate", "recipe.json", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "pip install 'schedalg[ray]'" in result.stderr


@pytest.mark.usefixtures("recipe")
def test_seeds_that_repeat_are_named() -> None:
    arguments = ["generate", "recipe.json", "--model", "nets:make", "-o", "out"]
    result = call(*arguments, "--seeds", "0:10,5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "seeds[10] is 5, as seeds[5] is" in result.stderr


def test_plot_writes_the_same_file_for_the_same_schedules(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    schedules = ["linear(9)", "linear(200) | rescale_zero_terminal_snr()"]
    for name in ("a.svg", "b.svg"):
        assert printed("plot", *schedules, "-o", str(tmp_path / name)) == ""
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert "linear(200) | rescale_zero_terminal_snr()" in text
    result = call("plot", *schedules, "-o", str(tmp_path / "a.xyz"))
    assert result.exit_code == 1
    assert "'xyz' is not supported" in result.stderr
    result = call("plot", *schedules, "-o", str(tmp_path / "nowhere" / "a.svg"))
    assert result.exit_code == 1
    assert "nowhere" in result.stderr


def test_without_matplotlib_plot_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    result = call("plot", "linear(9)", "-o", "a.svg")
    assert result.exit_code == 1
    assert result.stderr == "Error: plot needs matplotlib: pip install 'schedalg[plot]'\n"


@pytest.fixture
def _backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two backends, for none of which a library is imported."""
    found = (
        BackendStatus("array-api", "0.1.0", True, ""),
        BackendStatus("cupy", "0.1.0", False, "no device"),
    )
    monkeypatch.setattr(backend, "backends", lambda: found)


@pytest.mark.usefixtures("_backends")
def test_backends_are_listed_with_the_reason() -> None:
    assert printed("backends") == "array-api 0.1.0 runs\ncupy 0.1.0 does not run: no device\n"


RECIPE_9 = ["recipe", "linear(9)", "--sampler", "DDIM()", "--shape", "3"]
#: What is called wrongly, its exit code, and what is said.
WRONG: dict[str, tuple[list[str], int, str]] = {
    "no command": (["shwo"], 2, "No such command 'shwo'"),
    "expression": (
        ["show", "linear(9) | shfit(2)"],
        2,
        "column 13: no transform is named shfit; did you mean shift?\n"
        "  linear(9) | shfit(2)\n"
        "              ^\n",
    ),
    "sampler": (["plan", "linear(9)", "--sampler", "DDIM(2)"], 2, "eta must be in [0, 1]"),
    "no sampler": (["plan", "linear(9)"], 2, "Missing option '--sampler'"),
    "prediction": (
        ["plan", "linear(9)", "--sampler", "DDIM()", "--prediction", "w"],
        2,
        "'epsilon', 'x0', 'v', 'flow', 'score', 'edm'",
    ),
    "prediction in JSON": (
        ["plan", "linear(9)", "--sampler", "DDIM()", "--prediction", "v", "--format", "json"],
        2,
        "no place in a plan's JSON",
    ),
    "no file": (["show", "nowhere.json"], 2, "nowhere.json"),
    "tolerance": (
        ["compare", "flow(9)", "flow(9)", "--tolerance", "-1"],
        2,
        "not in the range",
    ),
    "too short": (["plan", "linear(2)", "--sampler", "LMS(4)"], 1, "Error: order=4 of LMS needs"),
    "no shape": (["recipe", "linear(9)", "--sampler", "DDIM()"], 2, "Missing option '--shape'"),
    "shape": (
        ["recipe", "linear(9)", "--sampler", "DDIM()", "--shape", "3x8"],
        2,
        "sizes have commas between them, as in 3,32,32; got '3x8'",
    ),
    "size": (
        ["recipe", "linear(9)", "--sampler", "DDIM()", "--shape", "3,0"],
        1,
        "Error: shape[1] must be at least 1",
    ),
    "clip": (
        [*RECIPE_9, "--clip", "1", "-1"],
        1,
        "clip must be (low, high)",
    ),
    "interval": (
        [*RECIPE_9, "--guidance-scale", "2", "--guidance-interval", "0.3:5"],
        2,
        "as in sigma:0.3:5, or sigma::5 without the lower one; got '0.3:5'",
    ),
    "quantity": (
        [*RECIPE_9, "--guidance-scale", "2", "--guidance-interval", "alpha:0.3:5"],
        1,
        "must be one of sigma, t, timestep, log_snr; got 'alpha'",
    ),
    "no guidance": (
        [*RECIPE_9, "--guidance-interval", "sigma:0.3:5"],
        1,
        "guidance_interval needs a guidance_scale",
    ),
    "no ending": (["plot", "linear(9)", "-o", "a"], 2, "a has no ending: a name such as a.svg"),
    "nothing in common": (["compare", "linear(9)", "flow(3)[:2]"], 1, "nothing can be compared"),
    "pure noise": (
        ["sigmas", "linear(9) | rescale_zero_terminal_snr()"],
        1,
        "leave out its last point",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_2_and_what_fails_is_1(name: str) -> None:
    arguments, code, said = WRONG[name]
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "must hold a JSON object, got list"),
        ("{}", "has the type None, and must have one of schedalg.Schedule"),
        ('{"type": ["a"]}', "must have one of"),
        ('{"type": "schedalg.Schedule", "version": 9}', "version 9"),
        ('{"_class_name": "Nothing"}', "Nothing"),
    ],
)
def test_a_file_that_holds_no_schedule(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    result = call("show", str(path))
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.usefixtures("_backends", "recipe")
@pytest.mark.parametrize("name", ["", *schedalg.commands])
def test_help_has_examples_that_run(name: str) -> None:
    if name == "plot":
        pytest.importorskip("matplotlib")
    if name == "verify":
        printed("generate", "recipe.json", "--model", "nets:make", "--seeds", "0:9", "-o", "out")
    Path("scheduler_config.json").write_text(json.dumps({"_class_name": "DDIMScheduler"}))
    text = printed(*([name] if name else []), "--help")
    assert max(map(len, text.splitlines())) <= 80
    examples = text.split("Examples:\n")[1].splitlines()
    assert examples
    for line in examples:
        program, *arguments = shlex.split(line.partition(" > ")[0].replace("0:50000", "0:50"))
        assert program == "schedalg"
        if "png" in line or "ray" in line:
            continue  # the recipe's samples are no images; Ray has tests of its own
        assert call(*arguments).exit_code in ((0, 1) if "compare" in line else (0,)), line


@pytest.mark.parametrize("name", ["", *schedalg.commands])
def test_help_fits_a_narrow_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = printed(*([name] if name else []), "--help").split("Examples:")[0].splitlines()
    names_alone = [line for line in lines if line.strip().startswith("-") and "  " not in line[2:]]
    assert max(len(line) for line in lines if line not in names_alone) <= 40
