"""What is asked of an array library."""

import sys
from collections.abc import Iterable
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
            break
    else:
        return np
    try:
        return array_api_compat.array_namespace(*arrays)
    except TypeError:
        names = ", ".join(dict.fromkeys(type_name(array) for array in arrays))
        raise TypeError(f"arrays must be of one library, got {names}") from None


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
    if isinstance(array, np.ndarray):
        return array
    if array_api_compat.is_torch_array(array):
        return np.asarray(array.detach().cpu())
    if array_api_compat.is_cupy_array(array):
        return np.asarray(array.get())
    if array_api_compat.is_jax_array(array):
        from jax.lax import stop_gradient

        array = stop_gradient(array)
    return np.asarray(array)


def carries_gradient(array: Array) -> bool:
    """Whether a gradient is being followed through the array."""
    if isinstance(array, np.ndarray):
        return False
    if array_api_compat.is_torch_array(array):
        return bool(array.requires_grad)
    if array_api_compat.is_jax_array(array):
        from jax.core import Tracer

        return isinstance(array, Tracer)
    return False


def multiplier(value: Any, x: Array) -> Any:
    """Return one number, ready to multiply x without changing its dtype.

    Floats do that by themselves, and so do 0-d tensors of torch; those of JAX (of a schedule with a
    gradient) must be in x's own dtype.
    """
    if not is_array(value):
        return float(value)
    if not carries_gradient(value):
        return float(to_host(value))
    if array_api_compat.is_torch_array(x):
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
    """Whether a tensor's storage is as large as its shape needs; True for other arrays.

    torch lets a storage be shrunk under a tensor (`x.untyped_storage().resize_(0)`), and its
    operations then read memory that is not theirs.
    """
    storage: Any = getattr(array, "untyped_storage", None)
    if storage is None or sys.modules["torch"].compiler.is_compiling():
        return True
    try:
        stored = storage().nbytes()
    except NotImplementedError:  # of what only wraps a tensor, as torch.func does
        return True
    before = array.storage_offset() * array.itemsize
    if array.is_contiguous():
        return bool(stored >= before + array.nbytes or array.numel() == 0)
    if array.numel() == 0:
        return True
    places = zip(array.shape, array.stride(), strict=True)
    last = 1 + sum((size - 1) * stride for size, stride in places)
    return bool(stored >= before + last * array.itemsize)


def type_name(value: object) -> str:
    """Return the name of a value's type, for a message."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
