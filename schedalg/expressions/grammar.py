"""The grammar of a schedule or a sampler as a line of text, read into nodes that call nothing.

The grammar, in which "{ }" is any number of times and "[ ]" at most once:

    schedule = call { slice } { "|" call { slice } }
    sampler  = call
    call     = name "(" [ argument { "," argument } [ "," ] ] ")"
    argument = [ name "=" ] value
    value    = number | string | None | True | False | inf | list | sampler | schedule
    list     = "[" [ value { "," value } [ "," ] ] "]", or the same in "(" and ")"
    slice    = "[" [ integer ] ":" [ integer ] [ ":" [ integer ] ] "]"
"""

import math
import re
from typing import Any, NamedTuple, NoReturn

from schedalg.checks import shown

_WORDS = {"None": None, "True": True, "False": False, "inf": math.inf}
_TOKEN = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<string>"[^"\\\n]*"|'[^'\\\n]*')
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>[][()|,:=-])""",
    re.VERBOSE | re.ASCII,
)
_SPACE = re.compile(r"\s*")
#: How deep calls and lists may be nested.
_DEEPEST = 20
#: How much of a line a message shows, so that it is one line in a terminal of 40 columns too.
_WIDEST = 38


class Literal(NamedTuple):
    """A number, a string or a word, and where in the text it begins, as of all nodes."""

    place: int
    value: Any


class List(NamedTuple):
    """A list or a tuple."""

    place: int
    kind: type[list[Any]] | type[tuple[Any, ...]]
    values: "list[Node]"


class Argument(NamedTuple):
    """A value in a call, with the name that stands before it, if any."""

    place: int
    name: str | None
    value: "Node"


class Call(NamedTuple):
    """A name with arguments."""

    place: int
    name: str
    arguments: list[Argument]


class Slice(NamedTuple):
    """A stretch of a schedule."""

    place: int
    bounds: slice


class Chain(NamedTuple):
    """A call, and the transforms and slices that follow."""

    place: int
    first: Call
    rest: list[Call | Slice]


Node = Literal | List | Chain


class Parser:
    """The tokens of a text, read from left to right into nodes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.end = 0
        self._next()

    def _next(self) -> None:
        """Go to the next token: its place, its kind ("" at the end) and its text."""
        space = _SPACE.match(self.text, self.end)
        self.place = self.end if space is None else space.end()
        found = _TOKEN.match(self.text, self.place)
        self.kind = "" if found is None else str(found.lastgroup)
        self.token = "" if found is None else found.group()
        self.end = self.place + len(self.token)
        if found is None and self.place < len(self.text):
            self._fail(self._unknown(self.text[self.place]))

    @staticmethod
    def _unknown(character: str) -> str:
        if character == ".":
            return "there is no '.': write linear(1000) | shift(3.0)"
        if character in "\"'":
            return "a string ends on its line, with the quote that it begins with, and has no '\\'"
        return f"{character!r} has no meaning here"

    def _fail(self, reason: str) -> NoReturn:
        fail(self.text, self.place, reason)

    def _expected(self, what: str) -> NoReturn:
        self._fail(f"expected {what}, got {repr(self.token) if self.token else 'the end'}")

    def _take(self, sign: str) -> bool:
        """Go on if the token is this sign, and return whether it is."""
        is_sign = self.kind == "sign" and self.token == sign
        if is_sign:
            self._next()
        return is_sign

    def whole(self) -> Node:
        """Return the node of the whole text.

        Raises:
            ValueError: It is not in the grammar; the message shows where.
        """
        if self.kind != "name" or self.token in _WORDS:
            self._expected("a name, such as linear or DDIM")
        node = self._chain()
        if self.kind:
            self._expected("'|' or the end")
        return node

    def _chain(self) -> Chain:
        place, first = self.place, self._call()
        rest: list[Call | Slice] = []
        while True:
            at = self.place
            if self._take("|"):
                rest.append(self._call())
            elif self._take("["):
                rest.append(self._slice(at))
            else:
                return Chain(place, first, rest)

    def _call(self) -> Call:
        place, name = self.place, self._name("a name")
        if not self._take("("):
            self._expected(f"'(' after {name}")
        arguments: list[Argument] = []
        while not self._take(")"):
            arguments.append(self._argument())
            if not self._take(",") and self.token != ")":
                self._expected("',' or ')'")
        return Call(place, name, arguments)

    def _name(self, what: str) -> str:
        if self.kind != "name":
            self._expected(what)
        name = self.token
        self._next()
        return name

    def _argument(self) -> Argument:
        place, name = self.place, None
        if self.kind == "name" and self.text[self.end :].lstrip().startswith("="):
            name = self._name("a name")
            self._take("=")
        return Argument(place, name, self._value())

    def _value(self) -> Node:
        place = self.place
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail(f"calls and lists are nested more than {_DEEPEST} deep")
        node = self._nested(place)
        self.depth -= 1
        return node

    def _nested(self, place: int) -> Node:
        if self.kind == "string":
            text = self.token[1:-1]
            self._next()
            return Literal(place, text)
        if self.kind == "name" and self.token not in _WORDS:
            return self._chain()
        for opening, closing in ("[]", "()"):
            if self._take(opening):
                return self._list(place, closing)
        return Literal(place, self._number_or_word())

    def _list(self, place: int, closing: str) -> Node:
        values: list[Node] = []
        comma = True
        while not self._take(closing):
            values.append(self._value())
            comma = self._take(",")
            if not comma and self.token != closing:
                self._expected(f"',' or '{closing}'")
        if closing == ")" and len(values) == 1 and not comma:
            return values[0]
        return List(place, list if closing == "]" else tuple, values)

    def _number_or_word(self) -> Any:
        factor = -1 if self._take("-") else 1
        if self.kind == "name" and self.token in _WORDS:
            if factor < 0 and self.token != "inf":
                self._expected("a number after '-'")
            value = _WORDS[self._name("a word")]
            return factor * value if isinstance(value, float) else value
        if self.kind != "number":
            self._expected("a value")
        value = self._number()
        self._next()
        return factor * value

    def _number(self) -> int | float:
        if self.token.isdigit():
            try:
                return int(self.token)
            except ValueError:  # more digits than Python takes
                self._fail(f"a number has {len(self.token)} digits")
        value = float(self.token)
        if math.isinf(value):
            self._fail(f"{shown(self.token)} is more than float64 holds")
        return value

    def _slice(self, place: int) -> Slice:
        bounds: list[int | None] = [None]
        while not self._take("]"):
            if len(bounds) < 3 and self._take(":"):
                bounds.append(None)
            elif bounds[-1] is None and (self.token == "-" or self.token.isdigit()):
                bounds[-1] = self._integer()
            else:
                self._expected("a slice such as [:600] or [::10]")
        if len(bounds) == 1:
            fail(self.text, place, "a slice has a ':', such as [:600] or [::10]")
        return Slice(place, slice(*bounds))

    def _integer(self) -> int:
        factor = -1 if self._take("-") else 1
        value = self._number() if self.kind == "number" else None
        if not isinstance(value, int):
            self._expected("an integer")
        self._next()
        return factor * value


def fail(text: str, place: int, reason: str) -> NoReturn:
    """Raise an error that shows the line of a place in the text, and a caret below the place.

    Raises:
        ValueError: Always.
    """
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place) if "\n" in text[place:] else len(text)
    first, last = start, end
    if end - start > _WIDEST:  # as much of it before the place as after, where there is that much
        part = _WIDEST - len("... ") - len(" ...")
        first = max(start, min(place - part // 2, end - part))
        last = min(end, first + part)
    head, tail = "... " * (first > start), " ..." * (last < end)
    line = "".join(c if c.isprintable() else " " for c in text[first:last])
    caret = " " * (len(head) + place - first) + "^"
    column = f"column {place - start + 1}"
    if "\n" in text:
        column = f"line {text.count(chr(10), 0, place) + 1}, {column}"
    raise ValueError(f"text, {column}: {reason}\n  {head}{line}{tail}\n  {caret}") from None
