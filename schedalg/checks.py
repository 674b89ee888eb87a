"""Checks of the arguments that users pass in."""

import math
import numbers
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

import numpy as np

from schedalg.arrays import (
    Array,
    Namespace,
    device,
    has_values,
    holds_elements,
    integer_dtype,
    is_array,
    is_real_floating,
    known,
    namespace,
    real_dtype,
    requires_gradient,
    to_host,
    type_name,
)
from schedalg.libraries import library_of, missing

#: The most points, steps or repetitions: a schedule of so many takes about a gigabyte to make.
MOST = 10_000_000


def as_array(name: str, values: object) -> Array:
    """Return an array of any library as it is, and a sequence of numbers as a NumPy array.

    Raises:
        TypeError: `values` is neither an array nor a sequence, or it is a masked array.
        ValueError: `values` holds sequences of different lengths.
    """
    _check_unmasked(name, values)
    if is_array(values):
        check_readable(name, values)
        return to_host(values) if isinstance(values, np.ndarray | np.generic) else values
    if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray):
        if not all(issubclass(kind, numbers.Number) for kind in set(map(type, values))):
            if any(map(requires_gradient, values)):
                raise TypeError(f"{name} must hold plain numbers, not tensors with gradients")
            for k, value in enumerate(values):
                check_readable(f"{name}[{k}]", value)
            values = [to_host(value) if is_array(value) else value for value in values]
        try:
            return to_host(np.asarray(values))
        except ValueError:
            raise ValueError(f"{name} must be 1-D, got sequences of different lengths") from None
    raise TypeError(f"{name} must be an array or a sequence of numbers, got {type_name(values)}")


def host_result(what: str, values: object) -> np.ndarray:
    """Return what a user's function returned, a number or several, as a NumPy array.

    Raises:
        TypeError: It carries a gradient, which would be lost.
        ValueError: It holds sequences of different lengths, or cannot be read.
    """
    if requires_gradient(values):
        raise TypeError(f"{what} carries a gradient, and its input does not")
    if is_array(values) or isinstance(values, Sequence):
        values = to_host(as_array(what, values))
    return np.asarray(values)


def table(name: str, values: object) -> tuple[Namespace, Array]:
    """Return the values as a 1-D array in the widest real type, and their namespace.

    Raises:
        TypeError: `values` does not hold real numbers.
        ValueError: `values` is empty or not 1-D.
    """
    array = as_array(name, values)
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
    return xp, xp.astype(array, real_dtype(xp, device(array)), copy=False)


def host_numbers(name: str, values: object) -> np.ndarray:
    """Return the values as a 1-D NumPy array of int64, or of float64.

    Raises:
        TypeError: `values` does not hold real numbers, or requires a gradient.
        ValueError: `values` is not 1-D, or an integer does not fit int64.
    """
    _check_constant(name, values)
    array = to_host(as_array(name, values))
    if array.dtype.kind not in "iuf" and array.size:
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {array.shape}")
    if array.dtype.kind == "f" or not array.size:
        with np.errstate(over="ignore"):  # to inf, which is rejected as a timestep
            return array.astype(np.float64)
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        k = int(np.argmax(array))
        raise ValueError(f"{name}[{k}] is {array[k]}: too large for a 64-bit integer")
    return array.astype(np.int64)


def checked_positions(name: str, k: Any, n: int, x: Array) -> Any:
    """Return positions among n points: integers on the same device as x.

    There is one for each sample, (B,); or for each frame, (B, T), and so for any leading part of
    x's shape. One for all is an int; or 0-d, where it cannot be looked at.

    Raises:
        TypeError: `k` does not hold integers, or is of another library than x (NumPy is allowed).
        ValueError: The shape of `k` does not begin that of x; or, in memory of the host, a position
            is out of range.
    """
    library = known(x)
    if library.are_positions(k, n, x):
        return k
    if type(k) is int:
        if not 0 <= k < n:
            raise ValueError(f"{name} is {k}: {_range_of(n)}")
        return k
    xp = namespace(x)
    check_memory(name, k)
    position = k if is_array(k) else as_array(name, k if isinstance(k, Sequence) else np.asarray(k))
    if not isinstance(position, np.ndarray):
        try:
            namespace(x, position)
        except TypeError as error:
            raise TypeError(f"{name} must be of x's library or of NumPy: {error}") from None
        integral = xp.isdtype(position.dtype, "integral")
    else:
        integral = position.dtype.kind in "iu" or position.size == 0
    if not integral:
        raise TypeError(f"{name} must hold integers, got {described(position)}")
    if tuple(position.shape) != tuple(x.shape[: position.ndim]):
        raise ValueError(
            f"{name} must be one integer for all, or integers of shape {tuple(x.shape[:1])}, one "
            f"for each sample, or of a longer leading part of the samples' shape, "
            f"{tuple(x.shape)}; got shape {tuple(position.shape)}"
        )
    dtype = integer_dtype(xp, device(x))
    if not known(position).can_be_read(position):  # traced, or far from the host
        if not library.moves_arrays and device(position) != device(x):
            raise ValueError(
                f"{name} must be on x's device or on the CPU: x is on {device(x)}, and {name} on "
                f"{device(position)}"
            )
        return xp.astype(position, dtype, copy=False)
    host = to_host(position)
    outside = (host < 0) | (host >= n)
    if outside.any():
        index = int(np.argmax(outside))
        indices = ", ".join(str(i) for i in np.unravel_index(index, host.shape))
        place = f"{name}[{indices}]" if host.ndim else name
        raise ValueError(f"{place} is {host.flat[index]}: {_range_of(n)}")
    if not host.ndim:
        return int(host)
    if position is not host:
        position = xp.astype(position, dtype)
        return xp.asarray(position, device=device(x))
    return xp.asarray(host.astype(np.int64), dtype=dtype, device=device(x))


