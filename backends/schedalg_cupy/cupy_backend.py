"""`CupyBackend`: runs plans on arrays of CuPy."""

from collections.abc import Sequence
from functools import cached_property

import cupy
import numpy as np

from schedalg.running.backend import Update
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg.schedule.timesteps import timestep_dtype
from schedalg_cupy.fused import Fused, normal
from schedalg_cupy.kernels import CupyKernels
from schedalg_cupy.library import CupyLibrary
from schedalg_cupy.stack import FusedStack

_DTYPES = ("float16", "float32", "float64")


class CupyBackend:
    """Runs plans on arrays of CuPy; see `schedalg.Backend`.

    Every row is one launch on the current stream of x's device, and nothing waits for it.
    """

    library = CupyLibrary()

    @cached_property
    def kernels(self) -> CupyKernels:
        """The kernels, made once."""
        return CupyKernels()

    def unavailable(self) -> str | None:
        """Return why there is no device; None if there is."""
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return f"CuPy finds no CUDA device: {error}"
        return None if count > 0 else "CuPy finds no CUDA device"

    def check(self, x: cupy.ndarray) -> None:
        """Raise unless x is in one of three dtypes.

        Raises:
            TypeError: The dtype is none of float16, float32 and float64.
        """
        if x.dtype not in _DTYPES:
            allowed = ", ".join(_DTYPES)
            raise TypeError(f"x must be of one of the dtypes {allowed}; got {x.dtype}")

    def timesteps(self, values: np.ndarray, x: cupy.ndarray) -> Sequence[cupy.ndarray]:
        """Return the timesteps of each row: views of one array, uploaded at once."""
        if not len(values):
            return ()
        with x.device:
            values = values.astype(timestep_dtype(x, values[0].item()))
            return list(cupy.asarray(values[:, None].repeat(x.shape[0], axis=1)))

    def normal(self, x: cupy.ndarray, keys: np.ndarray, words: Sequence[int]) -> cupy.ndarray:
        """Return the noise of a draw, like x; see `schedalg.running.philox`."""
        return normal(x, keys, words, self.kernels)

    def update(
        self, rows: Rows, x: cupy.ndarray, keys: np.ndarray | None, *, reuse: bool
    ) -> Update:
        """Return what takes x through the rows."""
        if not rows.numbers:
            return Functional(rows, keys)
        return Fused(rows, x, keys, reuse=reuse, kernels=self.kernels)

    def stack(
        self, shape: tuple[int, ...], like: cupy.ndarray, clip: tuple[float, float] | None
    ) -> FusedStack:
        """Return what takes samples of several plans through rows of their own."""
        return FusedStack(shape, like, clip, self.kernels)
