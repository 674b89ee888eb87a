"""Columns of numbers: one for each point, or for each step."""

import numbers
from collections.abc import Sequence

import numpy as np

from schedalg.arrays import (
    Array,
    Namespace,
    device,
    has_values,
    is_array,
    namespace,
    real_dtype,
    requires_gradient,
    to_host,
    type_name,
)
from schedalg.checks.arrays import check_constant, check_readable, check_unmasked, host_values


def as_array(name: str, values: object) -> Array:
    """Return an array of any library as it is, and a sequence of numbers as a NumPy array.

    NumPy's long doubles become float64: `inf` where they are beyond it.

    Raises:
        TypeError: `values` is neither an array nor a sequence, or it is a masked array.
        ValueError: `values` holds sequences of different lengths.
    """
    check_unmasked(name, values)
    if is_array(values):
        check_readable(name, values)
        if isinstance(values, np.ndarray | np.generic):
            return _without_long_double(to_host(values))
        return values
    if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray):
        if not all(issubclass(kind, numbers.Number) for kind in set(map(type, values))):
            if any(map(requires_gradient, values)):
                raise TypeError(f"{name} must hold plain numbers, not tensors with gradients")
            for k, value in enumerate(values):
                check_readable(f"{name}[{k}]", value)
            values = [
                host_values(f"{name}[{k}]", value) if is_array(value) else value
                for k, value in enumerate(values)
            ]
        try:
            return _without_long_double(to_host(np.asarray(values)))
        except ValueError:
            raise ValueError(f"{name} must be 1-D, got sequences of different lengths") from None
    raise TypeError(f"{name} must be an array or a sequence of numbers, got {type_name(values)}")


def _without_long_double(array: np.ndarray) -> np.ndarray:
    if array.dtype.char != "g":
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def host_array(name: str, values: object) -> np.ndarray:
    """Return an array of any library, or a sequence of numbers, as a NumPy array.

    Raises:
        TypeError: As `as_array`; or the values cannot be read, or are traced.
        ValueError: As `as_array`.
    """
    return host_values(name, as_array(name, values))


def host_result(what: str, values: object) -> np.ndarray:
    """Return what a user's function returned, a number or several, as a NumPy array.

    Raises:
        TypeError: It carries a gradient, which would be lost.
        ValueError: It holds sequences of different lengths, or cannot be read.
    """
    if requires_gradient(values):
        raise TypeError(f"{what} carries a gradient, and its input does not")
    if is_array(values) or isinstance(values, Sequence):
        values = host_array(what, values)
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
    check_constant(name, values)
    array = host_array(name, values)
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
