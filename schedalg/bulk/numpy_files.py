"""The bytes of `.npy` and `.npz` files, and what is said where they are damaged."""

import errno
import io
import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

#: What the system says of a file that is missing or cannot be read, whatever it holds.
CANNOT = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.EIO}


def npy(samples: np.ndarray) -> bytes:
    """Return an array as the bytes of a `.npy` file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(samples), (1, 0), allow_pickle=False)
    return file.getvalue()


def read_npy(path: Path) -> np.ndarray:
    """Return the array of a `.npy` file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    with reading(path), path.open("rb") as file:
        shape, dtype = header(file)
        size, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if size != there:
            raise ValueError(f"it says that it has {size} bytes of samples, and has {there}")
        return np.frombuffer(file.read(), dtype).reshape(shape)


def header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the dtype that a `.npy` file begins with, as `npy` writes them."""
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        raise ValueError(f"it is of version {version} of its format, and not of (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran and len(shape) > 1:
        raise ValueError("its numbers lie in Fortran's order")
    return shape, dtype


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Have whatever readers raise of a file say that it is damaged.

    They raise much: of files from elsewhere, an encrypted archive or a text instead of a header,
    also errors that are in no documentation.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: It is damaged.
        MemoryError: There is no memory for it.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in CANNOT:
            raise
        raise ValueError(
            f"{path.name} is damaged: {str(error).strip() or type(error).__name__}"
        ) from None


def archived(parts: Iterable[np.ndarray], count: int) -> Iterator[bytes]:
    """Yield the bytes of a `.npz` of all samples, in which no time and no system is written.

    The archive is made piece by piece, as it may be larger than memory.

    Args:
        parts: The samples of each block.
        count: How many samples there are.

    Raises:
        ValueError: Blocks are of different shapes or dtypes, or not so many samples.
    """
    pieces = _Pieces()
    entry = zipfile.ZipInfo("arr_0.npy", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    archive = zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED)
    with archive, archive.open(entry, "w", force_zip64=True) as file:
        left, kind = count, None
        for samples in parts:
            left -= samples.shape[0] if samples.ndim else 0
            if kind is None:
                kind = samples.shape[1:], samples.dtype
                begin = io.BytesIO()
                np.lib.format.write_array_header_1_0(
                    begin,
                    {
                        "descr": np.lib.format.dtype_to_descr(samples.dtype),
                        "fortran_order": False,
                        "shape": (count, *samples.shape[1:]),
                    },
                )
                file.write(begin.getvalue())
            if kind != (samples.shape[1:], samples.dtype):
                raise ValueError(
                    f"a block is damaged: it holds {samples.dtype} of shape {samples.shape[1:]}, "
                    f"and the first {kind[1]} of shape {kind[0]}"
                )
            file.write(samples.tobytes())
            yield from pieces.taken()
    if left:
        raise ValueError(f"blocks are damaged: they hold {count - left} samples for {count} seeds")
    yield from pieces.taken()


class _Pieces(io.RawIOBase):
    """A file that cannot be sought in, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held.append(bytes(data))
        return len(data)

    def taken(self) -> list[bytes]:
        held, self._held = self._held, []
        return held
