"""torch, imported when it is first used, so that a process can be made without it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
else:

    class _Torch:
        def __getattr__(self, name: str) -> Any:
            try:
                value = getattr(importlib.import_module("torch"), name)
            except ImportError:
                raise ImportError(
                    "schedalg.interop.guided_diffusion computes with torch: "
                    "pip install 'schedalg[torch]'"
                ) from None
            setattr(self, name, value)  # found directly from now on
            return value

    torch = _Torch()

__all__ = ["torch"]
