"""What differs between array libraries, and who knows it: this file, and the backends.

An array is recognized by its type. A package offers a backend by an entry point of the group
`schedalg.backends`, named like the library that it serves (the first part of its arrays' module:
"torch", "cupy"). The entry point is an object with the members of `schedalg.Backend`; if it has an
attribute `library`, a `Library`, that is asked about the arrays. An array that no backend knows is
asked by the array API standard, as array-api-compat sees it.

An entry point that would take over what is not its library's is not used, and of two with one name
the first is: schedalg's own, or that of the distribution that comes first in the alphabet.
`schedalg.backends()` reports the others.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import array_api_compat
import numpy as np

from schedalg.forks import WORK

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "schedalg.backends"

Function = TypeVar("Function", bound=Callable[..., Any])


def constant(function: Function) -> Function:
    """Mark a function as one whose result follows from values alone, arrays not among them.

    `torch.compile` calls it while it traces, and takes the result as a constant. It cannot look
    into what such a function does: the arithmetic of tables, and the search for a backend.
    """
    # What torch.compiler.assume_constant_result does. torch is not imported here, and a backend
    # that did it would be found too late: while a first call is traced.
    function.__dict__["_dynamo_marked_constant"] = True
    return function


#: What the library asks of every array.
NEEDED = ("shape", "dtype", "ndim", "device")


class Library:
    """What is asked of a library about its arrays; as here, where it follows the standard.

    A backend derives from it, and overrides what its library does otherwise.
    """

    #: Whether its 0-d arrays multiply any array without changing its dtype, as Python's floats do.
    scalars_adapt = False
    #: Whether it moves arrays between devices by itself.
    moves_arrays = False

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array of this library; the answer depends on its type alone."""
        return bool(array_api_compat.is_array_api_obj(value))

    def namespace(self, x: Any) -> Any:
        """Return the module that holds the functions of the array API standard for x."""
        return array_api_compat.array_namespace(x)

    def device(self, x: Any) -> Any:
        """Return the device that x is on."""
        return array_api_compat.device(x)

    def to_host(self, x: Any) -> np.ndarray:
        """Return the values of x, without its gradient, as a NumPy array."""
        return np.asarray(x)

    def is_real_floating(self, x: Any) -> bool:
        """Whether x holds real floating-point numbers, half precision included."""
        return bool(self.namespace(x).isdtype(x.dtype, "real floating"))

    def requires_gradient(self, x: Any) -> bool:
        """Whether a gradient or a tracer follows x."""
        return False

    def can_be_read(self, x: Any) -> bool:
        """Whether the values of x can be read at once: it is not traced, nor far from the host."""
        return True

    def lasts(self, x: Any) -> bool:
        """Whether an array like x, made now, is one in later calls: no tracer follows x.

        Of a library without a class of its own nothing is known, and so nothing of it is cached.
        """
        return False

    def constant_of(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns; a compiler that traces the call takes it for a constant.

        The arguments are no arrays. The result is an array, or numbers.
        """
        return function(*arguments)

    def are_positions(self, k: Any, n: int, x: Any) -> bool:
        """Whether k surely is a position below n for each sample of x, as they are indexed with."""
        return False

    def surely_fit(self, x: Any, y: Any, k: Any, n: int) -> bool:
        """Whether x and y surely are samples alike, and `are_positions` of k; a quick test."""
        return False

    def rows_at(self, table: Any, position: Any) -> tuple[Any, ...]:
        """Return each row of a table at positions.

        Args:
            table: (R, N, ...).
            position: (B,) or () integers on the table's device, or an int: 0 to N - 1.

        Returns:
            R new arrays, (B, ...) or (1, ...).
        """
        xp = self.namespace(table)
        if isinstance(position, int):  # which would have to be uploaded
            rows = xp.asarray(table[:, position : position + 1, ...], copy=True)
        else:
            rows = xp.take(table, xp.reshape(position, (-1,)), axis=1)
        return tuple(rows[r, ...] for r in range(table.shape[0]))

    def mixed_at(self, table: Any, position: Any, x: Any, y: Any) -> Any:
        """Return p x + q y, where p and q are the rows of a table at positions."""
        p, q = self.rows_at(table, position)
        return p * x + q * y

    def holds_elements(self, x: Any) -> bool:
        """Whether the memory of x is as large as its shape needs."""
        return True

    def is_like(self, result: Any, x: Any) -> bool:
        """Whether a result surely has the type, shape, dtype and device of x, and its elements."""
        if type(result) is not type(x) or result.shape != x.shape or result.dtype != x.dtype:
            return False
        device = getattr(x, "device", None)  # tracers have none
        return getattr(result, "device", None) == device and self.holds_elements(result)

    def unreadable(self, x: Any) -> str | None:
        """Return why the values of x cannot be read, as "is on ..."; None if they can."""
        return None

    def drawing(self, source: Any, x: Any) -> Callable[[Any], Any] | None:
        """Return a function of x that draws noise like it, if the source is a generator of this.

        Args:
            source: What the user gave as noise.
            x: The sample that noise will be added to.
        """
        return None


class NumpyLibrary(Library):
    """NumPy, whose own module follows the standard since 2.1.

    Using it directly spares the wrappers of array-api-compat, and their import, which takes longer
    than everything else in schedalg.
    """

    scalars_adapt = True

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array or a scalar of NumPy."""
        return isinstance(value, np.ndarray | np.generic)

    def namespace(self, x: Any) -> Any:
        """Return NumPy."""
        return np

    def device(self, x: Any) -> str:
        """Return "cpu"."""
        return "cpu"

    def is_real_floating(self, x: Any) -> bool:
        """Whether x holds real floating-point numbers, half precision included."""
        return bool(x.dtype.kind == "f")

    def lasts(self, x: Any) -> bool:
        """Return True."""
        return True


class JaxLibrary(Library):
    """JAX: arrays may be traced, and keys make noise."""

    moves_arrays = True

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array of JAX, traced or not."""
        return bool(array_api_compat.is_jax_array(value))

    def to_host(self, x: Any) -> np.ndarray:
        """Return the values of x, without its gradient, as a NumPy array."""
        from jax.lax import stop_gradient

        return np.asarray(stop_gradient(x))

    def requires_gradient(self, x: Any) -> bool:
        """Whether x is traced."""
        from jax.core import Tracer

        return isinstance(x, Tracer)

    def can_be_read(self, x: Any) -> bool:
        """Return False: it may be traced, or on another device."""
        return False

    def lasts(self, x: Any) -> bool:
        """Whether x is not traced."""
        return not self.requires_gradient(x)

    def drawing(self, source: Any, x: Any) -> Callable[[Any], Any] | None:
        """Return a function that draws from a key: a typed one, or two words of 32 bits."""
        if not self.recognizes(source):
            return None
        dtype = str(source.dtype)
        if not dtype.startswith("key<") and (source.shape != (2,) or dtype != "uint32"):
            return None
        import jax

        key = source

        def normal(x: Any) -> Any:
            nonlocal key
            key, subkey = jax.random.split(key)
            return jax.random.normal(subkey, x.shape, x.dtype)

        return normal


NUMPY = NumpyLibrary()
#: The libraries that this file knows itself, by the first part of their arrays' module.
_KNOWN: dict[str, Library] = {"numpy": NUMPY, "jax": JaxLibrary(), "jaxlib": JaxLibrary()}
#: Modules that hold another library's arrays.
_PARTS = {"jaxlib": "jax"}
_BROUGHT: dict[str, Library] = {}
_STANDARD = Library()
_BY_TYPE: dict[type[Any], Library | None] = {np.ndarray: NUMPY}


def library_of(value: Any) -> Library | None:
    """Return the library of an array; None if the value is no array."""
    kind = type(value)
    try:
        return _BY_TYPE[kind]
    except KeyError:
        found = _BY_TYPE[kind] = _found(value)
        return found


def _found(value: Any) -> Library | None:
    for name in serving_names(type(value)):
        if name not in _KNOWN:
            _bring(name)
        library = _KNOWN.get(name) or _BROUGHT.get(name)
        if library is not None and library.recognizes(value):
            return library
    return _STANDARD if _STANDARD.recognizes(value) else None


@constant
def _bring(name: str) -> None:
    """Find the library that a backend brings, if it can be loaded."""
    if name not in entries():
        return
    try:
        library = getattr(load(name), "library", None)
    except (Exception, SystemExit):  # the error is raised where x is to be run
        return
    if isinstance(library, Library):
        _BROUGHT[name] = library


def serving_names(kind: type[Any]) -> list[str]:
    """Return the names under which a backend may serve a type of array, or one it derives from."""
    modules = [base.__module__.partition(".")[0] for base in kind.__mro__]
    names = [_PARTS.get(module, module) for module in modules]
    return [name for name in dict.fromkeys(names) if name != "builtins"]


def missing(value: Any) -> list[str]:
    """Return what an array of the standard lacks of what the library needs."""
    library = library_of(value)
    return [name for name in NEEDED if not hasattr(value, name)] if library is _STANDARD else []


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
    if name in _PARTS:
        return f"the backend for arrays of {name} has the name {_PARTS[name]}"
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