def _range_of(n: int) -> str:
    return f"positions are 0 to {n - 1}" if n else "the schedule has no points"


def require(name: str, values: Array, allowed: Array, rule: str, up_to: int | None = None) -> None:
    """Raise unless all of `allowed[:up_to]` hold, naming the first value that breaks the rule.

    Values that a compiler traces cannot be looked at, and are not checked.

    Raises:
        ValueError: A value breaks the rule. The message has the argument's name, the index, the
            value and what is allowed.
    """
    if not has_values(allowed):
        return
    allowed = allowed[:up_to]
    if isinstance(allowed, np.ndarray):
        if np.count_nonzero(allowed) == allowed.size:
            return
    elif bool(namespace(allowed).all(allowed)):
        return
    index = int(np.argmin(to_host(allowed)))
    raise ValueError(f"{name}[{index}] is {float(to_host(values)[index])!r}: {rule}")


def check_order(name: str, values: Array, *, falls: bool = False) -> None:
    """Raise if values run the other way from first to last: noisiest first, as elsewhere.

    Args:
        name: What they are called.
        values: Numbers, one a point.
        falls: Whether they fall from least to most noisy, as ᾱ does; else they rise.

    Raises:
        ValueError: There are two or more, and all run the other way.
    """
    if not has_values(values):
        return
    host = to_host(values)
    change = np.diff(host)
    if len(change) and ((change > 0) if falls else (change < 0)).all():
        way = "fall" if falls else "rise"
        raise ValueError(
            f"{name}[1] is {host[1].item()!r} after {host[0].item()!r}: all {name} run from most "
            f"to least noisy, as other libraries list them. Here they must {way} strictly, in the "
            f"order from least to most noisy: reverse them, as in {name}[::-1]"
        )


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
    _check_complete(name, array)
    _check_unmasked(name, x)
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
    check_readable(name, array)


def _check_complete(name: str, array: Array) -> None:
    if lacking := missing(array):
        raise TypeError(
            f"{name} is a {type_name(array)}, which lacks {', '.join(lacking)}: arrays of its "
            "library need a backend, an entry point of the group schedalg.backends with its name"
        )


def _check_unmasked(name: str, values: object) -> None:
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
    _check_unmasked(what, result)
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


def check_numeric(name: str, array: Array) -> None:
    """Raise unless an array holds numbers or truth values that can be read.

    Raises:
        TypeError: It is of another dtype, or a masked array.
        ValueError: Its elements cannot be read.
    """
    _check_complete(name, array)
    _check_unmasked(name, array)
    check_readable(name, array)
    if isinstance(array, np.ndarray):
        numeric = to_host(np.empty(0, array.dtype)).dtype.kind in "biufc"
    else:
        kinds = ("bool", "numeric")
        numeric = is_real_floating(array) or namespace(array).isdtype(array.dtype, kinds)
    if not numeric:
        raise TypeError(f"{name} must hold numbers, got {described(array)}")


def described(value: Any) -> str:
    """Return the shape and dtype of an array, or the type of anything else, for a message."""
    if is_array(value):
        return f"shape {tuple(value.shape)}, dtype {value.dtype}"
    return type_name(value)


def number_or_infinity(name: str, value: object) -> float:
    """Return a real number, which may be `inf`, as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is NaN or -inf.
    """
    if isinstance(value, float | np.floating) and value == math.inf:
        return math.inf
    return real_number(name, value)


