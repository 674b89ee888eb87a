"""A backend for MLX: what its arrays do otherwise, and its laziness.

MLX follows the array API standard but for what schedalg needs of devices: its arrays do not say
which one they are on, since that belongs to each operation, and functions that make arrays take
none. And it computes nothing before it is asked to, so that a loop would record all of its rows.
"""

from typing import Any

import mlx.core as mx
import numpy as np

from schedalg.libraries import Library
from schedalg.running.reference import Functional, ReferenceBackend
from schedalg.running.rows import Rows


class Namespace:
    """The functions of `mlx.core`, but for those that the core calls with a device."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mx, name)

    def asarray(
        self, values: Any, dtype: Any = None, device: None = None, copy: bool | None = None
    ) -> mx.array:
        """Return values as an array, which is always a copy."""
        return mx.array(values, dtype=dtype)

    def astype(self, x: mx.array, dtype: Any, *, copy: bool = True) -> mx.array:
        """Return x in another dtype."""
        return mx.astype(x, dtype)

    def empty(self, shape: tuple[int, ...], dtype: Any = None, device: None = None) -> mx.array:
        """Return an array of any values: MLX has none that is not written to."""
        return mx.zeros(shape, dtype=dtype)

    def full(
        self, shape: tuple[int, ...], value: Any, dtype: Any = None, device: None = None
    ) -> mx.array:
        """Return an array that holds one value."""
        return mx.full(shape, value, dtype=dtype)


class MlxLibrary(Library):
    """Arrays of MLX."""

    scalars_adapt = True
    moves_arrays = True

    def __init__(self) -> None:
        self.functions = Namespace()

    def recognizes(self, value: object) -> bool:
        """Whether the value is an array of MLX."""
        return isinstance(value, mx.array)

    def namespace(self, x: mx.array) -> Namespace:
        """Return the functions of MLX."""
        return self.functions

    def device(self, x: mx.array) -> None:
        """Return None: MLX has one memory for all devices."""

    def can_be_read(self, x: mx.array) -> bool:
        """Return False: looking would compute all that x was made of."""
        return False


class Evaluated(Functional):
    """Takes x through the rows, and has each computed while the network of the next is called."""

    def __call__(self, k: Any, *arrays: Any) -> mx.array:
        """Return x after row k."""
        after = super().__call__(k, *arrays)
        mx.async_eval(after)
        return after


class MlxBackend(ReferenceBackend):
    """Runs plans on arrays of MLX, with the core's timesteps and noise; see `schedalg.Backend`."""

    library = MlxLibrary()

    def check(self, x: mx.array) -> None:
        """Raise unless x is in single or half precision.

        Raises:
            TypeError: It is in float64, whose exponential has the digits of float32 in MLX.
        """
        if x.dtype not in (mx.float32, mx.float16, mx.bfloat16):
            raise TypeError(
                f"x must be of one of the dtypes float32, float16, bfloat16; got {x.dtype}"
            )

    def update(self, rows: Rows, x: mx.array, keys: np.ndarray | None, *, reuse: bool) -> Evaluated:
        """Return what takes x through the rows."""
        return Evaluated(rows, keys)


backend = MlxBackend()
