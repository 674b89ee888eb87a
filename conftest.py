"""Hypothesis profiles, and the examples in README and docs as tests."""

import importlib.util
import os

import pytest
from hypothesis import HealthCheck, settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile(
    "ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# The examples need packages of their own, and are run by their own test; so does the site.
collect_ignore = ["docs/examples", "docs/conf.py", "docs/showing.py"]
# Modules that import a package at once: collected where it is installed.
for package, paths in {
    "torch": [
        "backends/schedalg_torch",
        "docs/backends.md",
        "docs/fitting.md",
        "docs/from-guided-diffusion.md",
        "docs/log-probability.md",
        "docs/runs.md",
        "tests/benchmarks/training.py",
        "schedalg/interop/guided_diffusion",
        "tests/interop/guided_diffusion",
        "tests/interpreted.py",
    ],
    "triton": ["backends/schedalg_torch/kernel.py", "tests/interpreted.py"],
    "numba": ["backends/schedalg_torch/loop.py"],
    "cupy": ["backends/schedalg_cupy"],
    "jax": ["backends/schedalg_jax", "docs/backends.md"],
    "scipy": ["docs/choosing-steps.md"],
    "click": ["schedalg/command_line"],
}.items():
    if importlib.util.find_spec(package) is None:
        collect_ignore += paths

if importlib.util.find_spec("scipy") is None:

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """Leave out an example that needs SciPy: no path above names an installed package's."""
        items[:] = [item for item in items if item.name != "schedalg.schedule.moving.minimize"]


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["*.md"]
).pytest()
