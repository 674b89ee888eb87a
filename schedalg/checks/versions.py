"""The type and the version of what a file holds."""

from collections.abc import Mapping
from typing import Any

from schedalg.checks.messages import shown


def check_version(name: str, data: Mapping[str, Any], kind: str, version: int) -> int:
    """Return the version of what a file holds, if it is of this type and known here.

    Args:
        name: What errors call the data.
        data: What the file holds.
        kind: The type that is wanted.
        version: The last version that is known.

    Raises:
        ValueError: It is of another type, or of a later version.
    """
    found, number = data.get("type"), data.get("version")
    if not isinstance(found, str) or found != kind or type(number) is not int or number < 1:
        raise ValueError(
            f"{name} must be of type {kind!r} with a version from 1 to {version}; got type "
            f"{shown(found)}, version {shown(number)}"
        )
    if number > version:
        raise ValueError(
            f"{name} is of version {shown(number)} of {kind}, written by a later schedalg; this "
            f"one reads versions up to {version}: install a newer one"
        )
    return number
