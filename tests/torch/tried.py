"""What the torch backend is tried with."""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def on_gpu(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs a CUDA device."""
    for mark in gpu:
        test = mark(test)
    return test


def network(x: Any, timesteps: Any) -> Any:
    return torch.tanh(x / 9)
