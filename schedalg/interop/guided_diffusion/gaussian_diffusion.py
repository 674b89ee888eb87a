"""`GaussianDiffusion`: sampling, and the losses that a network is trained with."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schedalg.interop.guided_diffusion.beta_schedules import (
    betas_for_alpha_bar,
    get_named_beta_schedule,
)
from schedalg.interop.guided_diffusion.chain import Model
from schedalg.interop.guided_diffusion.columns import check_image, check_same_shape
from schedalg.interop.guided_diffusion.kinds import LossType, ModelMeanType, ModelVarType
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.losses import (
    discretized_gaussian_log_likelihood,
    mean_flat,
    normal_kl,
)
from schedalg.interop.guided_diffusion.sampling import Sampling

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "GaussianDiffusion",
    "LossType",
    "ModelMeanType",
    "ModelVarType",
    "betas_for_alpha_bar",
    "get_named_beta_schedule",
]


class GaussianDiffusion(Sampling):
    """A diffusion process of N steps, with the numbers of a `Schedule`.

    Args:
        betas: (N,), each in (0, 1]; 1 only at the end.
        model_mean_type: What the network predicts.
        model_var_type: Where the variance comes from.
        loss_type: What `training_losses` returns.
        rescale_timesteps: Tell the network t · 1000 / N as a float.

    Attributes:
        schedule: The `Schedule` that everything is read from.
        num_timesteps: N.
        betas: (N,), float64 and read-only, like all that follow: alphas_cumprod,
            alphas_cumprod_prev, alphas_cumprod_next, sqrt_alphas_cumprod,
            sqrt_one_minus_alphas_cumprod, log_one_minus_alphas_cumprod, sqrt_recip_alphas_cumprod,
            sqrt_recipm1_alphas_cumprod, posterior_variance, posterior_log_variance_clipped,
            posterior_mean_coef1, posterior_mean_coef2.

    Raises:
        TypeError: A kind is no member of its enumeration, or `betas` holds no real numbers.
        ValueError: `betas` is empty, not 1-D, or out of range.

    Example:
        >>> import torch
        >>> from schedalg.interop.guided_diffusion import *
        >>> diffusion = GaussianDiffusion(
        ...     betas=get_named_beta_schedule("cosine", 50),
        ...     model_mean_type=ModelMeanType.EPSILON,
        ...     model_var_type=ModelVarType.FIXED_SMALL,
        ...     loss_type=LossType.MSE,
        ... )
        >>> model = lambda x, t: 0.1 * x
        >>> diffusion.p_sample_loop(model, (2, 3, 4, 4), device="cpu").shape
        torch.Size([2, 3, 4, 4])
        >>> x_start, t = torch.zeros(2, 3, 4, 4), torch.tensor([0, 49])
        >>> sorted(diffusion.training_losses(model, x_start, t))
        ['loss', 'mse']

    Source: Ho et al., arXiv 2006.11239; Nichol and Dhariwal, arXiv 2102.09672; Dhariwal and Nichol,
    arXiv 2105.05233.
    """

    def training_losses(
        self,
        model: Model,
        x_start: "Tensor",
        t: "Tensor",
        model_kwargs: Mapping[str, Any] | None = None,
        noise: "Tensor | None" = None,
    ) -> dict[str, "Tensor"]:
        """Return the loss of each sample at its own position.

        Args:
            model: Called as `model(x_t, t, **model_kwargs)`.
            x_start: Clean data, (B, C, ...).
            t: Positions in the schedule, (B,) integers.
            model_kwargs: Handed to the model.
            noise: As x_start; drawn by `torch.randn_like` if not given.

        Returns:
            "loss", (B,). With a squared error also "mse"; and "vb", if the variance is learned,
            which then sees the bound, as the mean does not.

        Raises:
            TypeError: As `p_mean_variance`.
            ValueError: As `p_mean_variance`.

        Source: Nichol and Dhariwal, arXiv 2102.09672, equations 12 and 16.
        """
        check_image("x_start", x_start)
        at = self._columns.at(t, x_start)
        if noise is None:
            noise = torch.randn_like(x_start)
        check_same_shape("noise", noise, x_start)
        x_t = self.q_sample(x_start, t, noise=noise)
        model = self._wrap_model(model)
        if self.loss_type.is_vb():
            bound = self._vb_terms_bpd(
                model=model,
                x_start=x_start,
                x_t=x_t,
                t=t,
                clip_denoised=False,
                model_kwargs=model_kwargs,
            )["output"]
            scale = self.num_timesteps if self.loss_type is LossType.RESCALED_KL else 1
            return {"loss": bound * scale}
        output = model(x_t, t, **(model_kwargs or {}))
        predicted, says = self._split(output, x_t)
        terms: dict[str, Tensor] = {}
        if says is not None:
            frozen = torch.cat([predicted.detach(), says], dim=1)
            bound = self._vb_terms_bpd(
                model=lambda x, t: frozen, x_start=x_start, x_t=x_t, t=t, clip_denoised=False
            )["output"]
            rescaled = self.loss_type is LossType.RESCALED_MSE
            terms["vb"] = bound * (self.num_timesteps / 1000) if rescaled else bound
        if self.model_mean_type is ModelMeanType.EPSILON:
            target = noise
        elif self.model_mean_type is ModelMeanType.START_X:
            target = x_start
        else:
            target = at.posterior_mean(x_start, x_t)
        terms["mse"] = mean_flat((target - predicted) ** 2)
        terms["loss"] = terms["mse"] + terms["vb"] if "vb" in terms else terms["mse"]
        return terms

    def calc_bpd_loop(
        self,
        model: Model,
        x_start: "Tensor",
        clip_denoised: bool = True,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, "Tensor"]:
        """Return the whole variational bound in bits a dimension, with the terms it is made of.

        Args:
            model: Called as `model(x_t, t, **model_kwargs)`, without a gradient.
            x_start: 8-bit images in [-1, 1], (B, C, ...).
            clip_denoised: Clamp x0 to [-1, 1].
            model_kwargs: Handed to the model.

        Returns:
            "total_bpd" and "prior_bpd", (B,); "vb", "xstart_mse" and "mse", (B, N), the noisiest
            step first. "total_bpd" is the sum of "vb" and "prior_bpd".

        Raises:
            TypeError: As `p_mean_variance`.
            ValueError: As `p_mean_variance`.

        Source: Ho et al., arXiv 2006.11239, equation 5.
        """
        check_image("x_start", x_start)
        terms: dict[str, list[Tensor]] = {"vb": [], "xstart_mse": [], "mse": []}
        for k in range(self.num_timesteps - 1, -1, -1):
            t = torch.full((x_start.shape[0],), k, device=x_start.device)
            noise = torch.randn_like(x_start)
            at = self._columns.at(t, x_start)
            x_t = self.q_sample(x_start, t, noise=noise)
            with torch.no_grad():
                out = self._vb_terms_bpd(
                    model,
                    x_start=x_start,
                    x_t=x_t,
                    t=t,
                    clip_denoised=clip_denoised,
                    model_kwargs=model_kwargs,
                )
            eps = at.eps_from_xstart(x_t, out["pred_xstart"])
            terms["vb"].append(out["output"])
            terms["xstart_mse"].append(mean_flat((out["pred_xstart"] - x_start) ** 2))
            terms["mse"].append(mean_flat((eps - noise) ** 2))
        stacked = {name: torch.stack(values, dim=1) for name, values in terms.items()}
        prior = self._prior_bpd(x_start)
        return {"total_bpd": stacked["vb"].sum(dim=1) + prior, "prior_bpd": prior, **stacked}

    def _vb_terms_bpd(
        self,
        model: Model,
        x_start: "Tensor",
        x_t: "Tensor",
        t: "Tensor",
        clip_denoised: bool = True,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, "Tensor"]:
        """Return a term of the bound in bits: what decoding costs at t = 0, a divergence above."""
        mean, _, log_variance = self.q_posterior_mean_variance(x_start=x_start, x_t=x_t, t=t)
        out = self.p_mean_variance(
            model, x_t, t, clip_denoised=clip_denoised, model_kwargs=model_kwargs
        )
        divergence = normal_kl(mean, log_variance, out["mean"], out["log_variance"])
        decoding = -discretized_gaussian_log_likelihood(
            x_start, means=out["mean"], log_scales=0.5 * out["log_variance"]
        )
        nats = torch.where(t.to(x_t.device) == 0, mean_flat(decoding), mean_flat(divergence))
        return {"output": nats / math.log(2), "pred_xstart": out["pred_xstart"]}

    def _prior_bpd(self, x_start: "Tensor") -> "Tensor":
        """Return the divergence of q(x_T | x0) from N(0, 1) in bits, which no network changes."""
        last = torch.full((x_start.shape[0],), self.num_timesteps - 1, device=x_start.device)
        mean, _, log_variance = self.q_mean_variance(x_start, last)
        return mean_flat(normal_kl(mean, log_variance, 0.0, 0.0)) / math.log(2)
