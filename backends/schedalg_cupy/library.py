"""What differs between CuPy and the array API standard."""

from typing import Any

import array_api_compat.cupy as namespace
import cupy
import numpy as np

from schedalg.libraries import Library


class CupyLibrary(Library):
    """Arrays of CuPy."""

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array of CuPy."""
        return isinstance(value, cupy.ndarray)

    def namespace(self, x: cupy.ndarray) -> Any:
        """Return array-api-compat's view of CuPy."""
        return namespace

    def to_host(self, x: cupy.ndarray) -> np.ndarray:
        """Return the values of x as a NumPy array."""
        return np.asarray(x.get())

    def can_be_read(self, x: cupy.ndarray) -> bool:
        """Return False: looking would stop the device."""
        return False

    def lasts(self, x: cupy.ndarray) -> bool:
        """Return True: nothing traces arrays of CuPy."""
        return True
