"""Backends: how one is found, what is said of one that cannot run, and faults of theirs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Schedule, backends, sample
from schedalg.running.reference import InPlace, ReferenceBackend
from schedalg.running.rows import Rows
from schedalg.testing import check_backend

FAST = Schedule.linear(1000).subsample(steps=6)


class Faulty(ReferenceBackend):
    """A backend with one fault."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def timesteps(self, values: np.ndarray, x: Any) -> Any:
        told = super().timesteps(values, x)
        return [each.astype(np.float32) for each in told] if self.fault == "timesteps" else told

    def normal(self, x: Any, keys: np.ndarray, words: Sequence[int]) -> Any:
        return super().normal(x, keys, words) * (1.001 if self.fault == "normal" else 1)

    def update(self, rows: Rows, x: Any, keys: Any, *, reuse: bool) -> Any:
        right = super().update(rows, x, keys, reuse=reuse)
        return FaultyUpdate(self.fault, right) if isinstance(right, InPlace) else right


class FaultyUpdate:
    """An update with one fault."""

    def __init__(self, fault: str, right: InPlace) -> None:
        self.fault, self.right = fault, right
        if fault == "rounding":
            right.wide = np.dtype(np.float16)
        if fault == "overwrites steps":
            right.reuse = True

    def input(self, k: Any, x: Any) -> Any:
        seen = self.right.input(k, x)
        if isinstance(k, np.ndarray):
            return seen * 1.001 if self.fault == "inputs of samples" else seen
        return seen * 1.001 if self.fault == "input" and k == 1 else seen

    def __call__(self, k: Any, x: Any, output: Any, *arrays: Any) -> Any:
        if isinstance(k, np.ndarray):
            return self.right(k - (self.fault == "rows of samples") * (k == 2), x, output, *arrays)
        right, row = self.right, self.right.rows.rows[k]
        if self.fault == "memory" and k == 3 and right.ring:
            right.ring[0] = right.ring[0] * 1.01
        if self.fault == "noise" and right.keys is not None:
            right.keys = right.keys + np.uint64(k == 2)
        if self.fault == "raw":
            output = output.copy() if self.right.rows.raw and k == 1 else output
            output += 0.25 if self.right.rows.raw and k == 1 else 0
        if self.fault == "unread" and k == 3 and len(row.memories) == 2 and not row.d:
            unread = 0 * right.ring[0].reshape(x.shape)
            return right(k, x, output, *arrays) + unread
        after = right(k, x, output, *arrays)
        if self.fault == "zeros" and row.x == 0:
            return after + 0 * x
        if self.fault == "overwrites x":
            x[...] = after
        return after


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("input", "input of row 1"),
        ("inputs of samples", r"input of row \d of a sample"),
        ("rows of samples", "row 2 of a sample"),
        ("memory", "row 3 in float"),
        ("noise", "row [23] in float"),
        ("zeros", "0 times infinity"),
        ("unread", "memories that are not read"),
        ("normal", r"noise of \(0, 0, 0\)"),
        ("raw", "row . in float"),
        ("timesteps", "has dtype float32"),
        ("overwrites x", "."),
        ("overwrites steps", "."),
        ("rounding", r"row \d in float16 is off"),
    ],
)
def test_the_conformance_suite_sees_faults(
    fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schedalg.running.backend._REFERENCE", Faulty(fault))
    dtypes = ["float16"] if fault == "rounding" else ["float64", "float32"]

    def check() -> None:
        check_backend(lambda v, dtype: np.asarray(v, dtype=dtype), dtypes)

    with pytest.raises(AssertionError, match=message):
        check()


def test_backends_are_listed_with_what_keeps_them_from_running() -> None:
    status = {backend.name: backend for backend in backends()}
    assert backends()[0].name == "array-api"
    assert status["array-api"].available
    assert not status["array-api"].reason
    pytest.importorskip("torch")
    assert status["torch"].available
    assert status["torch"].version == status["array-api"].version
    assert status["cupy"].available or status["cupy"].reason


PLUGIN = """
from schedalg.running.reference import ReferenceBackend

class Mine(ReferenceBackend):
    used = 0

    def unavailable(self):
        return {reason!r}

    def update(self, *arguments, **keywords):
        self.used += 1
        return super().update(*arguments, **keywords)

backend = Mine()
"""
SAMPLE = """
import sys

class Absent:  # the other libraries, whose imports take seconds
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("cupy", "jax", "torch"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent)
import numpy as np, array_api_strict, schedalg
x = array_api_strict.asarray(np.ones((2, 3)))
fast = schedalg.Schedule.linear(1000).subsample(steps=3)
numpys = schedalg.sample(lambda x, t: x, fast, schedalg.DDIM(), np.ones((2, 3)))
print([tuple(b) for b in schedalg.backends() if b.name == "array_api_strict"])
try:
    schedalg.sample(lambda x, t: x, fast, schedalg.DDIM(), x)
    import plugin_of_mine
    print(plugin_of_mine.backend.used)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("source", "status", "outcome"),
    [
        (PLUGIN.format(reason=None), "True, ''", "1"),
        (
            PLUGIN.format(reason="no such device"),
            "False, 'no such device'",
            "the backend for array_api_strict cannot run here: no such device",
        ),
        (
            "raise ImportError('a part is missing')",
            "False, 'it could not be loaded: ImportError: a part is missing'",
            "the backend for array_api_strict cannot be loaded: a part is missing",
        ),
    ],
)
def test_a_published_backend_is_found_and_breaks_no_other(
    tmp_path: Path, source: str, status: str, outcome: str
) -> None:
    """An installed package with an entry point, in an interpreter of its own."""
    pytest.importorskip("array_api_strict")
    (tmp_path / "plugin_of_mine.py").write_text(source)
    info = tmp_path / "plugin_of_mine-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-mine\nVersion: 2.5\n")
    entry = "[schedalg.backends]\narray_api_strict = plugin_of_mine:backend\n"
    (info / "entry_points.txt").write_text(entry)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    printed = subprocess.run(
        [sys.executable, "-c", SAMPLE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    ).stdout.splitlines()
    assert printed == [f"[('array_api_strict', '2.5', {status})]", outcome]


def test_capturing_is_for_cuda() -> None:
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="capture=True takes tensors on a CUDA device"):
        sample(lambda x, t: x, FAST, DDIM(), x, capture=True)
    with pytest.raises(TypeError, match="capture must be True or False, got 'no'"):
        sample(lambda x, t: x, FAST, DDIM(), x, capture="no")
    with pytest.raises(ValueError, match="capture=True and progress=True"):
        sample(lambda x, t: x, FAST, DDIM(), x, capture=True, progress=True)
    with pytest.raises(ValueError, match="capture=True and check_finite=True"):
        sample(lambda x, t: x, FAST, DDIM(), x, capture=True, check_finite=True)
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="needs x on a CUDA device, and it is on cpu"):
        sample(lambda x, t: x, FAST, DDIM(), torch.ones(2, 3), capture=True)
