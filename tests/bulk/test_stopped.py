"""A folder is whole and the same, however often and whenever making it was stopped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")  # of POSIX


@pytest.mark.parametrize("form", ["npy", "npz", "png"])
def test_a_call_that_was_stopped_is_taken_up_to_the_same_bytes(form: str) -> None:
    if form == "png":
        pytest.importorskip("PIL")
    found = stopped(form)
    assert found["killed_at_every_moment"] > 20
    assert found["full"] > 1
    if form == "npy":
        assert found["killed_again_and_again"] > 0
        assert found["full_device"] > 1 or found["full_device"] == -1  # mounting takes a right


@pytest.mark.parametrize("form", ["csv", "table.parquet"])
def test_a_table_that_was_stopped_is_taken_up_to_the_same_bytes(form: str) -> None:
    if form == "table.parquet":
        pytest.importorskip("pyarrow")
    found = stopped(form)
    assert found["killed_at_every_moment"] > 10
    assert found["killed_again_and_again"] > 0


def stopped(form: str) -> dict[str, int]:
    """Return what `stopped.py` prints."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bulk.stopped", form],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, int] = json.loads(run.stdout.splitlines()[-1])
    return found
