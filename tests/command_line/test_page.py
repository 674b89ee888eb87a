"""The commands on the page of the documentation print what stands there."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("click")

from click.testing import CliRunner

from schedalg.command_line.commands import schedalg

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
#: What another processor may round otherwise in its last digit.
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
#: That of a recipe, whose numbers may be rounded otherwise too.
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
#: The width of the terminal on the page.
COLUMNS = "90"


def commands(page: str) -> Iterator[tuple[str, str]]:
    """Yield each command on the page with what stands below it."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, below = part.partition("\n")
            yield command, below


class Shell:
    """What a shell does with the commands on the page, in the current folder."""

    code = 0

    def printed(self, command: str, below: str) -> str:
        """Return what a command prints; `cat` makes the file that stands below it."""
        if command == "echo $?":
            return f"{self.code}\n"
        if command.startswith("cat "):
            Path(command.removeprefix("cat ")).write_text(below)
            return below
        line, _, target = command.partition(" > ")
        program, *arguments = shlex.split(line)
        assert program == "schedalg"
        result = CliRunner().invoke(schedalg, arguments, prog_name="schedalg")
        self.code = result.exit_code
        if target:
            Path(target).write_text(result.stdout)
            return result.stderr
        return result.output


def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    shell = Shell()
    found = list(commands(PAGE.read_text(encoding="utf-8")))
    assert len(found) > 10
    for command, below in found:
        printed = FINGERPRINT.sub("#", shell.printed(command, below))
        below = FINGERPRINT.sub("#", below)
        assert NUMBER.sub("#", printed) == NUMBER.sub("#", below), command
        numbers = [[float(each) for each in NUMBER.findall(text)] for text in (printed, below)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-12), command
