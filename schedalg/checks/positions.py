"""Positions among the points of a schedule."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, device, integer_dtype, is_array, known, namespace, to_host
from schedalg.checks.arrays import check_memory
from schedalg.checks.columns import as_array
from schedalg.checks.messages import described, shown


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
            raise ValueError(f"{name} is {shown(k)}: {_range_of(n)}")
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
