"""Tables made on the host, and copied to x's device once for all calls with equal values."""

import math
import sys
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, Namespace, known
from schedalg.cache import Cache


def copied(x: Array, dtype: Any, make: Callable[..., np.ndarray], *values: Hashable) -> Array:
    """Return `make(*values)`, a table of NumPy, as an array of x's library on x's device.

    The copy may be cached for later calls, and whoever writes to it changes their results: it is
    only to be read, and never to be handed out. Nothing is cached where a tracer or a gradient
    flows. A compiler that traces the call takes the table for a constant.

    Args:
        x: Where the table is needed.
        dtype: Of the copy.
        make: Makes the table.
        *values: Its arguments. Where they are equal, the tables have to be.
    """
    library = known(x)
    xp, device = library.namespace(x), library.device(x)
    if not library.lasts(x):
        return _copy(xp, dtype, device, make, *values)
    return library.constant_of(_cached, xp, dtype, device, make, *values)


def _cached(xp: Namespace, dtype: Any, device: Any, make: Any, *values: Hashable) -> Array:
    key = xp, dtype, str(device), make, values
    try:
        return _TABLES.get(key, lambda: Held(_copy(xp, dtype, device, make, *values), values)).table
    except TypeError:  # a schedule holds a function that has no hash
        return _copy(xp, dtype, device, make, *values)


def _copy(xp: Namespace, dtype: Any, device: Any, make: Any, *values: Hashable) -> Array:
    return xp.asarray(make(*values), dtype=dtype, device=device, copy=True)


class Held(NamedTuple):
    """A table, and what it was made from, which is held with it."""

    table: Array
    values: tuple[Hashable, ...]


def _size(held: Held) -> float:
    """Return the bytes of a table; too many to be cached, if only its own tracer can use it."""
    if not known(held.table).lasts(held.table):
        return math.inf
    return int(held.table.nbytes) + sum(map(sys.getsizeof, held.values))


_TABLES: Cache[Held] = Cache(2**26, _size)