def flag(name: str, value: object) -> bool:
    """Return True or False as it is.

    Raises:
        TypeError: `value` is neither True nor False.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {shown(value)}")


def positive_integer(name: str, value: object) -> int:
    """Return a count of points, steps or repetitions as an int: from 1 to `MOST`.

    Raises:
        TypeError: `value` is not an integer, or is a bool.
        ValueError: `value` is less than 1 or more than `MOST`.
    """
    number = integer(name, value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    if number > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {shown(number)}")
    return number


def shown(value: Any, depth: int = 2) -> str:
    """Return what a message shows of any value: its repr, or the start of a long one.

    Of an array the shape and dtype, since its elements may be many, or in memory that was freed.
    """
    if is_array(value) and not isinstance(value, np.generic):
        return described(value)
    if isinstance(value, list | tuple) and depth:
        parts = [shown(each, depth - 1) for each in value[:5]] + ["..."] * (len(value) > 5)
        text = ", ".join(parts)
        return f"[{text}]" if isinstance(value, list) else f"({text}{',' * (len(value) == 1)})"
    if not isinstance(value, str | bytes | numbers.Number | np.generic | type | None):
        return type_name(value)
    if isinstance(value, int) and abs(value) >= 10**100:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def integer(name: str, value: object) -> int:
    """Return an integer of any integer type as an int.

    Raises:
        TypeError: `value` is not an integer, or is a bool.
    """
    number: Any = value
    if type(value) is int:
        return value
    if not isinstance(value, bool | np.bool_) and "bool" not in str(getattr(value, "dtype", "")):
        try:
            return operator.index(number)
        except TypeError:
            pass
    raise TypeError(f"{name} must be an integer, got {shown(value)}")


def positive_number(name: str, value: object) -> float:
    """Return a finite number above zero as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is zero, negative, infinite or NaN.
    """
    number = real_number(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be above 0, got {number!r}")
    return number


def real_number(name: str, value: object) -> float:
    """Return a finite real number, or a 0-d array that holds one, as a float.

    Raises:
        TypeError: `value` is not a real number, or requires a gradient.
        ValueError: `value` is infinite or NaN.
    """
    number: Any = value
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, numbers.Real) and is_array(value):
        check_readable(name, value)
        _check_constant(name, value)
        number = to_host(number)
        number = number.item() if number.ndim == 0 else None
    if isinstance(number, bool | np.bool_) or not isinstance(number, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {shown(value)}")
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {result!r}")
    return result


def _check_constant(name: str, value: object) -> None:
    if requires_gradient(value):
        raise TypeError(
            f"{name} requires a gradient, which would be lost here: pass a number, or a tensor "
            "detached from its gradient"
        )


def in_unit(name: str, value: object) -> float:
    """Return a number in (0, 1] as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is not in (0, 1].
    """
    number = positive_number(name, value)
    if number > 1:
        raise ValueError(f"{name} must be in (0, 1], got {number!r}")
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless the value is one of the choices.

    Raises:
        ValueError: It is not one of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {shown(value)}")


def check_callable(name: str, function: object) -> None:
    """Raise unless the value can be called. A class is refused: an instance of it was meant.

    Raises:
        TypeError: `function` is not callable.
    """
    if isinstance(function, type):
        raise TypeError(f"{name} must be an object, not the class {function.__name__}")
    if not callable(function):
        raise TypeError(f"{name} must be callable, got {type(function).__name__}")


def check_sampler_object(sampler: object) -> None:
    """Raise unless the value has a method `plan` or `step`, and is not a class.

    Raises:
        TypeError: It has neither, or is a class.
    """
    methods = [getattr(sampler, name, None) for name in ("plan", "step")]
    if isinstance(sampler, type) or not any(map(callable, methods)):
        raise TypeError(f"sampler must be a sampler, such as DDIM(); got {shown(sampler)}")


def raise_stopped(error: StopIteration, what: str = "model, sampler, clip or noise") -> NoReturn:
    """Raise what a StopIteration of a user's function is reported as.

    A loop that yields cannot pass it on: Python takes it for its own end.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"{what} raised StopIteration: an iterator in it has come to its end"
    ) from error


def require_whole(name: str, value: object) -> None:
    """Raise if a value is the empty stand-in for one that is made in the traced program.

    Raises:
        ValueError: The value is such a stand-in.
    """
    kind = type(value)
    held: Any = getattr(value, "__dict__", None)
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.init]
        whole = all(hasattr(value, name) if held is None else name in held for name in names)
    else:
        whole = held != {} or kind.__init__ is object.__init__
    if not whole:
        raise ValueError(
            f"{name}: a {kind.__name__} that is made inside a function for torch.compile is not "
            "known when the function is traced: make it outside of the function"
        )


def check_version(name: str, data: Mapping[str, Any], kind: str, version: int) -> int:
    """Return the version of what a file holds, if it is of this type and known here.

    Args:
        name: What errors call the data.
        data: What the file holds.
        kind: The type that is wanted.
        version: The last version that is known.

    Raises:
        ValueError: It is of another type, or of a later version.
    """
    found, number = data.get("type"), data.get("version")
    if not isinstance(found, str) or found != kind or type(number) is not int or number < 1:
        raise ValueError(
            f"{name} must be of type {kind!r} with a version from 1 to {version}; got type "
            f"{shown(found)}, version {shown(number)}"
        )
    if number > version:
        raise ValueError(
            f"{name} is of version {number} of {kind}, written by a later schedalg; this one reads "
            f"versions up to {version}: install a newer one"
        )
    return number
