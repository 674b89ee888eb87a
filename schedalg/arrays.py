"""What the algebra asks of an array library, and of the arrays that users pass in."""

import math
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

#: An array of any library that follows the array API standard.
Array: TypeAlias = Any
#: The module that holds such a library's functions.
Namespace: TypeAlias = Any


def namespace(*arrays: Array) -> Namespace:
    """Return the array-API namespace that all the arrays belong to.

    NumPy's own module follows the standard since 2.1. Using it directly spares the wrappers of
    array-api-compat, and their import, which takes longer than everything else in schedalg.

    Raises:
        TypeError: An argument is no array, or they belong to different libraries.
    """
    for array in arrays:
        if not isinstance(array, np.ndarray):
            return array_api_compat.array_namespace(*arrays)
    return np


def is_array(value: object) -> bool:
    """Whether the value is an array of a supported library."""
    return isinstance(value, np.ndarray) or bool(array_api_compat.is_array_api_obj(value))


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
    xp = namespace(array)
    if xp is np:
        return bool(array.dtype.kind == "f")
    return bool(xp.isdtype(array.dtype, "real floating"))


def to_host(array: Array) -> np.ndarray:
    """Return the values of an array of any library, without its gradient, as a NumPy array."""
    if array_api_compat.is_torch_array(array):
        return np.asarray(array.detach().cpu())
    if array_api_compat.is_cupy_array(array):
        return np.asarray(array.get())
    if array_api_compat.is_jax_array(array):
        from jax.lax import stop_gradient

        array = stop_gradient(array)
    return np.asarray(array)


def table(name: str, values: object) -> tuple[Namespace, Array]:
    """Return the values as a 1-D array in the widest real type, and their namespace.

    Raises:
        TypeError: The values are no numbers, or complex.
        ValueError: They are empty or not 1-D.
    """
    if is_array(values):
        array: Array = values
    elif isinstance(values, Sequence) and not isinstance(values, str | bytes):
        try:
            array = np.asarray(values)
        except ValueError:
            raise ValueError(f"{name} must be 1-D, got sequences of different lengths") from None
    else:
        raise TypeError(
            f"{name} must be a 1-D array or sequence of numbers, got {type(values).__name__}"
        )
    xp = namespace(array)
    if xp is np:
        numeric = array.dtype.kind in "iuf"
    else:
        numeric = xp.isdtype(array.dtype, ("integral", "real floating"))
    if array.size == 0:
        raise ValueError(f"{name} is empty: at least one value is needed")
    if not numeric:
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {tuple(array.shape)}")
    if xp is np:
        return xp, array.astype(np.float64, copy=False)
    return xp, xp.astype(array, real_dtype(xp, array_api_compat.device(array)), copy=False)


def require(name: str, values: Array, allowed: Array, rule: str, up_to: int | None = None) -> None:
    """Raise unless all of `allowed[:up_to]` hold, naming the first value that breaks the rule.

    Raises:
        ValueError: With the argument's name, the index, the value and what is allowed.
    """
    allowed = allowed[:up_to]
    if bool(allowed.all() if isinstance(allowed, np.ndarray) else namespace(allowed).all(allowed)):
        return
    index = int(np.argmin(to_host(allowed)))
    raise ValueError(f"{name}[{index}] is {float(to_host(values)[index])!r}: {rule}")


def positive_integer(name: str, value: object) -> int:
    """Return a count as an int.

    Raises:
        TypeError: It is no integer (a bool is none either).
        ValueError: It is less than 1.
    """
    number = integer(name, value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def integer(name: str, value: object) -> int:
    """Return an integer of any integer type as an int.

    Raises:
        TypeError: It is no integer (a bool is none either).
    """
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def positive_number(name: str, value: object) -> float:
    """Return a finite number above zero as a float.

    Raises:
        TypeError: It is no real number.
        ValueError: It is zero, negative, infinite or NaN.
    """
    number = real_number(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be above 0, got {number!r}")
    return number


def real_number(name: str, value: object) -> float:
    """Return a finite real number as a float.

    Raises:
        TypeError: It is no real number.
        ValueError: It is infinite or NaN.
    """
    if isinstance(value, bool | str | bytes | complex):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number!r}")
    return number
