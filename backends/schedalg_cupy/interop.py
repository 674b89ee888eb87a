"""Networks of torch on arrays of CuPy, over the same memory."""

from collections.abc import Callable
from typing import Any

import cupy

from schedalg.network.model import Model


def from_torch(module: Callable[..., Any]) -> Model:
    """Return a torch module as a network for arrays of CuPy, which copies nothing.

    Arrays change hands by DLPack, in which the receiver's stream waits for the giver's: the module
    runs on torch's current stream of the device, after what CuPy's had been given, and CuPy's goes
    on after the module. The host waits for neither. It runs without autograd, and must not write to
    its input, which is memory of the run.

    Args:
        module: Called as `module(x, timesteps, **kwargs)` with tensors on x's device, where its
            parameters must be; returns a tensor like x. Keywords that are CuPy arrays come as
            tensors, all others as they are.

    Raises:
        ImportError: torch is not installed.
    """
    import torch
    from torch.utils.dlpack import from_dlpack

    def tensor(value: Any) -> Any:
        return from_dlpack(value) if isinstance(value, cupy.ndarray) else value

    def model(x: cupy.ndarray, timesteps: cupy.ndarray, **keywords: Any) -> cupy.ndarray:
        given = {name: tensor(value) for name, value in keywords.items()}
        with torch.no_grad():
            output = module(tensor(x), tensor(timesteps), **given)
        return cupy.from_dlpack(output.detach())

    return model
