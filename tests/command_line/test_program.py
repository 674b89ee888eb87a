"""The command line as a program of its own."""

import importlib.util
import os
import subprocess
import sys

import pytest

CLICK = importlib.util.find_spec("click") is not None


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Return what a new interpreter with these arguments printed, and its exit code."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "COLUMNS": "80", **environment},
    )


def test_without_click_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None; from schedalg.command_line import main; main()"
    result = run("-c", code)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == ("Error: the command line needs click: pip install 'schedalg[cli]'\n")


@pytest.mark.skipif(not CLICK, reason="needs click")
def test_the_module_is_a_program() -> None:
    result = run("-m", "schedalg", "show", "flow(3)", PYTHONIOENCODING="latin-1")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("<Schedule flow: 3 points, timesteps 0.333333 ? 1")
    result = run("-m", "schedalg", "show", "flow(3) | ")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: schedalg show ")


@pytest.mark.skipif(not CLICK, reason="needs click")
@pytest.mark.parametrize(
    ("line", "found"),
    [("schedalg sh", "plain,show\n"), ("schedalg generate rec", "file,rec\n")],
)
def test_the_library_completes_words(line: str, found: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    result = run("-m", "schedalg", _SCHEDALG_COMPLETE="bash_complete", **words)
    assert result.stdout == found


def test_importing_schedalg_does_not_import_click() -> None:
    code = "import sys, schedalg, schedalg.command_line; print('click' in sys.modules)"
    assert run("-c", code).stdout == "False\n"
