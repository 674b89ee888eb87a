"""Which arrays are recognized, and what is said of those that cannot be used."""

import importlib
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from schedalg import DDIM, Schedule, backends, sample
from schedalg.arrays import to_host
from schedalg.libraries import (
    NUMPY,
    UNSEEN,
    _of_type,
    imported,
    library_of,
    missing,
    offers,
    package,
    serving_names,
)
from schedalg.running import backend as running_backend


class Incomplete:
    """An array of a library that names its namespace and no device, as MLX's are."""

    shape, dtype, ndim = (2, 3), "float32", 2

    def __array_namespace__(self, api_version: Any = None) -> Any:
        return np


def test_numbers_and_other_objects_are_no_arrays() -> None:
    for value in (1.0, [1.0], "x", None, object(), np.random.default_rng(0), np.dtype("f4")):
        assert library_of(value) is None
    assert library_of(np.ones(2)) is library_of(np.float64(1)) is NUMPY


def test_what_an_array_lacks_is_named_and_how_it_is_served() -> None:
    assert missing(Incomplete()) == ["device"]
    assert missing(np.ones(2)) == []
    with pytest.raises(TypeError, match=r"x is a .*Incomplete, which lacks device: .* a backend"):
        sample(lambda x, t: x, Schedule.linear(4), DDIM(), Incomplete())


class Unreadable(Incomplete):
    """An array that NumPy cannot read, as those of graphs that are built are."""

    device = "cpu"


def test_an_array_that_numpy_cannot_read_is_named() -> None:
    with pytest.raises(TypeError, match=r"NumPy cannot read those of a .*Unreadable"):
        to_host(Unreadable())


def test_a_device_that_array_api_compat_knows_need_not_be_said() -> None:
    with patch("array_api_compat.device", return_value="cpu"):
        assert missing(Incomplete()) == []


def test_objects_of_a_library_that_are_no_arrays_are_none() -> None:
    torch = pytest.importorskip("torch")
    assert library_of(torch.ones(2)) is not None
    for value in (torch.Generator(), torch.float32, torch.device("cpu"), torch.Size([2])):
        assert library_of(value) is None


def offered(name: str, package: str, version: str = "1.0") -> Any:
    return SimpleNamespace(name=name, dist=SimpleNamespace(name=package, version=version))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("builtins", "a module of Python's has that name"),
        ("abc", "a module of Python's has that name"),
        ("numpy", "arrays of NumPy are run by schedalg itself"),
        ("jaxlib", "the backend for arrays of jaxlib has the name jax"),
    ],
)
def test_a_backend_that_would_take_over_others_arrays_is_reported_and_not_used(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [offered(name, "greedy", "2.5"), offered("mine", "modest")]
    with monkeypatch.context() as patched:  # others look for entry points of their own
        patched.setattr(importlib.metadata, "entry_points", lambda group: found)
        used, unused = offers.__wrapped__()
    assert list(used) == ["mine"]
    assert [(each.name, each.version) for each in unused] == [(name, "2.5")]
    assert reason in unused[0].reason
    monkeypatch.setattr(running_backend, "entries", lambda: {})
    monkeypatch.setattr(running_backend, "offers", lambda: (used, unused))
    status = backends()[-1]
    assert (status.name, status.version, status.available) == (name, "2.5", False)
    assert reason in status.reason


def test_of_two_backends_with_one_name_the_own_and_the_first_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [offered("torch", "another"), offered("torch", "schedalg"), offered("mine", "b")]
    for both in ([*found, offered("mine", "a")], [offered("mine", "a"), *found]):
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group, both=both: both)
        used, unused = offers.__wrapped__()
        assert {name: package(entry)[0] for name, entry in used.items()} == {
            "torch": "schedalg",
            "mine": "a",
        }
        assert {each.reason for each in unused} == {
            "schedalg serves torch, and so does another",
            "a serves mine, and so does b",
        }


def test_a_malformed_package_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: entry.value for name, entry in offers.__wrapped__()[0].items()}
    info = tmp_path / "malformed-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: malformed\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[schedalg.backends]\nno value\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    used, unused = offers.__wrapped__()
    assert {name: entry.value for name, entry in used.items()} == before
    assert [(each.name, each.version) for each in unused] == [("malformed", "1.5")]
    assert "cannot be read" in unused[0].reason


def test_arrays_of_jaxlib_are_served_by_the_name_jax() -> None:
    jax = pytest.importorskip("jax")
    names = serving_names(type(jax.numpy.ones(2)))
    assert "jax" in names
    assert "jaxlib" not in names


@pytest.mark.parametrize("error", [ModuleNotFoundError("no part of it"), OSError("no libx.so")])
def test_an_optional_package_that_is_missing_or_broken_is_an_import_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImportError, match=r"w needs missing_package: pip install 'schedalg\[e\]'"):
        imported("missing_package.part", "w", "e")

    def broken(name: str) -> Any:
        raise error

    monkeypatch.setattr(importlib, "import_module", broken)
    said = f"w needs json: it cannot be imported: {type(error).__name__}: {error}"
    with pytest.raises(ImportError, match=said):
        imported("json", "w", "e")


class Proxy:
    """Stands for an array without being one by its type."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)


def test_a_type_says_what_it_is_where_it_can() -> None:
    class Own(np.ndarray):
        pass

    assert library_of(np.ones(2).view(Own)) is NUMPY
    # What `torch.compile` has of a value is its type; where that does not say, a value is asked.
    assert _of_type(Own) is NUMPY
    assert _of_type(float) is None
    assert _of_type(Incomplete) in (UNSEEN, library_of(Incomplete()))
    assert library_of(Proxy(Incomplete())) is library_of(Incomplete())
