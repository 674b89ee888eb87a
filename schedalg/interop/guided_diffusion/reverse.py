"""Removing noise: the Gaussian p(x_{t-1} | x_t), guided or not. Methods of a process."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schedalg.checks import flag
from schedalg.interop.guided_diffusion.checks import check_image, check_shape, keywords
from schedalg.interop.guided_diffusion.kinds import ModelMeanType
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.outputs import parts_of, split_output, step_variance
from schedalg.network.model import Model

if TYPE_CHECKING:
    from torch import Tensor

    from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion


def p_mean_variance(
    diffusion: "GaussianDiffusion",
    model: Model,
    x: "Tensor",
    t: "Tensor",
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, "Tensor"]:
    """Return the Gaussian p(x_{t-1} | x_t), and the x0 that the network predicts.

    Args:
        diffusion: The process.
        model: Called as `model(x, t, **model_kwargs)`.
        x: Noisy data, (B, C, ...).
        t: The positions of x in the schedule, (B,) integers.
        clip_denoised: Clamp x0 to [-1, 1].
        denoised_fn: Applied to x0 before it is clamped.
        model_kwargs: Passed to the model.

    Returns:
        "mean", "variance", "log_variance" and "pred_xstart", all of x's shape; and "extra", if the
        model returned a tuple of its output and something else.

    Raises:
        TypeError: An argument, or the model's output, has the wrong type.
        ValueError: A shape does not fit, (on a CPU) a position is out of range, or the network
            predicts EPSILON and the schedule ends without any signal.
    """
    check_image("x", x)
    at = diffusion._table.at(t, x)
    timesteps = diffusion._scale_timesteps(t)
    output, extra = parts_of(diffusion._wrap_model(model)(x, timesteps, **keywords(model_kwargs)))
    output, values = split_output(output, x, diffusion.model_var_type)
    variance, log_variance = step_variance(at, values, x, diffusion.model_var_type)
    mean_type = diffusion.model_mean_type
    if mean_type is ModelMeanType.PREVIOUS_X:
        if overridden(diffusion, predict_xstart_from_xprev):
            x0 = diffusion._predict_xstart_from_xprev(x_t=x, t=t, xprev=output)
        else:
            x0 = at.xstart_from_xprev(x, output)
    elif mean_type is ModelMeanType.EPSILON:
        _require_signal(diffusion)
        if overridden(diffusion, predict_xstart_from_eps):
            x0 = diffusion._predict_xstart_from_eps(x_t=x, t=t, eps=output)
        else:
            x0 = at.xstart_from_eps(x, output)
    elif mean_type is ModelMeanType.VELOCITY:
        x0 = at.xstart_from_velocity(x, output)
    else:
        x0 = output
    if denoised_fn is not None:
        x0 = denoised_fn(x0)
        check_shape("what denoised_fn returns", x0, x.shape)
    if flag("clip_denoised", clip_denoised):
        x0 = x0.clamp(-1, 1)
    if mean_type is ModelMeanType.PREVIOUS_X:
        mean = output
    else:
        mean = diffusion.q_posterior_mean_variance(x_start=x0, x_t=x, t=t)[0]
    result = {"mean": mean, "variance": variance, "log_variance": log_variance, "pred_xstart": x0}
    return result if extra is None else {**result, "extra": extra}


def overridden(diffusion: "GaussianDiffusion", helper: Callable[..., Any]) -> bool:
    """Return whether a subclass has its own `_predict_...` method in place of this function.

    Where it has none, the coefficients of a step need not be looked up a second time.
    """
    return getattr(type(diffusion), f"_{helper.__name__}") is not helper


def predict_xstart_from_eps(
    diffusion: "GaussianDiffusion", x_t: "Tensor", t: "Tensor", eps: "Tensor"
) -> "Tensor":
    """Return the clean data in x_t, given the noise in it."""
    return diffusion._table.at(t, x_t).xstart_from_eps(x_t, eps)


def predict_xstart_from_xprev(
    diffusion: "GaussianDiffusion", x_t: "Tensor", t: "Tensor", xprev: "Tensor"
) -> "Tensor":
    """Return the clean data for which the posterior's mean is xprev."""
    return diffusion._table.at(t, x_t).xstart_from_xprev(x_t, xprev)


