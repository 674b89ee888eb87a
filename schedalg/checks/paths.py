"""Paths of files and folders."""

import os
from pathlib import Path

from schedalg.checks.messages import shown


def checked_path(name: str, path: object, what: str = "a folder") -> Path:
    """Return the path of a folder or of a file.

    Args:
        name: What errors call it.
        path: The path.
        what: What it is the path of.

    Raises:
        TypeError: It is not a path.
        ValueError: It is empty, or no file can have it.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be the path of {what}, got {shown(path)}")
    found = os.fspath(path)
    if not isinstance(found, str) or not found or not _encodes(found):
        raise ValueError(f"{name} must be the path of {what}, got {shown(found)}")
    return Path(found)


def _encodes(path: str) -> bool:
    """Whether a path can be given to the operating system, be there a file or not."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half a character, and not one that stands for a byte
        return False
