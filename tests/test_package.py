"""What importing schedalg brings in, and what it offers."""

import re
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import schedalg

HEAVY = ("torch", "cupy", "jax", "scipy", "matplotlib", "tqdm", "click", "diffusers", "sklearn")


def run(code: str) -> str:
    """Return what a new interpreter prints for the code."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_importing_and_sampling_loads_no_heavy_package() -> None:
    code = f"""
import sys
import numpy as np
from schedalg import DDPM, Schedule, sample
fast = Schedule.linear(1000).subsample(every=10)
sample(lambda x, t: x, fast, DDPM(), np.ones((2, 3)), noise=0)
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert run(code) == "[]"


def test_all_is_the_public_surface() -> None:
    public = {
        name
        for name, value in vars(schedalg).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("schedalg.")
    }
    assert public | {"Sampler"} == set(schedalg.__all__)  # an alias has no module


def test_the_package_is_typed_and_versioned() -> None:
    assert (files("schedalg") / "py.typed").is_file()
    assert version("schedalg") == schedalg.__version__


def test_what_is_cited_is_this_version() -> None:
    root = Path(__file__).parents[1]
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    page = (root / "docs" / "citing.md").read_text(encoding="utf-8")
    assert f"\nversion: {schedalg.__version__}\n" in citation
    assert f"version = {{{schedalg.__version__}}}" in page
    (title,) = re.findall(r'^title: "(.*)"$', citation, re.MULTILINE)
    assert f"title   = {{{title}}}" in page


def test_every_public_object_is_documented_with_an_example() -> None:
    for name in set(schedalg.__all__) - {"Sampler"}:  # an alias
        documentation = getattr(schedalg, name).__doc__
        assert documentation, name
        protocol = name in ("TableSampler", "StepSampler", "Backend")
        assert protocol or ">>>" in documentation, name


def test_every_operation_of_a_schedule_is_documented_with_an_example() -> None:
    for name, value in vars(schedalg.Schedule).items():
        if name.startswith("_") or not (callable(value) or isinstance(value, classmethod)):
            continue
        documentation = getattr(schedalg.Schedule, name).__doc__
        assert ">>>" in documentation, name
