"""The numbers of a process as columns: made from its schedule, uploaded once, read by position."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from schedalg.checks import checked_positions, described
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


def public_columns(schedule: Schedule) -> dict[str, np.ndarray]:
    """Return what a `GaussianDiffusion` has as attributes: arrays of N float64 numbers.

    Every one is read off the schedule's logarithms, without the subtraction of its textbook form.
    Where the last step leaves pure noise (β = 1), the reciprocals of its ᾱ are infinite.
    """
    alphas_cumprod, sigmas_squared = schedule.to_alphas_cumprod(), schedule.sigma**2
    early = alphas_cumprod > 0.5
    with np.errstate(divide="ignore"):  # at zero signal
        reciprocal = 1 / schedule.alpha
        log_sigmas_squared = np.where(
            early, np.log(sigmas_squared), np.log1p(-np.where(early, 0.0, alphas_cumprod))
        )
    return {
        "betas": schedule.to_betas(),
        "alphas_cumprod": alphas_cumprod,
        "alphas_cumprod_prev": np.append(1.0, alphas_cumprod[:-1]),
        "alphas_cumprod_next": np.append(alphas_cumprod[1:], 0.0),
        "sqrt_alphas_cumprod": schedule.alpha,
        "sqrt_one_minus_alphas_cumprod": schedule.sigma,
        "log_one_minus_alphas_cumprod": log_sigmas_squared,
        "sqrt_recip_alphas_cumprod": reciprocal,
        "sqrt_recipm1_alphas_cumprod": schedule.to_sigmas(),
        "posterior_variance": schedule.posterior_variance,
        "posterior_log_variance_clipped": schedule.posterior_log_variance_clipped,
        "posterior_mean_coef1": schedule.posterior_mean_coef1,
        "posterior_mean_coef2": schedule.posterior_mean_coef2,
    }


def working_columns(public: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the public columns, and what else a step multiplies with."""
    log_betas = np.log(public["betas"])
    log_clipped = public["posterior_log_variance_clipped"]
    coef1, coef2 = public["posterior_mean_coef1"], public["posterior_mean_coef2"]
    return {
        **public,
        "one_minus_alphas_cumprod": public["sqrt_one_minus_alphas_cumprod"] ** 2,
        "log_betas": log_betas,
        # The first step's own variance would be that of the data; it gets the second's.
        "large_variance": np.append(np.exp(log_clipped[:1]), public["betas"][1:]),
        "large_log_variance": np.append(log_clipped[:1], log_betas[1:]),
        "xprev_to_xstart": 1 / coef1,
        "xt_to_xstart": coef2 / coef1,
        "alpha_next": np.append(public["sqrt_alphas_cumprod"][1:], 0.0),
        "sigma_next": np.append(public["sqrt_one_minus_alphas_cumprod"][1:], 1.0),
    }


class Columns:
    """Named columns of numbers on the host, and a copy of them beside every x that was seen.

    A copy is made once for each device, in float32; or in float64, for x that is.
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self._index = {name: k for k, name in enumerate(columns)}
        self._host = np.stack(list(columns.values()), axis=1)
        self._uploaded: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def at(self, t: "Tensor", x: "Tensor") -> "At":
        """Return the numbers at the positions t, in one operation.

        Args:
            t: (B,) integers, 0 ≤ t < N.
            x: (B, ...), what the numbers will multiply.

        Raises:
            TypeError: x is no floating tensor, or t holds no integers.
            ValueError: There is not one position a sample, or one is out of range (on a GPU that
                is left to torch: looking would stop the device).
        """
        check_tensor("x", x)
        if not isinstance(t, torch.Tensor):
            raise TypeError(f"t must be a torch tensor of integers, got {described(t)}")
        if t.shape != x.shape[:1]:
            raise ValueError(
                f"t must have shape ({x.shape[0]},), one position a sample; got {tuple(t.shape)}"
            )
        position = checked_positions("t", t, len(self._host), x)
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        key = x.device, dtype
        if key not in self._uploaded:
            self._uploaded[key] = torch.tensor(self._host, dtype=dtype, device=x.device)
        return At(self._uploaded[key].index_select(0, position), self._index, x.ndim)


class At:
    """The numbers at one position a sample: `at.name` has shape (B, 1, ...), to multiply x."""

    __slots__ = ("_index", "_rows", "_shape")

    def __init__(self, rows: "Tensor", index: Mapping[str, int], ndim: int) -> None:
        self._rows = rows
        self._index = index
        self._shape = (-1,) + (1,) * (ndim - 1)

    def __getattr__(self, name: str) -> "Tensor":
        if name not in self._index:
            raise AttributeError(f"there is no column {name!r}")
        return self._rows.select(1, self._index[name]).view(self._shape)

    def xstart_from_eps(self, x: "Tensor", eps: "Tensor") -> "Tensor":
        """The data in x, (x - sigma eps) / alpha."""
        return self.sqrt_recip_alphas_cumprod * x - self.sqrt_recipm1_alphas_cumprod * eps

    def xstart_from_xprev(self, x: "Tensor", xprev: "Tensor") -> "Tensor":
        """The x0 of which xprev is the posterior's mean."""
        return self.xprev_to_xstart * xprev - self.xt_to_xstart * x

    def eps_from_xstart(self, x: "Tensor", xstart: "Tensor") -> "Tensor":
        """The noise in x, (x - alpha x0) / sigma; defined also where alpha is 0."""
        return (x - self.sqrt_alphas_cumprod * xstart) / self.sqrt_one_minus_alphas_cumprod

    def posterior_mean(self, xstart: "Tensor", x: "Tensor") -> "Tensor":
        """The mean of q(x_{t-1} | x_t, x0)."""
        return self.posterior_mean_coef1 * xstart + self.posterior_mean_coef2 * x

    def noised(self, xstart: "Tensor", noise: "Tensor") -> "Tensor":
        """Noisy data alpha x0 + sigma eps, in the dtype of x0."""
        x = self.sqrt_alphas_cumprod * xstart + self.sqrt_one_minus_alphas_cumprod * noise
        return x.to(xstart.dtype)


def one_each(t: "Tensor", x: "Tensor") -> "Tensor":
    """Return one position for all samples as one each, and anything else as it is."""
    if isinstance(t, torch.Tensor) and isinstance(x, torch.Tensor) and x.ndim:
        return t.expand(x.shape[0]) if tuple(t.shape) in ((), (1,)) else t
    return t


def check_tensor(name: str, value: object) -> None:
    """Raise unless the value is a batch in real floating point, as a tensor of torch.

    Raises:
        TypeError: It is no tensor, or of another dtype.
        ValueError: It has no batch dimension.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {described(value)}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be of a floating-point dtype, got {described(value)}")
    if value.ndim == 0:
        raise ValueError(f"{name} must have a batch dimension, shape (B, ...); got shape ()")


def check_image(name: str, value: object) -> None:
    """Raise unless the value is a batch with channels.

    Raises:
        TypeError: It is no tensor, or of another dtype than floating point.
        ValueError: It has fewer than two dimensions.
    """
    check_tensor(name, value)
    if isinstance(value, torch.Tensor) and value.ndim < 2:
        raise ValueError(f"{name} must have shape (B, C, ...), got {tuple(value.shape)}")


def check_same_shape(name: str, value: object, x: "Tensor") -> None:
    """Raise unless the value is a tensor of x's shape.

    Raises:
        TypeError: It is no tensor.
        ValueError: Its shape is another.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {described(value)}")
    if value.shape != x.shape:
        raise ValueError(f"{name} must have shape {tuple(x.shape)}, got {tuple(value.shape)}")
