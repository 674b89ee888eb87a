"""diffusers itself, computing in float64."""

import math
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schedalg import sample
from schedalg.interop.diffusers.classes import CLASSES

X = np.random.default_rng(3).standard_normal((2, 3, 4, 4))


class Double:
    """A library whose float32 is float64."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.float32 = library.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


class Classes(SimpleNamespace):
    """Classes by name."""

    def __repr__(self) -> str:
        return "diffusers"


@pytest.fixture(scope="module")
def diffusers() -> Iterator[Any]:
    """Diffusers' classes by name, in whose modules float32 is float64."""
    pytest.importorskip("diffusers")
    pytest.importorskip("scipy")
    import torch

    patch = pytest.MonkeyPatch()
    classes = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        for name in CLASSES:
            classes[name] = getattr(diffusers, name)
    for kind in classes.values():
        module = sys.modules[kind.__module__]
        patch.setattr(module, "torch", Double(torch))
        if hasattr(module, "np"):
            patch.setattr(module, "np", Double(np))
        # The loops below compare steps; deprecation warnings are ignored.
        if hasattr(module, "deprecate"):
            patch.setattr(module, "deprecate", lambda *args, **kwargs: None)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield Classes(torch=torch, **classes)
    torch.set_default_dtype(before)
    patch.undo()


def network(x: Any, t: float) -> Any:
    """A network with a smooth answer, for torch and NumPy."""
    return 0.6 * x * math.cos(t / 300) + 0.05 * x**2 / (1 + x**2)


def theirs_after(
    theirs: Any, torch: Any, draws: list[np.ndarray], timesteps: Any = None, **options: Any
) -> np.ndarray:
    """The loop of a pipeline over a scheduler of diffusers."""
    remaining = iter(draws)
    module: Any = sys.modules[type(theirs).__module__]
    had = getattr(module, "randn_tensor", None)
    if had is not None:
        module.randn_tensor = lambda *a, **k: torch.tensor(next(remaining))
    if hasattr(theirs, "set_begin_index"):
        # Else they look for the first timestep, and take the second where rounding repeats it.
        theirs.set_begin_index(0)
    try:
        x = torch.tensor(X) * theirs.init_noise_sigma
        for t in theirs.timesteps if timesteps is None else timesteps:
            output = network(theirs.scale_model_input(x, t), float(t))
            x = theirs.step(output, t, x, return_dict=False, **options)[0]
    finally:
        if had is not None:
            module.randn_tensor = had
    return np.asarray(x)


def ours_after(read: Any, draws: list[np.ndarray], scale: float | None = None) -> np.ndarray:
    remaining = iter(draws)
    if scale is None:
        # On a flow, diffusers starts from noise of variance 1, where sigma may be 0.999.
        scale = 1.0 if read.schedule.kind == "flow" else read.schedule.prior_std
    return np.asarray(
        sample(
            lambda x, t: network(x, float(t[0])),
            read.schedule,
            read.sampler,
            X * scale,
            prediction=read.prediction,
            clip=read.clip,
            noise=lambda x: next(remaining),
        )
    )


def noises(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(4).standard_normal((count, *X.shape)))
