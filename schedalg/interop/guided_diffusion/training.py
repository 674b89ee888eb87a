"""Training losses and the variational bound. Methods of a process."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schedalg.checks import check_callable
from schedalg.interop.guided_diffusion.checks import called, check_image, keywords
from schedalg.interop.guided_diffusion.kinds import LossType, ModelMeanType
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.losses import (
    discretized_gaussian_log_likelihood,
    mean_flat,
    normal_kl,
)
from schedalg.interop.guided_diffusion.outputs import channel_axis, parts_of, split_output
from schedalg.network.model import Model

if TYPE_CHECKING:
    from torch import Tensor

    from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion


def training_losses(
    diffusion: "GaussianDiffusion",
    model: Model,
    x_start: "Tensor",
    t: "Tensor",
    model_kwargs: Mapping[str, Any] | None = None,
    noise: "Tensor | None" = None,
) -> dict[str, "Tensor"]:
    """Return the loss of each sample at its own position.

    Args:
        diffusion: The process.
        model: Called as `model(x_t, t, **model_kwargs)`.
        x_start: Clean data, (B, C, ...).
        t: Positions in the schedule, (B,) integers.
        model_kwargs: Passed to the model.
        noise: Of x_start's shape; drawn by `torch.randn_like` if not given.

    Returns:
        "loss", (B,). With a squared error also "mse"; and, if the variance is learned, "vb": the
        variational bound, whose gradient reaches the variance but not the mean.

    Raises:
        TypeError: As in `p_mean_variance`.
        ValueError: As in `p_mean_variance`.

    Source: Nichol and Dhariwal, arXiv 2102.09672, equations 12 and 16.
    """
    check_image("x_start", x_start)
    check_callable("model", model)
    if noise is None:
        noise = torch.randn_like(x_start)
    x_t = diffusion.q_sample(x_start, t, noise=noise)
    model = diffusion._wrap_model(model)
    if diffusion.loss_type.is_vb():
        bound = diffusion._vb_terms_bpd(
            model=model,
            x_start=x_start,
            x_t=x_t,
            t=t,
            clip_denoised=False,
            model_kwargs=model_kwargs,
        )["output"]
        scale = diffusion.num_timesteps if diffusion.loss_type is LossType.RESCALED_KL else 1
        return {"loss": bound * scale}
    timesteps, named = diffusion._scale_timesteps(t), keywords(model_kwargs)
    output = parts_of(called("model", model, x_t, timesteps, **named))[0]
    predicted, values = split_output(output, x_t, diffusion.model_var_type)
    at = diffusion._table.at(t, x_t)
    if diffusion.model_mean_type is ModelMeanType.EPSILON:
        target = noise
    elif diffusion.model_mean_type is ModelMeanType.START_X:
        target = x_start
    elif diffusion.model_mean_type is ModelMeanType.VELOCITY:
        target = at.velocity_of(x_start, noise)
    else:
        target = diffusion.q_posterior_mean_variance(x_start=x_start, x_t=x_t, t=t)[0]
    mse = mean_flat((target - predicted) ** 2)
    if diffusion.min_snr is not None:
        mse = mse * _min_snr_weight(at.snr.flatten(), diffusion.min_snr, diffusion.model_mean_type)
    if values is None:
        return {"mse": mse, "loss": mse}
    frozen = torch.cat([predicted.detach(), values], dim=channel_axis(x_t, output))
    bound = diffusion._vb_terms_bpd(
        model=lambda *args, **kwargs: frozen, x_start=x_start, x_t=x_t, t=t, clip_denoised=False
    )["output"]
    rescaled = diffusion.loss_type is LossType.RESCALED_MSE
    vb = bound * (diffusion.num_timesteps / 1000) if rescaled else bound
    return {"vb": vb, "mse": mse, "loss": mse + vb}


def _min_snr_weight(snr: "Tensor", most: float, kind: ModelMeanType) -> "Tensor":
    """Return the weight of the squared error, for which that of x0 is weighted by min(SNR, most).

    Source: Hang et al., arXiv 2303.09556, section 3.4.
    """
    if kind is ModelMeanType.EPSILON:
        return (most / snr).clamp(max=1)
    capped = snr.clamp(max=most)
    return capped / (snr + 1) if kind is ModelMeanType.VELOCITY else capped


def calc_bpd_loop(
    diffusion: "GaussianDiffusion",
    model: Model,
    x_start: "Tensor",
    clip_denoised: bool = True,
    model_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, "Tensor"]:
    """Return the whole variational bound in bits per dimension, with the terms of its sum.

    Args:
        diffusion: The process.
        model: Called as `model(x_t, t, **model_kwargs)`, without a gradient.
        x_start: 8-bit images in [-1, 1], (B, C, ...).
        clip_denoised: Clamp x0 to [-1, 1].
        model_kwargs: Passed to the model.

    Returns:
        "total_bpd" and "prior_bpd", (B,); "vb", "xstart_mse" and "mse", (B, N), the noisiest
        step first. "total_bpd" is the sum of "vb" and "prior_bpd".

    Raises:
        TypeError: As in `p_mean_variance`.
        ValueError: As in `p_mean_variance`.

    Source: Ho et al., arXiv 2006.11239, equation 5.
    """
    check_image("x_start", x_start)
    check_callable("model", model)
    terms: dict[str, list[Tensor]] = {"vb": [], "xstart_mse": [], "mse": []}
    for k in range(diffusion.num_timesteps - 1, -1, -1):
        t = torch.full((x_start.shape[0],), k, device=x_start.device)
        noise = torch.randn_like(x_start)
        x_t = diffusion.q_sample(x_start, t, noise=noise)
        with torch.no_grad():
            out = diffusion._vb_terms_bpd(
                model,
                x_start=x_start,
                x_t=x_t,
                t=t,
                clip_denoised=clip_denoised,
                model_kwargs=model_kwargs,
            )
        eps = diffusion._predict_eps_from_xstart(x_t, t, out["pred_xstart"])
        terms["vb"].append(out["output"])
        terms["xstart_mse"].append(mean_flat((out["pred_xstart"] - x_start) ** 2))
        terms["mse"].append(mean_flat((eps - noise) ** 2))
    stacked = {name: torch.stack(values, dim=1) for name, values in terms.items()}
    prior = diffusion._prior_bpd(x_start)
    return {"total_bpd": stacked["vb"].sum(dim=1) + prior, "prior_bpd": prior, **stacked}


def vb_terms_bpd(
    diffusion: "GaussianDiffusion",
    model: Model,
    x_start: "Tensor",
    x_t: "Tensor",
    t: "Tensor",
    clip_denoised: bool = True,
    model_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, "Tensor"]:
    """Return one term of the bound in bits: the likelihood at t = 0, otherwise a divergence."""
    mean, _, log_variance = diffusion.q_posterior_mean_variance(x_start=x_start, x_t=x_t, t=t)
    out = diffusion.p_mean_variance(
        model, x_t, t, clip_denoised=clip_denoised, model_kwargs=model_kwargs
    )
    divergence = normal_kl(mean, log_variance, out["mean"], out["log_variance"])
    decoding = -discretized_gaussian_log_likelihood(
        x_start, means=out["mean"], log_scales=0.5 * out["log_variance"]
    )
    nats = torch.where(t.to(x_t.device) == 0, mean_flat(decoding), mean_flat(divergence))
    return {"output": nats / math.log(2), "pred_xstart": out["pred_xstart"]}


def prior_bpd(diffusion: "GaussianDiffusion", x_start: "Tensor") -> "Tensor":
    """Return the divergence of q(x_T | x0) from N(0, 1) in bits; no network is needed."""
    last = torch.full((x_start.shape[0],), diffusion.num_timesteps - 1, device=x_start.device)
    mean, _, log_variance = diffusion.q_mean_variance(x_start, last)
    return mean_flat(normal_kl(mean, log_variance, 0.0, 0.0)) / math.log(2)
