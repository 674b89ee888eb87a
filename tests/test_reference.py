"""That the reference has a page for every public name, and a page quotes another as it is."""

import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PUBLIC = (
    "schedalg",
    "schedalg.interop.diffusers",
    "schedalg.interop.guided_diffusion",
    "schedalg.interop.k_diffusion",
    "schedalg.testing",
)


def listed() -> Counter[str]:
    """Return how often each name is in a list of the pages, with its module."""
    names: Counter[str] = Counter()
    for page in (DOCS / "reference").glob("*.md"):
        for block in re.findall(r"```\{eval-rst\}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            module = re.search(r"currentmodule:: (\S+)", block)
            assert module is not None, page.name
            names.update(f"{module[1]}.{name}" for name in re.findall(r"^   (\w\S*)$", block, re.M))
    return names


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    names = listed()
    missing = [n for n in import_module(module).__all__ if f"{module}.{n}" not in names]
    assert missing == []


def test_no_name_is_in_the_reference_twice() -> None:
    assert [name for name, count in listed().items() if count > 1] == []


def test_nothing_else_is_in_the_reference() -> None:
    for name in listed():
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last) or import_module(name), name


def test_the_page_on_which_sampler_has_the_errors_that_were_measured() -> None:
    measured = (DOCS / "few-steps.md").read_text("utf-8")
    quoted = (DOCS / "which-sampler.md").read_text("utf-8").split("The geometric mean")[1]
    for title, table in zip(
        ("All six grids to clean data, geometric mean", "Flow"),
        quoted.split("| 20 |\n| --- | --- | --- | --- | --- | --- |\n")[1:],
        strict=True,
    ):
        errors = measured.split(f"## {title}\n")[1].split("\n## ")[0].splitlines()
        rows = table.split("\n\n")[0].splitlines()
        assert len(rows) == 6
        assert set(rows) <= set(errors)