def predict_eps_from_xstart(
    diffusion: "GaussianDiffusion", x_t: "Tensor", t: "Tensor", pred_xstart: "Tensor"
) -> "Tensor":
    """Return the noise in x_t, given the clean data."""
    return diffusion._table.at(t, x_t).eps_from_xstart(x_t, pred_xstart)


def condition_mean(
    diffusion: "GaussianDiffusion",
    cond_fn: Model,
    p_mean_var: Mapping[str, "Tensor"],
    x: "Tensor",
    t: "Tensor",
    model_kwargs: Mapping[str, Any] | None = None,
) -> "Tensor":
    """Return the mean of a step guided by a classifier: mean + variance · gradient.

    Args:
        diffusion: The process.
        cond_fn: Returns the gradient in x of log p(y | x); called like the model.
        p_mean_var: What `p_mean_variance` returned.
        x: Noisy data, (B, ...).
        t: The positions of x, (B,) integers.
        model_kwargs: Passed to `cond_fn`.

    Source: Dhariwal and Nichol, arXiv 2105.05233, algorithm 1.
    """
    gradient = _gradient(diffusion, cond_fn, x, t, model_kwargs)
    wide = torch.promote_types(x.dtype, torch.float32)  # half precision is too coarse
    mean, variance = p_mean_var["mean"], p_mean_var["variance"]
    return mean.to(wide) + variance.to(wide) * gradient.to(wide)


def condition_score(
    diffusion: "GaussianDiffusion",
    cond_fn: Model,
    p_mean_var: Mapping[str, "Tensor"],
    x: "Tensor",
    t: "Tensor",
    model_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, "Tensor"]:
    """Return what `p_mean_variance` would if the score were that of p(x | y).

    eps - sqrt(1 - ᾱ) · gradient takes the place of eps. The x0 that follows is not clamped again.

    Args:
        diffusion: The process.
        cond_fn: Returns the gradient in x of log p(y | x); called like the model.
        p_mean_var: What `p_mean_variance` returned.
        x: Noisy data, (B, ...).
        t: The positions of x, (B,) integers.
        model_kwargs: Passed to `cond_fn`.

    Source: Dhariwal and Nichol, arXiv 2105.05233, algorithm 2.
    """
    _require_signal(diffusion)
    at = diffusion._table.at(t, x)
    gradient = _gradient(diffusion, cond_fn, x, t, model_kwargs)
    eps = diffusion._predict_eps_from_xstart(x, t, p_mean_var["pred_xstart"])
    eps = eps - at.sqrt_one_minus_alphas_cumprod * gradient
    x0 = diffusion._predict_xstart_from_eps(x, t, eps)
    mean = diffusion.q_posterior_mean_variance(x_start=x0, x_t=x, t=t)[0]
    return {**p_mean_var, "pred_xstart": x0, "mean": mean}


def _gradient(
    diffusion: "GaussianDiffusion",
    cond_fn: Model,
    x: "Tensor",
    t: "Tensor",
    model_kwargs: Mapping[str, Any] | None,
) -> "Tensor":
    timesteps = diffusion._scale_timesteps(t)
    gradient: Tensor = diffusion._wrap_model(cond_fn)(x, timesteps, **keywords(model_kwargs))
    check_shape("what cond_fn returns", gradient, x.shape)
    return gradient


def _require_signal(diffusion: "GaussianDiffusion") -> None:
    if diffusion.alphas_cumprod[-1] == 0:
        raise ValueError(
            "EPSILON does not determine x0 where the last beta is 1 (zero signal): use a "
            "network that predicts START_X, or leave the last timestep out"
        )
