"""The coefficients of a step: computed on the host, uploaded once, looked up by position.

A position is an index into a process's schedule, from 0 (least noisy) to N - 1.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from schedalg.checks import checked_positions, described
from schedalg.interop.guided_diffusion.checks import checked_batch
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.samplers.ddim import DDIM
from schedalg.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


def _log_one_minus_alphas_cumprod(schedule: Schedule) -> np.ndarray:
    """Return log(1 - ᾱ), by log or log1p, whichever loses no digits."""
    alphas_cumprod = schedule.to_alphas_cumprod()
    early = alphas_cumprod > 0.5
    return np.where(
        early, np.log(schedule.sigma**2), np.log1p(-np.where(early, 0.0, alphas_cumprod))
    )


def _sqrt_recip_alphas_cumprod(schedule: Schedule) -> np.ndarray:
    with np.errstate(divide="ignore"):  # infinite where no signal is left
        return np.asarray(1 / schedule.alpha)


#: The tables that `GaussianDiffusion` has as attributes: N float64 numbers each, from its schedule.
TABLES: Final[Mapping[str, Callable[[Schedule], np.ndarray]]] = {
    "betas": lambda s: s.to_betas(),
    "alphas_cumprod": lambda s: s.to_alphas_cumprod(),
    "alphas_cumprod_prev": lambda s: np.append(1.0, s.to_alphas_cumprod()[:-1]),
    "alphas_cumprod_next": lambda s: np.append(s.to_alphas_cumprod()[1:], 0.0),
    "sqrt_alphas_cumprod": lambda s: s.alpha,
    "sqrt_one_minus_alphas_cumprod": lambda s: s.sigma,
    "log_one_minus_alphas_cumprod": _log_one_minus_alphas_cumprod,
    "sqrt_recip_alphas_cumprod": _sqrt_recip_alphas_cumprod,
    "sqrt_recipm1_alphas_cumprod": lambda s: s.to_sigmas(),
    "posterior_variance": lambda s: s.posterior_variance,
    "posterior_log_variance_clipped": lambda s: s.posterior_log_variance_clipped,
    "posterior_mean_coef1": lambda s: s.posterior_mean_coef1,
    "posterior_mean_coef2": lambda s: s.posterior_mean_coef2,
}


def step_coefficients(tables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tables, and the other coefficients of a step, computed from them."""
    log_betas = np.log(tables["betas"])
    log_clipped = tables["posterior_log_variance_clipped"]
    coef1, coef2 = tables["posterior_mean_coef1"], tables["posterior_mean_coef2"]
    return {
        **tables,
        "snr": (tables["sqrt_alphas_cumprod"] / tables["sqrt_one_minus_alphas_cumprod"]) ** 2,
        "one_minus_alphas_cumprod": tables["sqrt_one_minus_alphas_cumprod"] ** 2,
        "log_betas": log_betas,
        # The posterior's variance is 0 in the first step; that of the second step is used there.
        "large_variance": np.append(np.exp(log_clipped[:1]), tables["betas"][1:]),
        "large_log_variance": np.append(log_clipped[:1], log_betas[1:]),
        "xprev_to_xstart": 1 / coef1,
        "xt_to_xstart": coef2 / coef1,
        "alpha_next": np.append(tables["sqrt_alphas_cumprod"][1:], 0.0),
        "sigma_next": np.append(tables["sqrt_one_minus_alphas_cumprod"][1:], 1.0),
    }


def ddim_coefficients(schedule: Schedule, eta: float) -> dict[str, np.ndarray]:
    """Return a, b and c of DDIM's step x_{t-1} = a x_t + b x0 + c noise."""
    plan = DDIM(eta).plan(schedule)  # its first row is the last position
    return {"a": plan.a[::-1], "b": plan.b[::-1, 0], "c": plan.c[::-1]}


