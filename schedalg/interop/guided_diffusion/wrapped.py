"""A network that is called with positions, and gets the timesteps of its training."""

from typing import TYPE_CHECKING, Any

from schedalg.checks import check_callable
from schedalg.interop.guided_diffusion.coefficients import CoefficientTable
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.network.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class WrappedModel:
    """A network, or the gradient of a classifier, that is called with positions.

    Args:
        model: Called as `model(x, timesteps, **kwargs)`.
        table: The process's table, whose column "timesteps" is looked up.
        rescaled: Whether the timesteps are passed as float32 rather than int64.

    Raises:
        TypeError: `model` is not callable.
    """

    def __init__(self, model: Model, table: CoefficientTable, rescaled: bool) -> None:
        check_callable("model", model)
        self.model = model
        self._table = table
        self._rescaled = rescaled

    def __call__(self, x: "Tensor", ts: "Tensor", **kwargs: Any) -> Any:
        """Return `model(x, timesteps at the positions ts, **kwargs)`."""
        timesteps = self._table.at(ts, x).timesteps.flatten()
        dtype = torch.float32 if self._rescaled else torch.int64
        return self.model(x, timesteps.to(dtype), **kwargs)
