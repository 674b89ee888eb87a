"""Splitting a network's output into the prediction and the learned variance."""

from typing import TYPE_CHECKING, Any

from schedalg.checks import described
from schedalg.interop.guided_diffusion.coefficients import Coefficients
from schedalg.interop.guided_diffusion.kinds import ModelVarType
from schedalg.interop.guided_diffusion.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def parts_of(output: Any) -> tuple[Any, Any]:
    """Return a network's output, and what it returned with it, or None."""
    if isinstance(output, tuple) and len(output) == 2:
        return output
    return output, None


def channel_axis(x: "Tensor", output: "Tensor") -> int:
    """Return the axis of the channels: 1, or in video 2 where the output has twice as many there.

    Networks of video take (B, frames, C, H, W) or (B, C, frames, H, W).
    """
    doubled = (*x.shape[:2], 2 * x.shape[2], *x.shape[3:]) if x.ndim == 5 else None
    return 2 if tuple(output.shape) == doubled else 1


def split_output(
    output: Any, x: "Tensor", model_var_type: ModelVarType
) -> tuple["Tensor", "Tensor | None"]:
    """Return the prediction, and the second half of the channels, or None, for the variance.

    Args:
        output: As x, (B, C, ...), or (B, 2C, ...) if the variance is learned; in video
            (B, frames, 2C, H, W) too.
        x: The network's input.
        model_var_type: Where the variance comes from.

    Raises:
        TypeError: The output is not a tensor.
        ValueError: The output has the wrong shape.
    """
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"the model must return a torch tensor, got {described(output)}")
    learned, shape = model_var_type.is_learned(), list(x.shape)
    axis = channel_axis(x, output) if learned else 1
    shape[axis] *= 1 + learned
    if list(output.shape) != shape:
        raise ValueError(
            f"the model's output must have shape {tuple(shape)} with {model_var_type}, got "
            f"{tuple(output.shape)}"
        )
    if not learned:
        return output, None
    prediction, values = output.chunk(2, dim=axis)
    return prediction, values


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
