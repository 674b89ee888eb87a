"""Packages that bring a backend or are optional: found, or reported without harm."""

import importlib
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schedalg import backends
from schedalg.plugins import imported, offers, package
from schedalg.running import backend as running_backend


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
