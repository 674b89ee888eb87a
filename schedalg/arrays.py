"""What is asked of an array library."""

import math
from collections.abc import Iterable
from typing import Any, TypeAlias, TypeVar

import numpy as np

from schedalg.libraries import Library, library_of

#: An array of any library that follows the array API standard.
Array: TypeAlias = Any
#: Its type, where a result has that of an argument.
ArrayT = TypeVar("ArrayT")
#: The module that holds such a library's functions.
Namespace: TypeAlias = Any


def namespace(*arrays: Array) -> Namespace:
    """Return the array-API namespace that all the arrays belong to.

    Raises:
        TypeError: An argument is not an array, or they belong to different libraries.
    """
    found: Any = None
    for array in arrays:
        library = library_of(array)
        own = None if library is None else library.namespace(array)
        if own is None or (found is not None and own is not found):
            names = ", ".join(dict.fromkeys(type_name(array) for array in arrays))
            raise TypeError(f"arrays must be of one library, got {names}")
        found = own
    return found


def is_array(value: object) -> bool:
    """Whether the value is an array of a supported library."""
    return library_of(value) is not None


def device(array: Array) -> Any:
    """Return the device that an array is on."""
    return known(array).device(array)


def known(array: Array) -> Library:
    """Return the library of an array.

    Raises:
        TypeError: It is not an array.
    """
    library = library_of(array)
    if library is None:
        raise TypeError(f"expected an array, got {type_name(array)}")
    return library


def real_dtype(xp: Namespace, device: Any = None) -> Any:
    """Return float64 where the library and the device have it, and float32 elsewhere."""
    if xp is np:
        return np.float64
    dtypes = xp.__array_namespace_info__().dtypes(kind="real floating", device=device)
    return dtypes.get("float64", dtypes["float32"])


def integer_dtype(xp: Namespace, device: Any = None) -> Any:
    """Return the integer type that the library indexes with."""
    if xp is np:
        return np.int64
    return xp.__array_namespace_info__().default_dtypes(device=device)["integral"]


def is_real_floating(array: Array) -> bool:
    """Whether the array holds real floating-point numbers (half precision included)."""
    return known(array).is_real_floating(array)


def to_host(array: Array) -> np.ndarray:
    """Return the values of an array of any library, without its gradient, as a NumPy array.

    A number becomes an array of no dimensions. Small types that NumPy has no arithmetic for
    (bfloat16, int4, ...) become float32 and int8, which hold all their numbers.
    """
    if type(array) is np.ndarray and array.dtype.kind != "V":
        return array
    library = library_of(array)
    host = np.asarray(array) if library is None else library.to_host(array)
    if host.dtype.kind == "V" and host.dtype.names is None and host.dtype.name != "void":
        return host.astype(np.int8 if np.can_cast(host.dtype, np.int8) else np.float32)
    return host


def handed_out(array: np.ndarray) -> np.ndarray:
    """Return a read-only copy of a value's own array.

    Read-only, so that an attempt to change the value is an error. A copy, since torch takes the
    address alone (`torch.from_dlpack`, `torch.as_tensor`) and writes to read-only memory too.
    """
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def flipped(array: Array) -> Array:
    """Return the entries of a column in reverse; a view where the library has one."""
    return array[::-1] if type(array) is np.ndarray else namespace(array).flip(array)


def host_number(value: Any) -> float:
    """Return a number, or the value of an array of no dimensions, without its gradient."""
    return float(value) if isinstance(value, float) else float(to_host(value))


def compiling(x: Array) -> bool:
    """Whether a compiler of x's library traces the call, so that it follows arrays of it alone."""
    library = library_of(x)
    return library is not None and library.compiling()


def requires_gradient(array: object) -> bool:
    """Whether the value is an array that a gradient or a tracer follows."""
    library = library_of(array)
    return library is not None and library.requires_gradient(array)


def has_values(array: object) -> bool:
    """Whether `to_host` can return the values of an array: it is not traced by a compiler."""
    if type(array) is np.ndarray:
        return True
    library = library_of(array)
    return library is None or library.has_values(array)


def seen(array: Array) -> Array:
    """Return the values of an array on the host; one that is traced and has none, as it is."""
    return to_host(array) if has_values(array) else array


def list_of(column: Array) -> list[Any]:
    """Return the entries of a column: numbers, or traced ones where it has no values."""
    values = seen(column)
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def holds(condition: Array, unseen: bool | np.ndarray = True) -> np.ndarray:
    """Return a condition on the host, of whatever shape.

    Args:
        condition: Booleans of any library.
        unseen: What is taken to hold if the condition is traced and has no values.
    """
    if type(condition) is np.ndarray:
        return condition
    if has_values(condition):
        return to_host(condition)
    return np.array(np.broadcast_to(unseen, tuple(condition.shape)))


def differs_from_0(column: Array) -> np.ndarray:
    """Return whether each number differs from 0, on the host; one that has no value does."""
    return column.astype(bool) if type(column) is np.ndarray else holds(column != 0)


def multiplier(value: Any, x: Array) -> Any:
    """Return one number, ready to multiply x without changing its dtype.

    Floats do that by themselves, and so do 0-d tensors of torch; those of JAX (of a schedule with a
    gradient) must be in x's own dtype.
    """
    if isinstance(value, float) or not is_array(value):
        return float(value)
    if not requires_gradient(value):
        return float(to_host(value))
    if known(x).scalars_adapt:
        return value
    return namespace(x, value).astype(value, x.dtype)


def given(weight: Any) -> bool:
    """Whether a weight is to be multiplied with: no number 0. Arrays are not looked into."""
    return not isinstance(weight, float) or weight != 0


def weighted(terms: Iterable[tuple[Any, Any]], rounded: bool = True) -> Array:
    """Return Σ weight value without what is multiplied by 0, half precision in float32 inside.

    Args:
        terms: (weight, array), the first array being of the dtype to return.
        rounded: Whether half precision is rounded to its own type again.
    """
    total, first = None, None
    for weight, value in terms:
        first = value if first is None else first
        if given(weight):
            term = weight * widened(value)
            total = term if total is None else total + term
    if total is None:
        total = 0.0 * widened(first)
    if rounded and first is not None and total.dtype != first.dtype:
        return namespace(first).astype(total, first.dtype)
    return total


def summed(values: Array) -> Array:
    """Return the sum over the elements of each sample, (B,), in float64 where there is one.

    In float32, a sum over many elements keeps too few digits of the difference of two such sums.
    """
    xp = namespace(values)
    flat = xp.reshape(values, (values.shape[0], math.prod(values.shape[1:])))
    return xp.sum(flat, axis=1, dtype=real_dtype(xp, device(flat)))


def is_half(x: Array) -> bool:
    """Whether an array is in half precision: float16 or bfloat16."""
    return str(x.dtype).endswith("float16")


def widened(x: Array) -> Array:
    """Return half precision in float32, and anything else as it is."""
    if is_half(x):
        xp = namespace(x)
        return xp.astype(x, xp.float32)
    return x


def holds_elements(array: Array) -> bool:
    """Whether the value's memory, if it is an array, is as large as its shape needs."""
    library = library_of(array)
    return library is None or library.holds_elements(array)


def type_name(value: object) -> str:
    """Return the name of a value's type, for a message."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