class CoefficientTable:
    """Named columns of N numbers on the host, with cached copies on devices.

    One copy is made for each device and dtype: float64 if x is in float64, else float32.
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self._index = {name: k for k, name in enumerate(columns)}
        self._host = np.stack(list(columns.values()), axis=1)
        self._uploaded: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def at(self, t: "Tensor", x: "Tensor") -> "Coefficients":
        """Return the coefficients at the positions t, in one operation.

        Args:
            t: (B,) integers, 0 ≤ t < N.
            x: (B, ...), the tensor that the coefficients will multiply.

        Raises:
            TypeError: x is not a floating-point tensor, or t is not a tensor of integers.
            ValueError: t does not have one position for each sample, or one is out of range. (On a
                GPU the range is not checked, since that would synchronize the device.)
        """
        checked_batch("x", x)
        if not isinstance(t, torch.Tensor):
            raise TypeError(f"t must be a torch tensor of integers, got {described(t)}")
        if t.shape != x.shape[:1]:
            raise ValueError(
                f"t must have shape ({x.shape[0]},), one position for each sample; got "
                f"{tuple(t.shape)}"
            )
        position = checked_positions("t", t, len(self._host), x)
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        key = x.device, dtype
        if key not in self._uploaded:
            self._uploaded[key] = torch.tensor(self._host, dtype=dtype, device=x.device)
        return Coefficients(self._uploaded[key].index_select(0, position), self._index, x.ndim)


class Coefficients:
    """Coefficients at each sample's position: `at.name` has shape (B, 1, ...), to multiply x."""

    def __init__(self, rows: "Tensor", index: Mapping[str, int], ndim: int) -> None:
        self._rows = rows
        self._index = index
        self._shape = (-1,) + (1,) * (ndim - 1)

    def __getattr__(self, name: str) -> "Tensor":
        return self._rows.select(1, self._index[name]).view(self._shape)

    def xstart_from_eps(self, x: "Tensor", eps: "Tensor") -> "Tensor":
        """Return the clean data in x, (x - sqrt(1 - ᾱ) eps) / sqrt(ᾱ)."""
        return self.sqrt_recip_alphas_cumprod * x - self.sqrt_recipm1_alphas_cumprod * eps

    def xstart_from_xprev(self, x: "Tensor", xprev: "Tensor") -> "Tensor":
        """Return the x0 for which the posterior's mean is xprev."""
        return self.xprev_to_xstart * xprev - self.xt_to_xstart * x

    def xstart_from_velocity(self, x: "Tensor", velocity: "Tensor") -> "Tensor":
        """Return the clean data in x, sqrt(ᾱ) x - sqrt(1 - ᾱ) velocity; also where ᾱ is 0."""
        return self.sqrt_alphas_cumprod * x - self.sqrt_one_minus_alphas_cumprod * velocity

    def velocity_of(self, xstart: "Tensor", noise: "Tensor") -> "Tensor":
        """Return the velocity, sqrt(ᾱ) noise - sqrt(1 - ᾱ) x0."""
        return self.sqrt_alphas_cumprod * noise - self.sqrt_one_minus_alphas_cumprod * xstart

    def eps_from_xstart(self, x: "Tensor", xstart: "Tensor") -> "Tensor":
        """Return the noise in x, (x - sqrt(ᾱ) x0) / sqrt(1 - ᾱ); also where ᾱ is 0."""
        return (x - self.sqrt_alphas_cumprod * xstart) / self.sqrt_one_minus_alphas_cumprod

    def posterior_mean(self, xstart: "Tensor", x: "Tensor") -> "Tensor":
        """Return the mean of q(x_{t-1} | x_t, x0)."""
        return self.posterior_mean_coef1 * xstart + self.posterior_mean_coef2 * x

    def noised(self, xstart: "Tensor", noise: "Tensor") -> "Tensor":
        """Return sqrt(ᾱ) x0 + sqrt(1 - ᾱ) noise, in the dtype of x0."""
        x = self.sqrt_alphas_cumprod * xstart + self.sqrt_one_minus_alphas_cumprod * noise
        return x.to(xstart.dtype)


def _extract_into_tensor(
    arr: np.ndarray, timesteps: "Tensor", broadcast_shape: Sequence[int]
) -> "Tensor":
    """Return the values of a table at positions, in float32, expanded to a shape.

    Nothing here calls it: repositories import it for methods of their own.

    Args:
        arr: (N,).
        timesteps: Positions, (B,).
        broadcast_shape: (B, ...).
    """
    values = torch.tensor(arr, dtype=torch.float32, device=timesteps.device)[timesteps]
    shape = tuple(broadcast_shape)
    return values.view(-1, *[1] * (len(shape) - 1)).expand(shape)
