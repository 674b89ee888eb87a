"""What `verify` finds in folders that are damaged in one way each."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedalg import generate, verify
from tests.bulk.few import FORMATS, RECIPE, SEEDS, network
from tests.bulk.test_generate import needs
from tests.samplers.test_serialization import Mine


def made(out: Path, form: str = "npy", recipe: Any = RECIPE) -> Path:
    generate(recipe, network, SEEDS, out, batch_size=3, format=form)
    return out


def first(out: Path) -> Path:
    return min(path for path in out.rglob("*") if path.is_file() and path.name != "recipe.json")


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_wrong_with_a_whole_folder(tmp_path: Path, form: str) -> None:
    needs(form)
    found = verify(made(tmp_path, form), network, blocks=3)
    assert found.ok
    assert (found.samples, found.remade) == (7, 7)
    assert found.files == {"npy": 3, "parquet": 3, "npz": 1, "png": 7}[form]
    assert found.fingerprint == RECIPE.fingerprint
    assert verify(tmp_path).remade == 0


@pytest.mark.parametrize("form", FORMATS)
def test_another_network_is_found(tmp_path: Path, form: str) -> None:
    needs(form)
    found = verify(made(tmp_path, form), lambda x, timesteps: 0.4 * x, blocks=1)
    assert len(found.problems) == 1
    assert "block 0: made again, seeds 3, 4, 5 differ, by at most" in found.problems[0]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_short_is_found(tmp_path: Path, form: str) -> None:
    needs(form)
    file = first(made(tmp_path, form))
    file.write_bytes(file.read_bytes()[:-30])
    problems = verify(tmp_path, network).problems
    assert problems[0].startswith("block 0: ")
    assert file.name in problems[0]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_goes_on_is_found(tmp_path: Path, form: str) -> None:
    needs(form)
    file = first(made(tmp_path, form))
    file.write_bytes(file.read_bytes() + b"x")
    problems = verify(tmp_path).problems
    assert problems[0].startswith("block 0: ")
    assert file.name in problems[0]


def changed(out: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(first(out), change(np.load(first(out))))


def with_nan(samples: np.ndarray) -> np.ndarray:
    samples[1, 0, 0] = np.nan
    return samples


def with_a_change(samples: np.ndarray) -> np.ndarray:
    samples[2, 0, 0] += 0.5
    return samples


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing file": (
        lambda out: first(out).unlink(),
        "1 of 3 blocks are missing, the first of them with seeds 3, 4, 5: generate makes them",
    ),
    "a file of another recipe": (
        lambda out: shutil.copy(first(out), out / "0123456789ab-000000.npy"),
        f"0123456789ab-000000.npy is not of this recipe, whose files begin with "
        f"{RECIPE.fingerprint[:12]}",
    ),
    "a file that was begun": (
        lambda out: (out / ".tmp-x-1").touch(),
        ".tmp-x-1 was begun by a call that was stopped",
    ),
    "another shape": (
        lambda out: changed(out, lambda samples: samples[:2]),
        "block 0 holds float32 of shape (2, 2, 3), not float32 of shape (3, 2, 3)",
    ),
    "another dtype": (
        lambda out: changed(out, lambda samples: samples.astype(np.float64)),
        "block 0 holds float64 of shape (3, 2, 3), not float32",
    ),
    "NaN": (lambda out: changed(out, with_nan), "block 0 holds NaN or infinity for seeds 4"),
    "a changed number": (
        lambda out: changed(out, with_a_change),
        "block 0: made again, seeds 5 differ, by at most 0.5",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named(tmp_path: Path, damage: str) -> None:
    harm, message = DAMAGES[damage]
    harm(made(tmp_path))
    found = verify(tmp_path, network, blocks=3)
    assert not found.ok
    assert any(message in problem for problem in found.problems), found.problems


def test_a_folder_that_is_not_finished_is_named(tmp_path: Path) -> None:
    generate(RECIPE, network, SEEDS, tmp_path, batch_size=3, format="npz", part=(0, 2))
    assert "1 of 3 blocks are missing" in verify(tmp_path, network).problems[0]


def test_other_versions_are_named_where_samples_differ(tmp_path: Path) -> None:
    path = made(tmp_path) / "recipe.json"
    path.write_text(path.read_text().replace(f'"numpy":"{np.__version__}"', '"numpy":"1.0"'))
    assert verify(tmp_path, network).ok
    (problem,) = verify(tmp_path, lambda x, timesteps: 0.4 * x, blocks=1).problems
    assert f"(made with numpy 1.0, now {np.__version__})" in problem


def test_a_changed_recipe_is_an_error(tmp_path: Path) -> None:
    path = made(tmp_path) / "recipe.json"
    path.write_text(path.read_text().replace('"clip":[-1.0,1.0]', '"clip":[-2.0,1.0]'))
    with pytest.raises(ValueError, match=r"recipe.json in .* was changed"):
        verify(tmp_path)


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out has no recipe.json"):
        verify(tmp_path / "none")
    with pytest.raises(ValueError, match="blocks must be at least 1"):
        verify(made(tmp_path / "one"), network, blocks=0)
    with pytest.raises(TypeError, match="model must be callable"):
        verify(tmp_path / "one", 3)


def test_samplers_of_ones_own_are_passed(tmp_path: Path) -> None:
    made(tmp_path, recipe=replace(RECIPE, sampler=Mine()))
    assert verify(tmp_path, network, samplers=[Mine]).ok
    with pytest.raises(ValueError, match="'Mine', which is unknown"):
        verify(tmp_path)
