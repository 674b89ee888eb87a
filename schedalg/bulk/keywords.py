"""Keywords of the network: its conditions."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from schedalg.checks import check_callable, raise_stopped, shown

#: Keywords of the network: the same in every call, or a function of the list of seeds.
Keywords: TypeAlias = Mapping[str, Any] | Callable[[list[int]], Mapping[str, Any]]


def keywords_of(name: str, keywords: Keywords | None, seeds: list[int]) -> dict[str, Any]:
    """Return the network's keywords for a list of seeds.

    Raises:
        TypeError: They are neither a mapping with strings as keys nor a function that returns one.
    """
    given: Any = keywords
    if callable(keywords):
        check_callable(name, keywords)
        try:
            given = keywords(seeds)
        except StopIteration as error:
            raise_stopped(error, name)
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        what = f"what {name} returns" if callable(keywords) else name
        raise TypeError(f"{what} must be a mapping from keywords to values, got {shown(given)}")
    return dict(given)
