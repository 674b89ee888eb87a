"""The digits: the example runs, and what it draws is close to real digits."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[1] / "docs" / "examples" / "digits"

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("sklearn", "matplotlib", "tqdm")),
    reason="the example's packages are not installed",
)


def test_the_digits_are_sampled(tmp_path: Path) -> None:
    command = [sys.executable, str(DIGITS / "sample.py"), "--steps", "50", "5"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = re.findall(r"^(\w+) +(\S+) +(\S+) +(\S+) +([\d.]+)$", result.stdout, re.MULTILINE)
    distance = {(name, steps): float(value) for name, steps, _, _, value in rows}
    calls = {(name, steps): count for name, steps, count, _, _ in rows}
    reference = distance["real", "-"]
    for sampler in ("DDPM", "DDIM"):
        assert calls[sampler, "50"] == "50"
        assert distance[sampler, "50"] < 3 * reference
        assert distance[sampler, "50"] < distance[sampler, "5"] < 8 * reference
    assert (tmp_path / "digits.png").stat().st_size > 10_000


def test_the_weights_are_small() -> None:
    assert (DIGITS / "weights.npz").stat().st_size < 1_000_000
