"""`parse_schedule` and `parse_sampler`: what a text names, looked up in tables and called.

The first name of a schedule is one of its constructors, those after "|" are its transforms, and a
sampler's is its class: `CONSTRUCTORS`, `TRANSFORMS` and `SAMPLERS` hold all that a text can call.
A text is read to its end before anything is called.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType
from typing import Any

from schedalg.checks import shown
from schedalg.expressions.grammar import Call, List, Literal, Node, Parser, Slice, fail
from schedalg.samplers import Sampler, Tableau, serialization
from schedalg.schedule import Schedule

#: Constructors that take what no text can hold: a function, and a mapping.
_NOT_LITERAL = ("from_alpha_bar", "from_dict")
CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    name: getattr(Schedule, name)
    for name, value in vars(Schedule).items()
    if isinstance(value, classmethod) and name not in _NOT_LITERAL
}
TRANSFORMS: dict[str, Callable[..., Any]] = {
    name: value
    for name, value in vars(Schedule).items()
    if isinstance(value, FunctionType)
    and not name.startswith("_")
    and value.__annotations__.get("return") in ("Schedule", Schedule)
}
#: The samplers, and the tableau that one of them takes.
SAMPLERS: dict[str, Callable[..., Any]] = {**serialization.SAMPLERS, "Tableau": Tableau}


def parse_schedule(text: str) -> Schedule:
    """Return the schedule that a text describes.

    Args:
        text: A constructor of `Schedule` and, after "|", transforms, each with arguments as in
            Python: `linear(1000) | subsample(steps=20, spacing="karras") | shift(3.0)`. Slices
            follow what they are of: `linear(1000)[::10]`. An argument is a number, a string, None,
            True, False, inf, a list of these, or again a schedule or a sampler. Nothing in it is
            evaluated as Python.

    Raises:
        TypeError: `text` is not a string.
        ValueError: It is not such a text, or a constructor or transform does not take its
            arguments. The message shows the place.

    Example:
        >>> from schedalg import Schedule, parse_schedule
        >>> base = Schedule.linear(1000)
        >>> parse_schedule("linear(1000) | subsample(every=10)") == base.subsample(every=10)
        True
        >>> parse_schedule("linear(1000) | subsmple(every=10)")
        Traceback (most recent call last):
        ...
        ValueError: text, column 16: no transform is named subsmple; did you mean subsample?
          linear(1000) | subsmple(every=10)
                         ^
    """
    found = _built(text)
    if not isinstance(found, Schedule):
        fail(text, 0, f"a schedule is meant: one of {', '.join(CONSTRUCTORS)}")
    return found


def parse_sampler(text: str) -> Sampler:
    """Return the sampler that a text describes.

    Args:
        text: The class and its arguments, as in Python: `DPMSolverPP(order=2)`,
            `Restart(Heun(), [(3, 6, 2)])`. Arguments are as in `parse_schedule`.

    Raises:
        TypeError: `text` is not a string.
        ValueError: It is not such a text, or the sampler does not take its arguments. The message
            shows the place.

    Example:
        >>> from schedalg import parse_sampler
        >>> parse_sampler("DDIM(eta=0.5)")
        DDIM(eta=0.5, variance=None)
        >>> parse_sampler("DDIM(eta=1.5)")
        Traceback (most recent call last):
        ...
        ValueError: text, column 6: eta must be in [0, 1], got 1.5
          DDIM(eta=1.5)
               ^
    """
    found = _built(text)
    if not hasattr(found, "plan"):
        fail(text, 0, f"a sampler is meant: one of {', '.join(serialization.SAMPLERS)}")
    sampler: Sampler = found
    return sampler


def _built(text: str) -> Any:
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {shown(text)}")
    return _Builder(text).value(Parser(text).whole())


class _Builder:
    """Nodes of a text made into what they describe."""

    def __init__(self, text: str) -> None:
        self.text = text

    def value(self, node: Node) -> Any:
        """Return what a node describes."""
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, List):
            return node.kind(self.value(value) for value in node.values)
        first = node.first
        value = self._called(
            first, self._named(first, {**CONSTRUCTORS, **SAMPLERS}, "schedule or sampler")
        )
        for each in node.rest:
            if not isinstance(value, Schedule):
                fail(self.text, each.place, f"{first.name} is not a schedule: nothing follows it")
            if isinstance(each, Slice):
                value = self._tried(each.place, {}, partial(value.__getitem__, each.bounds))
            else:
                value = self._called(
                    each, partial(self._named(each, TRANSFORMS, "transform"), value)
                )
        return value

    def _named(
        self, call: Call, offered: Mapping[str, Callable[..., Any]], what: str
    ) -> Callable[..., Any]:
        """Return the function that a call names."""
        if call.name not in offered:
            fail(self.text, call.place, _unknown(call.name, offered, what))
        return offered[call.name]

    def _called(self, call: Call, function: Callable[..., Any]) -> Any:
        """Return what the function of a call returns."""
        parameters = inspect.signature(function).parameters
        names = ", ".join(parameters)
        ordered = [name for name, each in parameters.items() if each.kind != each.KEYWORD_ONLY]
        given: dict[str, Any] = {}
        places: dict[str, int] = {}
        for k, (place, name, node) in enumerate(call.arguments):
            if name is None:
                if any(each.name is not None for each in call.arguments[:k]):
                    fail(self.text, place, "a value without a name follows one with a name")
                if k >= len(ordered):
                    by_name = f", and by name {names}" if names else ""
                    reason = f"{call.name} takes {len(ordered)} values by their place{by_name}"
                    fail(self.text, place, reason)
                name = ordered[k]
            if name not in parameters:
                takes = f"it takes {names}" if names else "it takes none"
                fail(self.text, place, f"{call.name} has no argument {name[:80]}: {takes}")
            if name in given:
                fail(self.text, place, f"{name} is given twice")
            given[name] = self.value(node)
            places[name] = place
            if isinstance(node, List):
                places |= {f"{name}[{i}]": each.place for i, each in enumerate(node.values)}
        for name, each in parameters.items():
            if each.default is each.empty and name not in given:
                fail(self.text, call.place, f"{call.name} needs {name}: it takes {names}")
        return self._tried(call.place, places, partial(function, **given))

    def _tried(self, place: int, places: dict[str, int], call: Callable[[], Any]) -> Any:
        """Return what a call returns; its error is shown at the argument that it names first."""
        try:
            return call()
        except (ValueError, TypeError, IndexError, ImportError) as error:
            named = re.match(r"\w*(?:\[\d+\])?", str(error))
            found = place if named is None else places.get(named.group(), place)
            fail(self.text, found, str(error))


def _unknown(name: str, offered: Mapping[str, Callable[..., Any]], what: str) -> str:
    """Return what is said of a name that is not offered."""
    from difflib import get_close_matches

    if what == "transform" and name in CONSTRUCTORS:
        return f"{name} makes a schedule: compose({name}(...)) joins it to the one before"
    if name in TRANSFORMS:
        return f"{name} is a transform: it follows a schedule and '|'"
    close = get_close_matches(name, offered, 1)
    known = f"did you mean {close[0]}?" if close else f"there are {', '.join(offered)}"
    return f"no {what} is named {name[:80]}; {known}"
