"""The loop that numba compiles: everything that a step does to x but the network."""

from typing import Any

import numba
import numpy as np
from numba import carray, types
from numba.core.compiler_lock import global_compiler_lock

from schedalg.forks import awaited
from schedalg.running.rows import COLUMNS
from schedalg_torch.arguments import ARGUMENTS, BLOCK, SCRATCH

_X, _D, _RAW, _C_X, _C_OUT, _LOW, _HIGH = map(
    COLUMNS.index, ("x", "d", "raw", "c_x", "c_out", "low", "high")
)
_REMEMBERED, _MEMORY_X, _MEMORY_D, _MEMORY_RAW, _NEXT_C_IN = map(
    COLUMNS.index, ("remembered", "memory_x", "memory_d", "memory_raw", "next_c_in")
)
_WEIGHTS = len(COLUMNS)
awaited(global_compiler_lock)  # of whatever else numba compiles in this process
# The arguments, in the order of `arguments.CALL` and `arguments.RUN`.
_ROW, _X_AT, _D_AT, _RAW_AT, _Z_AT, _AFTER_AT, _INPUT_AT, _NOISE, _WIDE = range(9)
_SIZE, _DEPTH, _READ, _SCALED, _TABLE_AT, _RING_AT, _SCRATCH_AT, _COUNT = range(9, ARGUMENTS)
# Of a float32, and what is left of it in bfloat16, its upper half.
_MAGNITUDE, _INFINITY = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
_HALF, _ONE, _BELOW_HALF, _QUIET = np.uint32(16), np.uint32(1), np.uint32(0x7FFF), np.uint16(0x7FC0)


@numba.njit(inline="always")
def _pair(to, a, x, b, d):
    """Write a x + b d to `to`. A term whose factor is 0 is left out."""
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


@numba.njit(inline="always")
def _itself(array, scratch):
    """Return the array, which is computed with where it is."""
    return array


@numba.njit(inline="always")
def _nothing(array, real):
    """Do nothing: what is computed with is the array itself."""


@numba.njit(inline="always")
def _scratch(array, scratch):
    """Return as much of the scratch memory as the array needs."""
    return scratch[: len(array)]


@numba.njit(inline="always")
def _widened(array, scratch):
    """Return bfloat16 as float32, in the scratch memory."""
    bits = scratch.view(np.uint32)
    for i in range(len(array)):
        bits[i] = np.uint32(array[i]) << _HALF
    return scratch[: len(array)]


@numba.njit(inline="always")
def _rounded(array, real):
    """Write float32 as bfloat16, rounded to the nearest, ties to even."""
    bits = real.view(np.uint32)
    for i in range(len(array)):
        odd = (bits[i] >> _HALF) & _ONE
        nearest = np.uint16((bits[i] + _BELOW_HALF + odd) >> _HALF)
        array[i] = _QUIET if (bits[i] & _MAGNITUDE) > _INFINITY else nearest


def compiled(name: str) -> Any:
    """Return the loop for a dtype, with its `address`; None if numba is set not to compile.

    It does what `rows.Row` says. Its two arguments are the same address, of an
    `arguments.CALL` that is followed by its `arguments.RUN`, or of several such pairs. (Through the
    first argument the memory is read as addresses, and through the second as numbers.)

    Args:
        name: "float32", "float64" or "bfloat16".
    """
    if numba.config.DISABLE_JIT:
        return None
    half = name == "bfloat16"
    real = np.float64 if name == "float64" else np.float32
    stored = np.uint16 if half else real
    load, place, store = (_widened, _scratch, _rounded) if half else (_itself, _itself, _nothing)

    @numba.cfunc(types.void(types.CPointer(types.voidptr), types.voidptr))
    def step(at, same):
        calls = carray(same, ARGUMENTS, np.int64)[_COUNT]
        addresses = carray(at, (calls, ARGUMENTS))
        numbers = carray(same, (calls, ARGUMENTS), np.int64)
        reals = carray(same, (calls, ARGUMENTS), np.float64)
        for call in range(calls):
            address, number, noise = addresses[call], numbers[call], reals[call, _NOISE]
            k, wide, read, scaled = number[_ROW], number[_WIDE], number[_READ], number[_SCALED]
            size, depth = number[_SIZE], number[_DEPTH]
            row = carray(address[_TABLE_AT], (k + 1, _WEIGHTS + depth), np.float64)[k]
            ring = carray(address[_RING_AT], (depth, size), stored)
            x, d = carray(address[_X_AT], size, stored), carray(address[_D_AT], size, stored)
            raw = carray(address[_RAW_AT], size, stored)
            z, z_wide = carray(address[_Z_AT], size, stored), carray(address[_Z_AT], size, real)
            after = carray(address[_AFTER_AT], size, stored)
            model_input = carray(address[_INPUT_AT], size, stored)
            scratch = carray(address[_SCRATCH_AT], (SCRATCH, BLOCK), real)
            for start in range(0, size, BLOCK):
                part = slice(start, min(start + BLOCK, size))
                now, said = load(x[part], scratch[0]), load(d[part], scratch[1])
                to = place(after[part], scratch[2])
                if read:
                    _pair(to, real(row[_C_X]), now, real(row[_C_OUT]), said)
                    low, high = real(row[_LOW]), real(row[_HIGH])
                    for i in range(len(to)):  # NaN stays NaN
                        to[i] = low if to[i] < low else high if to[i] > high else to[i]
                    said = to
                if row[_REMEMBERED] != 0:
                    slot_part = ring[k % depth, part]
                    memory = place(slot_part, scratch[3])
                    _pair(memory, real(row[_MEMORY_X]), now, real(row[_MEMORY_D]), said)
                    if row[_MEMORY_RAW] != 0:
                        _add(memory, real(row[_MEMORY_RAW]), load(raw[part], scratch[4]))
                    store(slot_part, memory)
                _pair(to, real(row[_X]), now, real(row[_D]), said)
                if row[_RAW] != 0:
                    _add(to, real(row[_RAW]), load(raw[part], scratch[4]))
                for slot in range(depth):
                    if row[_WEIGHTS + slot] != 0:
                        _add(to, real(row[_WEIGHTS + slot]), load(ring[slot, part], scratch[3]))
                if noise != 0 and wide:
                    _add(to, real(noise), z_wide[part])
                elif noise != 0:
                    _add(to, real(noise), load(z[part], scratch[3]))
                store(after[part], to)
                if scaled:
                    now, scaled_x = (
                        load(after[part], scratch[2]),
                        place(model_input[part], scratch[3]),
                    )
                    _pair(scaled_x, real(row[_NEXT_C_IN]), now, real(0), now)
                    store(model_input[part], scaled_x)

    return step
