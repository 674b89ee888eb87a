"""Reading a configuration of diffusers: from a dict, a JSON file, or a scheduler object."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from schedalg.checks import described, flag, positive_integer, real_number
from schedalg.interop.diffusers.options import CLASSES, NEUTRAL

#: What diffusers writes down about a configuration, and no option.
_NOTES = frozenset({"_class_name", "_diffusers_version", "_name_or_path", "_use_default_values"})


@dataclass(frozen=True)
class Options:
    """The options of a scheduler, complete with defaults.

    Attributes:
        name: The class in diffusers.
        values: Every option of that class.
    """

    name: str
    values: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def flag(self, key: str) -> bool:
        """Return an option that is on or off; off where the class does not have it."""
        value = self.values.get(key)
        return False if value is None else flag(key, value)

    def number(self, key: str) -> float:
        """Return an option that is a number."""
        return real_number(key, self.values[key])

    def count(self, key: str) -> int:
        """Return an option that is a number of things, at least 1."""
        return positive_integer(key, self.values[key])

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        """Return an option that is one of a few words.

        Raises:
            ValueError: It is another.
        """
        value = self.values[key]
        if not isinstance(value, str) or value not in allowed:
            self.refuse(key, f"allowed are {', '.join(map(repr, allowed))}")
        return value

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise for an option.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{key}={self.values[key]!r} of {self.name}: {why}")


def read(source: object) -> Options:
    """Return the options of a scheduler.

    Args:
        source: A configuration as a mapping with `"_class_name"`; the path of a JSON file, or of a
            directory with a `scheduler_config.json`; or a scheduler, whose `config` is read.

    Raises:
        TypeError: It is none of these.
        ValueError: The class cannot be read, or an option is unknown, or has no meaning there.
        OSError: The file cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        source = json.loads(
            (path / "scheduler_config.json" if path.is_dir() else path).read_text("utf-8")
        )
        if not isinstance(source, Mapping):
            raise TypeError(f"{path} must hold a JSON object, got {described(source)}")
        return complete(source.get("_class_name"), source)
    if isinstance(source, Mapping):
        return complete(source.get("_class_name"), source)
    config = getattr(source, "config", None)
    if not isinstance(config, Mapping) or isinstance(source, type):
        raise TypeError(
            "scheduler must be a scheduler of diffusers, its config as a dict, or the path of its "
            f"scheduler_config.json; got {described(source)}"
        )
    return complete(type(source).__name__, config)


def complete(name: object, given: Mapping[str, Any]) -> Options:
    """Return the options of a class, those not given at their defaults.

    Raises:
        ValueError: The class cannot be read, or an option is unknown or has no meaning there.
    """
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(
            f"_class_name must be one of {', '.join(sorted(CLASSES))}; got {name!r}"
            + ("" if name is not None else " (a config that names no class)")
        )
    defaults = CLASSES[name]
    for key, value in given.items():
        if key in defaults or key in _NOTES:
            continue
        if not any(key in options for options in CLASSES.values()):
            raise ValueError(f"{key}={value!r} is no option of {name}, nor of any class known here")
        if key in NEUTRAL and not any(_same(value, neutral) for neutral in NEUTRAL[key]):
            raise ValueError(
                f"{key}={value!r} is no option of {name}, which would not heed it: leave it out"
            )
    return Options(name, {key: given.get(key, default) for key, default in defaults.items()})


def _same(value: object, neutral: object) -> bool:
    return (type(value) is type(neutral) and value == neutral) or value is neutral
