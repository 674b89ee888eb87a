"""The command line, `schedalg` or `python -m schedalg`, which needs click."""

import os
import sys
from io import TextIOWrapper

from schedalg.plugins import imported


def main() -> None:
    """Run the command line; the exit code is 0, 1 for a failure or 2 for wrong usage.

    Raises:
        SystemExit: Always.
    """
    try:
        imported("click", "the command line", "cli")
    except ImportError as error:
        sys.exit(f"Error: {error}")
    from schedalg.command_line.commands import schedalg

    sys.path.append(os.getcwd())  # where `generate` looks for a network, as `python -m` would
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # that of a terminal which may not have "…"
            stream.reconfigure(errors="replace")
    schedalg(prog_name="schedalg")
