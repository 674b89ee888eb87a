"""schedalg's backend for CuPy: one kernel a step; and networks of torch on CuPy's arrays."""

from schedalg_cupy.cupy_backend import CupyBackend
from schedalg_cupy.interop import from_torch

__all__ = ["CupyBackend", "backend", "from_torch"]

backend = CupyBackend()
