"""The array libraries that are installed, as pytest parameters."""

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
import pytest


@dataclass(frozen=True)
class Library:
    """An array library, and the widest real type that it has as configured.

    Attributes:
        name: Shown as the test's parameter.
        module: What to import.
        widest: "float64", or "float32" for JAX as it comes.
    """

    name: str
    module: str
    widest: str = "float64"

    @property
    def xp(self) -> Any:
        """The library's array-API namespace."""
        module = importlib.import_module(self.module)
        if self.module == "torch":
            return importlib.import_module("array_api_compat.torch")
        return module

    def configured(self) -> AbstractContextManager[Any]:
        """Return a context in which the library is configured as the name says."""
        if self.name == "strict-static":
            flags = importlib.import_module("array_api_strict")
            return flags.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False)
        if self.name == "jax64":
            return importlib.import_module("jax").enable_x64(True)
        return nullcontext()

    def array(self, values: object, dtype: str | None = None) -> Any:
        """Return values as an array of this library."""
        host = np.asarray(values)
        kind = dtype or ("int64" if host.dtype.kind in "iu" else self.widest)
        if self.widest == "float32" and kind == "int64":
            kind = "int32"
        return self.xp.asarray(host, dtype=getattr(self.xp, kind))

    def is_mine(self, array: Any) -> bool:
        """Whether the array is of this library."""
        return array_api_compat.array_namespace(array) is array_api_compat.array_namespace(
            self.xp.ones(1)
        )


ALL = [
    Library("numpy", "numpy"),
    Library("strict", "array_api_strict"),
    Library("strict-static", "array_api_strict"),
    Library("torch", "torch"),
    Library("jax", "jax.numpy", "float32"),
    Library("jax64", "jax.numpy"),
]
INSTALLED = [library for library in ALL if importlib.util.find_spec(library.module.split(".")[0])]


@contextmanager
def _use(library: Library) -> Iterator[Library]:
    with ExitStack() as stack:
        stack.enter_context(library.configured())
        yield library


@pytest.fixture(params=INSTALLED, ids=lambda library: library.name)
def lib(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Each installed array library."""
    with _use(request.param) as library:
        yield library


def host(array: Any) -> np.ndarray:
    """Return a NumPy copy of any array."""
    if hasattr(array, "detach"):
        array = array.detach().float() if "bfloat16" in str(array.dtype) else array.detach()
    return np.asarray(array)
