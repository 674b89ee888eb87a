"""Loops written from the papers to compare with, and a small network to run them on."""

import math
from typing import Any

import numpy as np
import torch

from schedalg.interop.guided_diffusion import (
    GaussianDiffusion,
    LossType,
    ModelMeanType,
    ModelVarType,
    SpacedDiffusion,
    get_named_beta_schedule,
    space_timesteps,
)

LINEAR = get_named_beta_schedule("linear", 1000)
SHAPE = (2, 3, 8, 8)
LEARNED = (ModelVarType.LEARNED, ModelVarType.LEARNED_RANGE)
DOUBLE = torch.float64


class UNet(torch.nn.Module):
    """A small U-Net: down, up, a skip connection, the timestep, and 2C output channels."""

    def __init__(self, out: int = 6, width: int = 12) -> None:
        super().__init__()
        self.time = torch.nn.Linear(16, width)
        self.enter = torch.nn.Conv2d(3, width, 3, padding=1)
        self.down = torch.nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.up = torch.nn.ConvTranspose2d(width, width, 2, stride=2)
        self.leave = torch.nn.Conv2d(2 * width, out, 3, padding=1)

    def forward(self, x: Any, timesteps: Any, y: Any = None) -> Any:
        dtype = self.enter.weight.dtype
        waves = torch.exp(-torch.arange(8) * math.log(10000) / 8)
        angles = timesteps[:, None].float() * waves
        features = torch.cat([angles.cos(), angles.sin()], dim=1).to(dtype)
        time = self.time(features)[:, :, None, None]
        if y is not None:
            time = time + y[:, None, None, None]
        h = torch.nn.functional.silu(self.enter(x.to(dtype)) + time)
        inner = self.up(torch.nn.functional.silu(self.down(h)))
        return torch.tanh(self.leave(torch.cat([h, inner], dim=1))).to(x.dtype)


def network(out: int = 6, dtype: Any = DOUBLE) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return UNet(out).to(dtype)


def process(
    spacing: Any = None,
    mean: ModelMeanType = ModelMeanType.EPSILON,
    var: ModelVarType = ModelVarType.LEARNED_RANGE,
    loss: LossType = LossType.MSE,
    betas: Any = LINEAR,
    rescale: bool = False,
) -> GaussianDiffusion:
    kinds: dict[str, Any] = {
        "betas": betas,
        "model_mean_type": mean,
        "model_var_type": var,
        "loss_type": loss,
        "rescale_timesteps": rescale,
    }
    if spacing is None:
        return GaussianDiffusion(**kinds)
    if isinstance(spacing, str):
        spacing = space_timesteps(len(betas), spacing)
    return SpacedDiffusion(spacing, **kinds)


class Plain:
    """The same process written from the papers, with plain numbers and loops."""

    def __init__(
        self,
        selected: list[int],
        mean: ModelMeanType = ModelMeanType.EPSILON,
        var: ModelVarType = ModelVarType.LEARNED_RANGE,
        betas: Any = LINEAR,
    ) -> None:
        full = np.cumprod(1 - np.asarray(betas))
        self.selected, self.mean_kind, self.var_kind = selected, mean, var
        self.bar = [float(full[t]) for t in selected]
        self.before = [1.0, *self.bar[:-1]]
        self.beta = [1 - a / b for a, b in zip(self.bar, self.before, strict=True)]
        self.posterior = [
            b * (1 - p) / (1 - a) for a, p, b in zip(self.bar, self.before, self.beta, strict=True)
        ]

    def logs(self, k: int) -> tuple[float, float]:
        """Logarithms of the posterior's variance (of step 1 at step 0) and of β."""
        return math.log(self.posterior[max(k, 1)]), math.log(self.beta[k])

    def gaussian(
        self, model: Any, x: Any, k: int, clip: bool, fn: Any = None, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        """Mean, log-variance and x0."""
        t = torch.full((x.shape[0],), self.selected[k])
        out = model(x, t, **kwargs)
        low, high = self.logs(k)
        if self.var_kind in LEARNED:
            out, v = out.chunk(2, dim=1)
            log_var = v
            if self.var_kind is ModelVarType.LEARNED_RANGE:
                log_var = (v + 1) / 2 * high + (1 - v) / 2 * low
        else:
            small = self.var_kind is ModelVarType.FIXED_SMALL
            fixed = low if small or k == 0 else high
            log_var = torch.full_like(x, fixed)
        bar, before, beta = self.bar[k], self.before[k], self.beta[k]
        of_x0 = math.sqrt(before) * beta / (1 - bar)
        of_x = math.sqrt(1 - beta) * (1 - before) / (1 - bar)
        if self.mean_kind is ModelMeanType.EPSILON:
            x0 = (x - math.sqrt(1 - bar) * out) / math.sqrt(bar)
        elif self.mean_kind is ModelMeanType.START_X:
            x0 = out
        elif self.mean_kind is ModelMeanType.VELOCITY:
            x0 = math.sqrt(bar) * x - math.sqrt(1 - bar) * out
        else:
            x0 = (out - of_x * x) / of_x0
        if fn is not None:
            x0 = fn(x0)
        if clip:
            x0 = torch.clamp(x0, -1, 1)
        mean = out if self.mean_kind is ModelMeanType.PREVIOUS_X else of_x0 * x0 + of_x * x
        return mean, log_var, x0

    def ddpm(
        self, model: Any, x: Any, clip: bool = True, fn: Any = None, cond: Any = None, **kw: Any
    ) -> Any:
        for k in reversed(range(len(self.selected))):
            mean, log_var, _ = self.gaussian(model, x, k, clip, fn, **kw)
            z = torch.randn(x.shape, dtype=x.dtype)
            if cond is not None:
                variance = log_var.exp()
                if self.var_kind is ModelVarType.FIXED_SMALL and k == 0:
                    variance = torch.zeros_like(x)
                t = torch.full((x.shape[0],), self.selected[k])
                mean = mean + variance * cond(x, t, **kw)
            x = mean + torch.exp(log_var / 2) * z if k > 0 else mean
        return x

    def ddim(
        self,
        model: Any,
        x: Any,
        eta: float,
        clip: bool = True,
        fn: Any = None,
        cond: Any = None,
        **kw: Any,
    ) -> Any:
        for k in reversed(range(len(self.selected))):
            bar, before = self.bar[k], self.before[k]
            _, _, x0 = self.gaussian(model, x, k, clip, fn, **kw)
            eps = (x - math.sqrt(bar) * x0) / math.sqrt(1 - bar)
            if cond is not None:
                t = torch.full((x.shape[0],), self.selected[k])
                eps = eps - math.sqrt(1 - bar) * cond(x, t, **kw)
                x0 = (x - math.sqrt(1 - bar) * eps) / math.sqrt(bar)
            std = eta * math.sqrt((1 - before) / (1 - bar)) * math.sqrt(1 - bar / before)
            z = torch.randn(x.shape, dtype=x.dtype)
            x = math.sqrt(before) * x0 + math.sqrt(max(1 - before - std**2, 0)) * eps + std * z
        return x


def selected_by(spacing: str) -> list[int]:
    return sorted(space_timesteps(1000, spacing))


def start(seed: int = 3) -> Any:
    return torch.randn(SHAPE, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def images(seed: int = 4) -> Any:
    """8-bit images in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, SHAPE, generator=generator).to(DOUBLE) / 127.5 - 1


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)
