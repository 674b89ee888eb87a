"""What the backend uses where it can, and runs without: numba and Triton."""

from collections.abc import Callable
from typing import TypeVar

from schedalg.forks import WORK

Part = TypeVar("Part")

#: What is installed and cannot be used, by package, and why.
faults: dict[str, str] = {}


def made(package: str, make: Callable[[], Part]) -> Part | None:
    """Return what is made with an optional package; None where it is missing or broken.

    Args:
        package: Its name.
        make: Imports it, and uses it. Whatever that raises is noted in `faults`, unless it is that
            the package is not installed.
    """
    try:
        with WORK:
            return make()
    except (Exception, SystemExit) as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != package:
            faults[package] = f"{package} cannot be used: {type(error).__name__}: {error}"
        return None
