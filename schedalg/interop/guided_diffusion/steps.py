"""One step of a sampler: DDPM, DDIM, and DDIM in reverse. Methods of a process.

Random numbers are drawn by `torch.randn_like(x)` once in a step, after the call of the network and
whether or not the step uses them, as in the original: a seed gives the same image.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schedalg.checks import check_callable, real_number, shown
from schedalg.interop.guided_diffusion.coefficients import CoefficientTable, ddim_coefficients
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.reverse import overridden, predict_eps_from_xstart
from schedalg.network.model import Model
from schedalg.samplers.options import checked_eta

if TYPE_CHECKING:
    from torch import Tensor

    from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion


def p_sample(
    diffusion: "GaussianDiffusion",
    model: Model,
    x: "Tensor",
    t: "Tensor",
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    cond_fn: Model | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    temperature: float = 1.0,
) -> dict[str, "Tensor"]:
    """Return a draw from p(x_{t-1} | x_t), or its mean where t is 0.

    Args:
        diffusion: The process.
        model: Called as `model(x, t, **model_kwargs)`.
        x: Noisy data, (B, C, ...).
        t: The positions of x in the schedule, (B,) integers.
        clip_denoised: Clamp x0 to [-1, 1].
        denoised_fn: Applied to x0 before it is clamped.
        cond_fn: The gradient of a classifier, for `condition_mean`.
        model_kwargs: Passed to the model, and to `cond_fn`.
        temperature: A factor of the noise, at least 0.

    Returns:
        "sample", like x, and "pred_xstart".

    Raises:
        TypeError: As in `p_mean_variance`; or `temperature` is not a number.
        ValueError: As in `p_mean_variance`; or `temperature` is below 0.

    Source: Ho et al., arXiv 2006.11239, algorithm 2.
    """
    if cond_fn is not None:
        check_callable("cond_fn", cond_fn)
    if (factor := real_number("temperature", temperature)) < 0:
        raise ValueError(f"temperature must be at least 0, got {shown(temperature)}")
    out = diffusion.p_mean_variance(
        model,
        x,
        t,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        model_kwargs=model_kwargs,
    )
    noise = torch.randn_like(x)
    mean = out["mean"]
    if cond_fn is not None:
        mean = diffusion.condition_mean(cond_fn, out, x, t, model_kwargs=model_kwargs)
    noisy = (t != 0).to(x.device).view(-1, *[1] * (x.ndim - 1))
    std = noisy * torch.exp(0.5 * out["log_variance"])
    if factor != 1:
        std = std * factor
    return {"sample": (mean + std * noise).to(x.dtype), "pred_xstart": out["pred_xstart"]}


def ddim_sample(
    diffusion: "GaussianDiffusion",
    model: Model,
    x: "Tensor",
    t: "Tensor",
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    cond_fn: Model | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    eta: float = 0.0,
) -> dict[str, "Tensor"]:
    """Return x one step less noisy, by DDIM: x_{t-1} = a x_t + b x0 + c noise.

    Args:
        diffusion: The process.
        model: Called as `model(x, t, **model_kwargs)`.
        x: Noisy data, (B, C, ...).
        t: The positions of x in the schedule, (B,) integers.
        clip_denoised: Clamp x0 to [-1, 1].
        denoised_fn: Applied to x0 before it is clamped.
        cond_fn: The gradient of a classifier, for `condition_score`.
        model_kwargs: Passed to the model, and to `cond_fn`.
        eta: Share of DDPM's noise, in [0, 1]. Random numbers are drawn even if it is 0.

    Returns:
        "sample", like x, and "pred_xstart".

    Raises:
        TypeError: As in `p_mean_variance`; or `eta` is not a number.
        ValueError: As in `p_mean_variance`; or `eta` is outside [0, 1].

    Source: Song et al., arXiv 2010.02502, equation 12.
    """
    if cond_fn is not None:
        check_callable("cond_fn", cond_fn)
    share = checked_eta(eta)
    if share not in diffusion._ddim_tables:
        columns = ddim_coefficients(diffusion.schedule, share)
        diffusion._ddim_tables[share] = CoefficientTable(columns)
    out = diffusion.p_mean_variance(
        model,
        x,
        t,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        model_kwargs=model_kwargs,
    )
    if cond_fn is not None:
        out = diffusion.condition_score(cond_fn, out, x, t, model_kwargs=model_kwargs)
    noise = torch.randn_like(x)
    at, x0 = diffusion._ddim_tables[share].at(t, x), out["pred_xstart"]
    if overridden(diffusion, predict_eps_from_xstart):
        level, eps = diffusion._table.at(t, x), diffusion._predict_eps_from_xstart(x, t, x0)
        x_now = level.sqrt_alphas_cumprod * x0 + level.sqrt_one_minus_alphas_cumprod * eps
    else:
        x_now = x  # the same, but for rounding
    sample = at.a * x_now + at.b * x0 + at.c * noise
    return {"sample": sample.to(x.dtype), "pred_xstart": x0}


def ddim_reverse_sample(
    diffusion: "GaussianDiffusion",
    model: Model,
    x: "Tensor",
    t: "Tensor",
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    model_kwargs: Mapping[str, Any] | None = None,
    eta: float = 0.0,
    cond_fn: Model | None = None,
) -> dict[str, "Tensor"]:
    """Return x one step noisier, by DDIM in reverse; pure noise after the last t.

    Args:
        diffusion: The process.
        model: Called as `model(x, t, **model_kwargs)`.
        x: Data, (B, C, ...).
        t: The positions of x in the schedule, (B,) integers.
        clip_denoised: Clamp x0 to [-1, 1].
        denoised_fn: Applied to x0 before it is clamped.
        model_kwargs: Passed to the model, and to `cond_fn`.
        eta: 0, since only the deterministic path can be reversed.
        cond_fn: The gradient of a classifier, for `condition_score`. (In repositories that have it,
            it comes before `model_kwargs`: pass it by name.)

    Returns:
        "sample", like x, and "pred_xstart".

    Raises:
        TypeError: As in `p_mean_variance`; or `eta` is not a number.
        ValueError: As in `p_mean_variance`; or `eta` is not 0.

    Source: Song et al., arXiv 2010.02502, equation 14.
    """
    if cond_fn is not None:
        check_callable("cond_fn", cond_fn)
    if real_number("eta", eta) != 0:
        raise ValueError(
            f"eta must be 0: only the deterministic path is reversed; got {shown(eta)}"
        )
    out = diffusion.p_mean_variance(
        model,
        x,
        t,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        model_kwargs=model_kwargs,
    )
    if cond_fn is not None:
        out = diffusion.condition_score(cond_fn, out, x, t, model_kwargs=model_kwargs)
    at, x0 = diffusion._table.at(t, x), out["pred_xstart"]
    eps = diffusion._predict_eps_from_xstart(x, t, x0)
    sample = at.alpha_next * x0 + at.sigma_next * eps
    return {"sample": sample.to(x.dtype), "pred_xstart": x0}
