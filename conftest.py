"""Hypothesis profiles, and the examples in README and docs as tests."""

import importlib.util
import os

import pytest
from hypothesis import HealthCheck, settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

settings.register_profile("few", max_examples=5, deadline=None)  # where others try more
settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile(
    "ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# The examples need packages of their own, and are run by their own test; so does the site, which
# runs the scripts of the gallery, and leaves copies of them in docs/pictures.
collect_ignore = ["docs/examples", "docs/gallery", "docs/pictures"]
collect_ignore += [f"docs/{name}.py" for name in ("checking", "conf", "drawing", "showing")]
# Modules that import a package at once: collected where it is installed.
for package, paths in {
    "torch": [
        "backends/schedalg_torch",
        "docs/backends.md",
        "docs/fitting.md",
        "docs/from-guided-diffusion.md",
        "docs/howto/compile.md",
        "docs/howto/half-precision.md",
        "docs/howto/save-and-resume.md",
        "docs/log-probability.md",
        "docs/noise.md",
        "docs/training.md",
        "docs/which-sampler.md",
        "tests/benchmarks/training.py",
        "schedalg/interop/guided_diffusion",
        "tests/interop/guided_diffusion",
        "tests/interpreted.py",
    ],
    "triton": ["backends/schedalg_torch/kernel.py", "tests/interpreted.py"],
    "numba": ["backends/schedalg_torch/loop.py"],
    "cupy": ["backends/schedalg_cupy"],
    "jax": ["backends/schedalg_jax", "docs/howto/jax.md"],
    "scipy": ["docs/choosing-steps.md"],
    "click": ["schedalg/command_line"],
    "matplotlib": ["schedalg/plotting/figures.py"],
}.items():
    if importlib.util.find_spec(package) is None:
        collect_ignore += paths

#: Examples that need a package, by how their names begin; paths would name none that is installed.
EXAMPLES = {
    "scipy": ("schedalg.schedule.moving.minimize",),
    "matplotlib": (
        "schedalg.plotting.axes.",
        "schedalg.plotting.samples.",
        "schedalg.plotting.trajectories.",
        "schedalg.schedule.plotting.",
        "schedalg.plan.plotting.",
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out examples whose package is not installed."""
    for package, names in EXAMPLES.items():
        if importlib.util.find_spec(package) is None:
            items[:] = [item for item in items if not item.name.startswith(names)]


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["*.md"]
).pytest()
