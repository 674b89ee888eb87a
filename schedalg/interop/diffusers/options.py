"""The options of one scheduler, complete with defaults, and the checks of their values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NoReturn, TypeVar

from schedalg.checks import flag, positive_integer, real_number

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """The options of a scheduler, complete with defaults.

    Attributes:
        name: The class in diffusers.
        values: Every option of that class.
    """

    name: str
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def is_set(self, key: str) -> bool:
        """Return whether an option has a value: False if it is None, or not in the class."""
        return self.values.get(key) is not None

    def flag(self, key: str) -> bool:
        """Return an option that is True or False: False if it is None, or not in the class."""
        return flag(key, self.values[key]) if self.is_set(key) else False

    def number(self, key: str) -> float:
        """Return an option that is a real number."""
        return real_number(key, self.values[key])

    def count(self, key: str) -> int:
        """Return an option that is an integer of at least 1."""
        return positive_integer(key, self.values[key])

    def within(self, key: str, low: float, high: float) -> float:
        """Return an option that is a number above `low` and below `high`.

        Raises:
            ValueError: The option is out of this range.
        """
        value = self.number(key)
        if not low < value < high:
            self.refuse(key, f"it must be above {low:g}" + f" and below {high:g}" * (high < inf))
        return value

    def choice(self, key: str, allowed: Iterable[str]) -> str:
        """Return an option that is one of a few strings.

        Raises:
            ValueError: The value is not allowed.
        """
        value = self.values[key]
        if not isinstance(value, str) or value not in allowed:
            self.refuse(key, f"allowed are {', '.join(map(repr, allowed))}")
        return value

    def meaning(self, key: str, meanings: Mapping[str, T]) -> T:
        """Return the meaning of an option's value.

        Raises:
            ValueError: The value is not allowed.
        """
        return meanings[self.choice(key, meanings)]

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise an error about the value of an option.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{key}={self.values[key]!r} of {self.name}: {why}")
