"""That the gallery's scripts are short and say what they draw; building the site runs them."""

import ast
import re
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("*/plot_*.py"))


def test_there_are_twenty_pictures() -> None:
    assert len(SCRIPTS) >= 20


def test_no_script_is_in_another_place() -> None:
    assert sorted(GALLERY.rglob("plot_*.py")) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_says_what_it_draws(script: Path) -> None:
    text = script.read_text("utf-8")
    docstring, *_ = ast.parse(text).body
    code = [line for line in text.splitlines()[docstring.end_lineno :] if line.strip()]
    assert len(code) <= 30
    parts = re.fullmatch(r'"""\n(.+)\n(=+)\n\n(.*)\n"""\n.*', text, re.DOTALL)
    assert parts is not None
    assert len(parts[2]) == len(parts[1])  # the line under the title
    assert len(re.findall(r"[.?](?=\s|$)", parts[3])) == 2  # sentences
    assert text.count("figure.suptitle(") == 1  # from which the picture's alternative text is made
