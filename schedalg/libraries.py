"""What differs between array libraries, and who knows it: this file, and the backends.

An array is recognized by its type. If the backend that serves its library (see `plugins`) has an
attribute `library`, a `Library`, that is asked about the arrays. An array that no backend knows is
asked by the array API standard, as array-api-compat sees it.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import array_api_compat
import numpy as np

from schedalg.plugins import PARTS, entries, load

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


def constant(function: Function) -> Function:
    """Mark a function as one whose result follows from values alone, arrays not among them.

    `torch.compile` calls it while it traces, and takes the result as a constant. It cannot look
    into what such a function does: the arithmetic of tables, and the search for a backend.
    """
    # What torch.compiler.assume_constant_result does. torch is not imported here, and a backend
    # that did it would be found too late: while a first call is traced.
    function.__dict__["_dynamo_marked_constant"] = True
    return function


#: What the library asks of every array, apart from the device that it is on.
NEEDED = ("shape", "dtype", "ndim")


class Value:
    """An object that a program which `torch.compile` traces can hold as a constant."""

    __slots__ = ()

    @constant
    def _constant(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return `function(self, *arguments)`, computed once as a constant where a call is traced.

        What it returns cannot be passed to another function that is marked `constant`. Its methods
        can be called.
        """
        return function(self, *arguments)


