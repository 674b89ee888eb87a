"""Splitting a network's output into the prediction and the learned variance."""

from typing import TYPE_CHECKING, Any

from schedalg.checks import described
from schedalg.interop.guided_diffusion.coefficients import Coefficients
from schedalg.interop.guided_diffusion.kinds import ModelVarType
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.network.model import split

if TYPE_CHECKING:
    from torch import Tensor


def split_output(
    output: Any, x: "Tensor", model_var_type: ModelVarType
) -> tuple["Tensor", "Tensor | None"]:
    """Return the prediction, and the second half of the channels, or None, for the variance.

    Args:
        output: As x, (B, C, ...), or (B, 2C, ...) if the variance is learned.
        x: The network's input.
        model_var_type: Where the variance comes from.

    Raises:
        TypeError: The output is not a tensor.
        ValueError: The output has the wrong shape.
    """
    channels = (2 if model_var_type.is_learned() else 1) * x.shape[1]
    shape = (x.shape[0], channels, *x.shape[2:])
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"the model must return a torch tensor, got {described(output)}")
    if tuple(output.shape) != shape:
        raise ValueError(
            f"the model's output must have shape {shape} with {model_var_type}, got "
            f"{tuple(output.shape)}"
        )
    return split(output, x)


def step_variance(
    at: Coefficients, values: "Tensor | None", x: "Tensor", model_var_type: ModelVarType
) -> tuple["Tensor", "Tensor"]:
    """Return the variance of p(x_{t-1} | x_t) and its logarithm, both of x's shape.

    Args:
        at: The coefficients at the positions of x.
        values: The second half of the network's channels, if the variance is learned.
        x: Noisy data, (B, C, ...).
        model_var_type: Where the variance comes from.
    """
    if values is None:
        if model_var_type is ModelVarType.FIXED_LARGE:
            fixed = at.large_variance, at.large_log_variance
        else:
            fixed = at.posterior_variance, at.posterior_log_variance_clipped
        return fixed[0].expand(x.shape), fixed[1].expand(x.shape)
    log_variance = values
    if model_var_type is ModelVarType.LEARNED_RANGE:
        share = (values + 1) / 2
        log_variance = share * at.log_betas + (1 - share) * at.posterior_log_variance_clipped
    return torch.exp(log_variance), log_variance
