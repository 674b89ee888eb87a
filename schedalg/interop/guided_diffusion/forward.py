"""Adding noise: the Gaussians q(x_t | x0) and q(x_{t-1} | x_t, x0). Methods of a process."""

from typing import TYPE_CHECKING

from schedalg.interop.guided_diffusion.checks import check_shape, checked_batch
from schedalg.interop.guided_diffusion.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion


def q_mean_variance(
    diffusion: "GaussianDiffusion", x_start: "Tensor", t: "Tensor"
) -> tuple["Tensor", "Tensor", "Tensor"]:
    """Return mean, variance and log-variance of q(x_t | x0).

    Args:
        diffusion: The process.
        x_start: Clean data, (B, ...).
        t: Positions in the schedule, (B,) integers, or one for all samples.

    Returns:
        Three tensors of x_start's shape, in float32 (float64 if x_start is).

    Raises:
        TypeError: An argument is not a tensor, or has the wrong dtype.
        ValueError: t does not have one position for each sample, or (on a CPU) one is out of range.

    Source: Ho et al., arXiv 2006.11239, equation 4.
    """
    checked_batch("x_start", x_start)
    at = diffusion._table.at(_one_each(t, x_start), x_start)
    return (
        at.sqrt_alphas_cumprod * x_start,
        at.one_minus_alphas_cumprod.expand(x_start.shape),
        at.log_one_minus_alphas_cumprod.expand(x_start.shape),
    )


def q_sample(
    diffusion: "GaussianDiffusion", x_start: "Tensor", t: "Tensor", noise: "Tensor | None" = None
) -> "Tensor":
    """Return x_t = sqrt(ᾱ_t) x0 + sqrt(1 - ᾱ_t) noise.

    Args:
        diffusion: The process.
        x_start: Clean data, (B, ...).
        t: Positions in the schedule, (B,) integers, or one for all samples.
        noise: Of x_start's shape; drawn by `torch.randn_like` if not given.

    Returns:
        A tensor like x_start.

    Raises:
        TypeError: An argument is not a tensor, or has the wrong dtype.
        ValueError: The shapes do not fit, or (on a CPU) a position is out of range.
    """
    checked_batch("x_start", x_start)
    at = diffusion._table.at(_one_each(t, x_start), x_start)
    if noise is None:
        noise = torch.randn_like(x_start)
    check_shape("noise", noise, x_start.shape)
    return at.noised(x_start, noise)


def q_posterior_mean_variance(
    diffusion: "GaussianDiffusion", x_start: "Tensor", x_t: "Tensor", t: "Tensor"
) -> tuple["Tensor", "Tensor", "Tensor"]:
    """Return mean, variance and clipped log-variance of q(x_{t-1} | x_t, x0).

    Args:
        diffusion: The process.
        x_start: Clean data, (B, ...).
        x_t: Noisy data, of x_start's shape.
        t: The positions of x_t, (B,) integers, or one for all samples.

    Returns:
        Three tensors of x_t's shape. The variance is 0 at t = 0; its logarithm there is that of
        t = 1.

    Raises:
        TypeError: An argument is not a tensor, or has the wrong dtype.
        ValueError: The shapes do not fit, or (on a CPU) a position is out of range.
    """
    checked_batch("x_t", x_t)
    at = diffusion._table.at(_one_each(t, x_t), x_t)
    check_shape("x_start", x_start, x_t.shape)
    return (
        at.posterior_mean(x_start, x_t),
        at.posterior_variance.expand(x_t.shape),
        at.posterior_log_variance_clipped.expand(x_t.shape),
    )


def _one_each(t: "Tensor", x: "Tensor") -> "Tensor":
    """Return one position for each sample, also if t holds one for all."""
    one = isinstance(t, torch.Tensor) and tuple(t.shape) in ((), (1,))
    return t.expand(x.shape[:1]) if one else t
