"""The loop that numba compiles: everything that a step does to x but the network."""

from typing import Any

import numba
import numpy as np
from numba import carray, types

from schedalg.rows import COLUMNS
from schedalg_torch.compiled import ARGUMENTS

_X, _D, _C_X, _C_OUT, _LOW, _HIGH = map(COLUMNS.index, ("x", "d", "c_x", "c_out", "low", "high"))
_REMEMBERED, _MEMORY_X, _MEMORY_D, _NEXT_C_IN = map(
    COLUMNS.index, ("remembered", "memory_x", "memory_d", "next_c_in")
)
_RING = len(COLUMNS)
#: Elements that are taken through a row at a time, so that they stay in the cache.
_BLOCK = 2048


@numba.njit(inline="always")
def _pair(to, a, x, b, d):
    """Write a x + b d, without what is multiplied by 0."""
    if a == 0 and b == 0:
        to[:] = 0
    elif a == 0:
        for i in range(len(to)):
            to[i] = b * d[i]
    elif b == 0:
        for i in range(len(to)):
            to[i] = a * x[i]
    else:
        for i in range(len(to)):
            to[i] = a * x[i] + b * d[i]


@numba.njit(inline="always")
def _add(to, a, x):
    """Add a x."""
    for i in range(len(to)):
        to[i] += a * x[i]


def compiled(dtype: np.dtype[Any]) -> Any:
    """Return the loop for float32 or float64, with its `address`; None if numba is told not to.

    It does what `schedalg.rows.Row` says. Its arguments are the address of a `compiled.CALL` with a
    `compiled.RUN` behind it, twice: as one of addresses, and as one of anything else.
    """
    if numba.config.DISABLE_JIT:
        return None
    real = np.dtype(dtype).type

    @numba.cfunc(types.void(types.CPointer(types.voidptr), types.voidptr))
    def step(at, same):
        address, number = carray(at, (ARGUMENTS,)), carray(same, ARGUMENTS, np.int64)
        k, size, depth, read, scaled = number[0], number[7], number[8], number[9], number[10]
        noise = carray(same, ARGUMENTS, np.float64)[6]
        row = carray(address[11], (k + 1, _RING + depth), np.float64)[k]
        ring = carray(address[12], (depth, size), real)
        x, d, z = (
            carray(address[1], size, real),
            carray(address[2], size, real),
            carray(address[3], size, real),
        )
        after, seen = carray(address[4], size, real), carray(address[5], size, real)
        for start in range(0, size, _BLOCK):
            part = slice(start, min(start + _BLOCK, size))
            now, said, to = x[part], d[part], after[part]
            if read:
                _pair(to, real(row[_C_X]), now, real(row[_C_OUT]), said)
                low, high = real(row[_LOW]), real(row[_HIGH])
                for i in range(len(to)):  # NaN stays NaN
                    to[i] = low if to[i] < low else high if to[i] > high else to[i]
                said = to
            if row[_REMEMBERED] != 0:
                memory = ring[k % depth, part]
                _pair(memory, real(row[_MEMORY_X]), now, real(row[_MEMORY_D]), said)
            _pair(to, real(row[_X]), now, real(row[_D]), said)
            for slot in range(depth):
                if row[_RING + slot] != 0:
                    _add(to, real(row[_RING + slot]), ring[slot, part])
            if noise != 0:
                _add(to, real(noise), z[part])
            if scaled:
                _pair(seen[part], real(row[_NEXT_C_IN]), to, real(0), to)

    return step
