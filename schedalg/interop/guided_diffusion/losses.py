"""The terms of the variational bound, in nats."""

import math
from typing import TYPE_CHECKING

from schedalg.interop.guided_diffusion.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

#: The lowest probability of a bin, so that its logarithm is finite.
_LEAST = 1e-12


def mean_flat(tensor: "Tensor") -> "Tensor":
    """Return the mean of each sample, (B,)."""
    return tensor.mean(dim=tuple(range(1, tensor.ndim)))


def normal_kl(
    mean1: "Tensor | float",
    logvar1: "Tensor | float",
    mean2: "Tensor | float",
    logvar2: "Tensor | float",
) -> "Tensor":
    """Return the Kullback-Leibler divergence of N(mean1, e^logvar1) from N(mean2, e^logvar2).

    ½ (σ1²/σ2² - 1 - log(σ1²/σ2²) + (mean1 - mean2)²/σ2²), elementwise, in nats.

    Args:
        mean1: A number, or a tensor; the four are broadcast, and one at least must be a tensor.
        logvar1: Likewise.
        mean2: Likewise.
        logvar2: Likewise.

    Raises:
        TypeError: None of the four is a tensor.

    Example:
        >>> import torch
        >>> from schedalg.interop.guided_diffusion.losses import normal_kl
        >>> normal_kl(torch.tensor([0.0, 1.0]), 0.0, 0.0, 0.0)
        tensor([0.0000, 0.5000])

    Source: Ho et al., arXiv 2006.11239, equation 5.
    """
    given = (mean1, logvar1, mean2, logvar2)
    like = next((value for value in given if isinstance(value, torch.Tensor)), None)
    if like is None:
        raise TypeError("one of mean1, logvar1, mean2 and logvar2 must be a tensor, got numbers")
    first, second = (
        value if isinstance(value, torch.Tensor) else like.new_tensor(value)
        for value in (logvar1, logvar2)
    )
    log_ratio = first - second
    # expm1(r) - r for e^r - 1 - r, which would lose all digits where the variances are close.
    apart = (mean1 - mean2) ** 2 * torch.exp(-second)
    return 0.5 * (torch.expm1(log_ratio) - log_ratio + apart)


def approx_standard_normal_cdf(x: "Tensor") -> "Tensor":
    """Return the distribution function of a standard normal, to 2e-4, by a tanh.

    Source: Page, Applied Statistics 26 (1977), 75-76; the approximation of GELU, arXiv 1606.08415.
    """
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def discretized_gaussian_log_likelihood(
    x: "Tensor", *, means: "Tensor", log_scales: "Tensor"
) -> "Tensor":
    """Return the log-probability of 8-bit images, as integrals of a Gaussian over their 256 bins.

    The bins are 2/255 wide, centred at -1, -1 + 2/255, ..., 1; the two at the ends are unbounded.

    Args:
        x: Images in [-1, 1], (B, ...).
        means: As x.
        log_scales: As x: the logarithm of the standard deviation.

    Returns:
        A tensor like x, in nats; at least log(1e-12).

    Raises:
        ValueError: The shapes differ.

    Source: Ho et al., arXiv 2006.11239, equation 13.
    """
    if not x.shape == means.shape == log_scales.shape:
        shapes = ", ".join(str(tuple(value.shape)) for value in (x, means, log_scales))
        raise ValueError(f"x, means and log_scales must have one shape; got {shapes}")
    inverse = torch.exp(-log_scales)
    upper = approx_standard_normal_cdf(inverse * (x - means + 1 / 255))
    lower = approx_standard_normal_cdf(inverse * (x - means - 1 / 255))
    inside = torch.where(x > 0.999, 1 - lower, upper - lower)
    return torch.where(x < -0.999, upper, inside).clamp(min=_LEAST).log()