class Library:
    """What is asked of a library about its arrays; as here, where it follows the standard.

    A backend derives from it, and overrides what its library does otherwise.
    """

    __slots__ = ()
    #: The types of its arrays, if no value needs to be looked at; else `recognizes` says.
    types: tuple[type[Any], ...] = ()
    #: Whether its 0-d arrays multiply any array without changing its dtype, as Python's floats do.
    scalars_adapt = False
    #: Whether it moves arrays between devices by itself.
    moves_arrays = False

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array of this library; the answer depends on its type alone."""
        if self.types:
            return isinstance(value, self.types)
        return bool(array_api_compat.is_array_api_obj(value))

    def compiling(self) -> bool:
        """Whether a compiler that can only follow its own library's operations traces the call."""
        return False

    def namespace(self, x: Any) -> Any:
        """Return the module that holds the functions of the array API standard for x."""
        return array_api_compat.array_namespace(x)

    def device(self, x: Any) -> Any:
        """Return the device that x is on."""
        return array_api_compat.device(x)

    def to_host(self, x: Any) -> np.ndarray:
        """Return the values of x, without its gradient, as a NumPy array.

        Raises:
            TypeError: NumPy cannot read them.
        """
        host = np.asarray(x)
        if host.dtype == object:
            kind = f"{type(x).__module__}.{type(x).__name__}"
            raise TypeError(f"numbers are needed here, and NumPy cannot read those of a {kind}")
        return host

    def is_real_floating(self, x: Any) -> bool:
        """Whether x holds real floating-point numbers, half precision included."""
        return bool(self.namespace(x).isdtype(x.dtype, "real floating"))

    def requires_gradient(self, x: Any) -> bool:
        """Whether a gradient or a tracer follows x."""
        return False

    def has_values(self, x: Any) -> bool:
        """Whether x has values yet, which `to_host` returns; a tracer of a compiler has none."""
        return True

    def array_like(self, values: np.ndarray, like: Any) -> Any:
        """Return numbers of the host in the dtype and on the device of an array."""
        return self.namespace(like).asarray(values, dtype=like.dtype, device=self.device(like))

    def sent(self, values: np.ndarray, dtype: Any, like: Any) -> Any:
        """Return numbers of the host on the device of an array; by default in their own dtype."""
        return self.namespace(like).asarray(values, dtype=dtype, device=self.device(like))

    def operand(self, values: np.ndarray, dtype: Any, x: Any) -> Any:
        """Return numbers of the host, ready for an operation with an array."""
        return self.sent(values, dtype, x)

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

        The arguments are not arrays. The result is an array, or numbers.
        """
        return function(*arguments)

    def are_positions(self, k: Any, n: int, x: Any) -> bool:
        """Whether k surely holds positions below n, as arrays are indexed with, in a shape of x.

        Its shape is (B,), or a longer leading part of that of x.
        """
        return False

    def surely_fit(self, x: Any, y: Any, k: Any, n: int) -> bool:
        """Whether x and y surely are samples alike, and `are_positions` of k; a quick test."""
        return False

    def rows_at(self, table: Any, position: Any) -> tuple[Any, ...]:
        """Return each row of a table at positions.

        Args:
            table: (R, N, ...).
            position: Integers on the table's device, of any shape, or an int: 0 to N - 1.

        Returns:
            R new arrays: the shape of `position`, (1,) for one, and then that of the table's rows.
        """
        xp = self.namespace(table)
        if isinstance(position, int):  # which would have to be uploaded
            rows = xp.asarray(table[:, position : position + 1, ...], copy=True)
        else:
            rows = xp.take(table, xp.reshape(position, (-1,)), axis=1)
            if position.ndim > 1:
                rows = xp.reshape(rows, (table.shape[0], *position.shape, *table.shape[2:]))
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
        return self.likeness(x)(result)

    def likeness(self, x: Any) -> Callable[[Any], bool]:
        """Return `is_like` for many results. It does not hold x."""
        kind, shape, dtype = type(x), x.shape, x.dtype
        device = getattr(x, "device", None)  # tracers have none

        def like(result: Any) -> bool:
            if type(result) is not kind or result.shape != shape or result.dtype != dtype:
                return False
            return getattr(result, "device", None) == device and self.holds_elements(result)

        return like

    def traced_keys(self, name: str, seeds: Any, x: Any) -> Any | None:
        """Return the keys of seeds that have no values yet, for the backend; None if they have.

        Args:
            name: What they are called.
            seeds: What the user gave.
            x: (B, ...), the sample that noise will be added to.
        """
        return None

    def unreadable(self, x: Any) -> str | None:
        """Return why the values of x cannot be read, as "is on ..."; None if they can."""
        return None if self.holds_elements(x) else "lost its memory, and nothing can be read"

    def drawing(self, source: Any, x: Any) -> Callable[[Any], Any] | None:
        """Return a function of x that draws noise like it, if the source is a generator of this.

        Args:
            source: What the user gave as noise. None: any noise; a seed will be chosen, unless a
                compiler traces the call, in whose program it would be the same in every call.
            x: The sample that noise will be added to.
        """
        return None

    def pullback(
        self, function: Callable[..., Any], *inputs: Any
    ) -> tuple[Any, Callable[[Any], tuple[Any, ...]]] | None:
        """Return function(*inputs), and what takes a vector v like it to its products.

        There is one for each input, v ∂function/∂input, like the input. None if the library follows
        no gradients. What is returned has none of its own, but where a tracer flows.
        """
        return None

    def untraced(self, function: Function) -> Function:
        """Return a function that no compiler traces: its calls are not part of any program."""
        return function

    def constants(
        self, x: Any, function: Callable[..., list[np.ndarray]], *arguments: Any
    ) -> list[Any]:
        """Return `function(*arguments)`, arrays of NumPy, as constants of a traced program.

        Args:
            x: An array on the device where the results are to be.
            function: A function of values, no arrays.
            *arguments: The values.
        """
        raise NotImplementedError(f"no compiler of {type(self).__name__} is known")


class NumpyLibrary(Library):
    """NumPy, whose own module follows the standard since 2.1.

    Using it directly spares the wrappers of array-api-compat, and their import, which takes longer
    than everything else in schedalg.
    """

    types = (np.ndarray, np.generic)
    scalars_adapt = True

    def namespace(self, x: Any) -> Any:
        """Return NumPy."""
        return np

    def device(self, x: Any) -> str:
        """Return "cpu"."""
        return "cpu"

    def is_real_floating(self, x: Any) -> bool:
        """Whether x holds real floating-point numbers, half precision included."""
        return bool(x.dtype.kind == "f")

    def array_like(self, values: np.ndarray, like: Any) -> np.ndarray:
        """Return numbers in the dtype of an array."""
        return np.asarray(values, dtype=like.dtype)

    def lasts(self, x: Any) -> bool:
        """Return True."""
        return True


NUMPY = NumpyLibrary()
#: The libraries that this file knows itself, by the first part of their arrays' module.
_KNOWN: dict[str, Library] = {"numpy": NUMPY}
_STANDARD = Library()
#: A type of arrays that no library lists has one of these.
_OF_ARRAYS = ("shape", "__array_namespace__", "__getattr__")
#: Stands for the library of a type of which no value has been seen.
UNSEEN: Final = Library()
_BY_TYPE: dict[type[Any], Library | None] = {np.ndarray: NUMPY}


def library_of(value: Any) -> Library | None:
    """Return the library of an array; None if the value is not an array."""
    library = _of_type(type(value))
    return library if library is not UNSEEN else _seen(value)


@constant
def _of_type(kind: type[Any]) -> Library | None:
    """Return the library of a type of arrays; `UNSEEN` if only a value can say."""
    try:
        return _BY_TYPE[kind]
    except KeyError:
        for name in serving_names(kind):
            library = _KNOWN.get(name) or _from_backend(name)
            if library is not None and not library.types:
                return UNSEEN
            if library is not None and issubclass(kind, library.types):
                _BY_TYPE[kind] = library
                return library
        if any(hasattr(kind, name) for name in _OF_ARRAYS):
            return UNSEEN
        _BY_TYPE[kind] = None
        return None


def _seen(value: Any) -> Library | None:
    """Return the library of a value of a type that was not seen before."""
    found = _BY_TYPE[type(value)] = _found(value)
    return found


def _found(value: Any) -> Library | None:
    for name in serving_names(type(value)):
        library = _KNOWN.get(name) or _from_backend(name)
        if library is not None and library.recognizes(value):
            return library
    return _STANDARD if _STANDARD.recognizes(value) else None


def _from_backend(name: str) -> Library | None:
    """Return the `library` of the backend of this name; None if it has none or cannot be loaded."""
    if name not in entries():
        return None
    try:
        library = getattr(load(name), "library", None)
    except (Exception, SystemExit):  # the error is raised where x is to be run
        return None
    return library if isinstance(library, Library) else None


def serving_names(kind: type[Any]) -> list[str]:
    """Return the names under which a backend may serve a type of array, or one it derives from."""
    modules = [base.__module__.partition(".")[0] for base in kind.__mro__]
    names = [PARTS.get(module, module) for module in modules]
    return [name for name in dict.fromkeys(names) if name != "builtins"]


def missing(value: Any) -> list[str]:
    """Return what an array of the standard lacks of what the library needs."""
    if library_of(value) is not _STANDARD:
        return []
    lacking = [name for name in NEEDED if not hasattr(value, name)]
    try:
        _STANDARD.device(value)  # which array-api-compat knows of some that do not say it
    except AttributeError:
        lacking.append("device")
    return lacking
