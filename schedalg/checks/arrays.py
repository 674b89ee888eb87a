"""Arrays that users pass in, and that their functions return."""

import sys
from typing import Any

import numpy as np

from schedalg.arrays import (
    Array,
    device,
    holds_elements,
    is_array,
    is_real_floating,
    known,
    namespace,
    requires_gradient,
    to_host,
    type_name,
)
from schedalg.checks.messages import described
from schedalg.libraries import library_of, missing


def check_sample(name: str, x: object) -> None:
    """Raise unless x is a batch of real floating-point numbers.

    Raises:
        TypeError: `x` is not an array, or has another dtype.
        ValueError: `x` has no batch dimension.
    """
    library = library_of(x)
    if library is None:
        raise TypeError(
            f"{name} must be an array, of NumPy, torch, JAX or another library of the array API "
            f"standard; got {type_name(x)}"
        )
    array: Array = x
    if not library.types:
        _check_complete(name, array)
    check_unmasked(name, x)
    if not library.is_real_floating(array):
        raise TypeError(
            f"{name} must be of a real floating-point dtype, such as float32; got "
            f"{described(array)}"
        )
    if getattr(array.dtype, "itemsize", 2) < 2:
        raise TypeError(f"{name} must be of a dtype of 16 bits or more, got {described(array)}")
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        raise TypeError(f"{name} must be in the machine's byte order, got {described(array)}")
    if array.ndim == 0:
        raise ValueError(f"{name} must have a batch dimension, shape (B, ...); got shape ()")
    if (reason := library.unreadable(array)) is not None:
        raise ValueError(f"{name} {reason}")


def _check_complete(name: str, array: Array) -> None:
    if lacking := missing(array):
        raise TypeError(
            f"{name} is a {type_name(array)}, which lacks {', '.join(lacking)}: arrays of its "
            "library need a backend, an entry point of the group schedalg.backends with its name"
        )


def check_unmasked(name: str, values: object) -> None:
    """Raise if the values are a masked array.

    Raises:
        TypeError: They are one.
    """
    # There is no masked array before numpy.ma is loaded, which NumPy does when it is first named.
    if not isinstance(values, np.ndarray):  # a compiler would watch the modules that are loaded
        return
    if isinstance(values, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):
        raise TypeError(f"{name} must not be a masked array: the values under the mask are unknown")


def check_like(what: str, result: object, x: Array, like: str = "x") -> None:
    """Raise unless the result is an array of x's library, shape and dtype.

    Args:
        what: What errors call the result.
        result: Anything.
        x: The array that it must be like.
        like: What errors call that array.

    Raises:
        TypeError: `result` is not an array, or is of another library.
        ValueError: Its shape, dtype or device differs from that of x.
    """
    if not is_array(result):
        raise TypeError(f"{what} must be an array like {like}, got {type_name(result)}")
    array: Array = result
    check_unmasked(what, result)
    if type(array) is not type(x) and namespace(array) is not namespace(x):
        raise TypeError(
            f"{what} must be of {like}'s library: expected {type_name(x)}, got {type_name(array)}"
        )
    if array.shape != x.shape:
        raise ValueError(
            f"{what} has the wrong shape: expected {tuple(x.shape)}, as {like} has, got "
            f"{tuple(array.shape)}"
        )
    if array.dtype != x.dtype:
        raise ValueError(
            f"{what} has the wrong dtype: expected {x.dtype}, as {like} has, got {array.dtype}; "
            "convert one of the two"
        )
    if isinstance(x, np.ndarray):
        return
    if not known(x).moves_arrays and device(array) != device(x):
        raise ValueError(
            f"{what} must be on {like}'s device: expected {device(x)}, got {device(array)}"
        )
    check_memory(what, array)


def is_like(result: Any, x: Array) -> bool:
    """Return whether the result has the type, shape, dtype and device of x; a quick test."""
    library = library_of(x)
    return library is not None and library.is_like(result, x)


def check_memory(what: str, array: Array) -> None:
    """Raise unless an array's memory holds all of its elements; see `holds_elements`.

    Raises:
        ValueError: The memory is too small for the shape, or was freed.
    """
    if not holds_elements(array):
        raise ValueError(f"{what} {known(array).unreadable(array)}")


def check_readable(name: str, value: object) -> None:
    """Raise if the value is an array whose elements cannot be read.

    Raises:
        ValueError: It is on torch's device meta, sparse, or its memory was freed.
    """
    library = library_of(value)
    reason = None if library is None else library.unreadable(value)
    if reason is not None:
        raise ValueError(f"{name} {reason}")


def host_values(name: str, array: Array) -> np.ndarray:
    """Return the values of an array of any library as a NumPy array.

    Raises:
        TypeError: They cannot be read, or are traced.
    """
    try:
        return to_host(array)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error


def check_numeric(name: str, array: Array) -> None:
    """Raise unless an array holds numbers or truth values that can be read.

    Raises:
        TypeError: It is of another dtype, or a masked array.
        ValueError: Its elements cannot be read.
    """
    _check_complete(name, array)
    check_unmasked(name, array)
    check_readable(name, array)
    if isinstance(array, np.ndarray):
        numeric = to_host(np.empty(0, array.dtype)).dtype.kind in "biufc"
    else:
        kinds = ("bool", "numeric")
        numeric = is_real_floating(array) or namespace(array).isdtype(array.dtype, kinds)
    if not numeric:
        raise TypeError(f"{name} must hold numbers, got {described(array)}")


def check_constant(name: str, value: object) -> None:
    """Raise if a gradient or a tracer follows the value.

    Raises:
        TypeError: It does.
    """
    if requires_gradient(value):
        host_values(name, value)  # which raises of a tracer, whose values are not known
        raise TypeError(
            f"{name} requires a gradient, which would be lost here: pass a number, or a tensor "
            "detached from its gradient"
        )
