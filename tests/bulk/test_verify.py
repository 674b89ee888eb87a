"""What `verify` finds in folders that are damaged in one way each."""

import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedalg import generate, verify
from schedalg.bulk.numpy_files import npy
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


def zipped(**entries: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **entries)
    return file.getvalue()


def headed(header: str) -> bytes:
    """Return a `.npy` file with a header of one's own."""
    line = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + bytes(300)


def archived(data: bytes, flag: int = 0, method: int = 0) -> bytes:
    """Return a `.npz` that says it is encrypted, or compressed in some way."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("arr_0.npy", data)
    found = bytearray(file.getvalue())
    listed = found.index(b"PK\1\2")
    found[6] = found[listed + 8] = flag
    found[8] = found[listed + 10] = method
    return bytes(found)


def huge_image() -> bytes:
    """Return a PNG that says it has 60,000 x 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(100))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(data)


def columns(**named: Any) -> bytes:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(arrow.table(named), file)
    found: bytes = file.getvalue()
    return found


HEADER = "{'descr':'<f4','fortran_order':False,'shape':%s}"
ELSEWHERE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an archive": ("npy", lambda: zipped(a=np.zeros(3))),
    "the beginning of an archive": ("npy", lambda: b"PK\3\4" + bytes(50)),
    "nothing": ("npy", lambda: b""),
    "objects": ("npy", lambda: headed("{'descr':'|O','fortran_order':False,'shape':(3,)}")),
    "half a header": ("npy", lambda: headed((HEADER % "(3,2,3)")[:-1])),
    "a text": ("npy", lambda: headed("[]")),
    "more than memory": ("npy", lambda: headed(HEADER % "(1000000000000, 3)")),
    "less than nothing": ("npy", lambda: headed(HEADER % "(-1, 3)")),
    "Fortran": (
        "npy",
        lambda: headed("{'descr':'<f4','fortran_order':True,'shape':(75, 1)}"),
    ),
    "no dimension": ("npz", lambda: archived(npy(np.zeros((), np.uint8)))),
    "much": ("npz", lambda: archived(headed(HEADER % "(7, 1000000000000)"))),
    "half a header in an archive": ("npz", lambda: archived(headed((HEADER % "(7,2)")[:-1]))),
    "another name": ("npz", lambda: zipped(x=np.zeros(7))),
    "an encrypted archive": ("npz", lambda: archived(b"x" * 100, flag=1)),
    "an unknown method": ("npz", lambda: archived(b"x" * 100, method=99)),
    "a compressed archive": ("npz", lambda: zipped(arr_0=np.zeros((7, 2, 3, 1), np.uint8))),
    "a huge image": ("png", huge_image),
    "no image": ("png", lambda: b"GIF89a"),
    "no seeds": ("parquet", lambda: columns(sample=[[1.0], [2.0], [3.0]])),
    "no samples": ("parquet", lambda: columns(seed=[3, 4, 5])),
    "nulls": ("parquet", lambda: columns(seed=[3, 4, 5], sample=[None, None, None])),
    "lists": ("parquet", lambda: columns(seed=[3, 4, 5], sample=[[1.0], [2.0], [3.0]])),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_a_file_from_elsewhere_is_damaged(tmp_path: Path, case: str) -> None:
    form, content = ELSEWHERE[case]
    needs(form)
    file = first(made(tmp_path, form))
    file.write_bytes(content())
    problems = verify(tmp_path, network).problems
    assert problems[0].startswith(f"block 0: {file.name} is damaged: "), problems


def test_text_in_place_of_numbers_is_named_with_the_network_too(tmp_path: Path) -> None:
    changed(made(tmp_path), lambda samples: samples.astype("<U8"))
    (problem,) = verify(tmp_path, network).problems
    assert problem.startswith("block 0 holds <U8 of shape (3, 2, 3), not float32")


@pytest.mark.parametrize("form", FORMATS)
def test_each_flipped_byte_is_found(tmp_path: Path, form: str) -> None:
    needs(form)
    file = first(made(tmp_path, form))
    whole = file.read_bytes()
    unseen = []
    for at in range(3, len(whole), len(whole) // 12):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        if verify(tmp_path, network, blocks=1).ok:
            unseen.append(at)
    assert not unseen


def test_parts_of_different_shapes_do_not_become_one_file(tmp_path: Path) -> None:
    generate(RECIPE, network, SEEDS, tmp_path, batch_size=3, format="npz", part=(0, 2))
    file = first(tmp_path)
    whole = np.load(file)
    for samples in (whole[:2], whole[:, :1], whole.astype(np.float32), whole.sum()):
        np.save(file, samples)
        with pytest.raises(ValueError, match="damaged: "):
            made(tmp_path, "npz")
    np.save(file, whole)
    made(tmp_path, "npz")
    assert verify(tmp_path, network).ok


RECIPES = {
    "nested": lambda data: "[" * 100_000,
    "a list": lambda data: json.dumps({**data, "made_with": [1]}),
    "a number": lambda data: json.dumps({**data, "recipe": 3}),
    "a fingerprint": lambda data: json.dumps({**data, "fingerprint": None}),
    "a network": lambda data: json.dumps({**data, "model": [3]}),
    "a range": lambda data: json.dumps({**data, "pixel_range": [1, "x"]}),
    "a batch": lambda data: json.dumps({**data, "batch_size": 0.5}),
    "seeds": lambda data: json.dumps({**data, "seeds": {"start": 0, "stop": 2**63, "step": 1}}),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_damaged_recipe_is_an_error(tmp_path: Path, case: str) -> None:
    path = made(tmp_path) / "recipe.json"
    path.write_text(RECIPES[case](json.loads(path.read_text())))
    with pytest.raises(ValueError, match=r"out: .*recipe.json is damaged: "):
        verify(tmp_path, network)
    first(tmp_path).unlink()
    with pytest.raises(ValueError, match=r"recipe.json|seeds|batch_size|pixel_range"):
        made(tmp_path)


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
