"""Packages that bring a backend, and packages that are optional: found, loaded, or reported.

A package offers a backend by an entry point of the group `schedalg.backends`, named like the
library that it serves (the first part of its arrays' module: "torch", "cupy"). The entry point is
an object with the members of `schedalg.Backend`.

An entry point that would take over what is not its library's is not used, and of two with one name
the first is: schedalg's own, or that of the distribution that comes first in the alphabet.
`schedalg.backends()` reports the others.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from schedalg.forks import WORK

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "schedalg.backends"
#: Modules that hold another library's arrays.
PARTS = {"jaxlib": "jax"}


class Unused(NamedTuple):
    """What a package offers and is not used.

    Attributes:
        name: That of the entry point.
        version: Of the package.
        reason: Why it is not used.
    """

    name: str
    version: str
    reason: str


@cache
def offers() -> "tuple[dict[str, EntryPoint], list[Unused]]":
    """Return the entry points of backends, by name, and what else is offered."""
    found, unused = _found_entries()
    used: dict[str, EntryPoint] = {}
    for entry in sorted(
        found, key=lambda entry: (package(entry)[0] != "schedalg", *package(entry))
    ):
        name, version = package(entry)
        reason = _why_not(entry.name)
        if entry.name in used:
            reason = f"{package(used[entry.name])[0]} serves {entry.name}, and so does {name}"
        if reason is None:
            used[entry.name] = entry
        else:
            unused.append(Unused(entry.name, version, reason))
    return used, unused


def _why_not(name: str) -> str | None:
    """Return why no backend can have a name; None if one can."""
    if name in PARTS:
        return f"the backend for arrays of {name} has the name {PARTS[name]}"
    if name == "numpy":
        return "arrays of NumPy are run by schedalg itself"
    if name in sys.stdlib_module_names:
        return "a module of Python's has that name, and holds no arrays"
    return None


def _found_entries() -> "tuple[list[EntryPoint], list[Unused]]":
    """Return the entry points of all packages, and those packages whose own cannot be read."""
    from importlib.metadata import distributions, entry_points

    try:
        return list(entry_points(group=GROUP)), []
    except Exception:  # one malformed package would hide the others
        found: list[EntryPoint] = []
        unused = []
        for distribution in distributions():
            try:
                found += distribution.entry_points.select(group=GROUP)
            except Exception as error:
                reason = f"its entry points cannot be read: {type(error).__name__}: {error}"
                unused.append(Unused(distribution.name, distribution.version, reason))
        return found, unused


def package(entry: "EntryPoint") -> tuple[str, str]:
    """Return the name and the version of the package that an entry point is from."""
    return ("unknown", "unknown") if entry.dist is None else (entry.dist.name, entry.dist.version)


def entries() -> "dict[str, EntryPoint]":
    """Return the entry points of backends that are used, by name."""
    return offers()[0]


@cache
def load(name: str) -> Any:
    """Return the backend of an entry point.

    Raises:
        Exception: Whatever importing it raises.
    """
    with WORK:
        return entries()[name].load()


def imported(module: str, user: str, extra: str) -> Any:
    """Return a module of an optional package.

    Args:
        module: Its name.
        user: What needs it.
        extra: What of schedalg installs it.

    Raises:
        ImportError: It is not installed, or cannot be imported.
    """
    from importlib import import_module

    name = module.partition(".")[0]
    try:
        with WORK:
            return import_module(module)
    except Exception as error:
        hint = f"it cannot be imported: {type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == name:
            hint = f"pip install 'schedalg[{extra}]'"
        raise ImportError(f"{user} needs {name}: {hint}") from error
