"""Removing noise: the Gaussian p(x_{t-1} | x_t), guided or not. Methods of a process."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schedalg.checks import check_callable, described, flag
from schedalg.interop.guided_diffusion.checks import called, check_image, check_shape, keywords
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
    check_callable("model", model)
    if denoised_fn is not None:
        check_callable("denoised_fn", denoised_fn)
    clip = flag("clip_denoised", clip_denoised)
    at = diffusion._table.at(t, x)
    timesteps = diffusion._scale_timesteps(t)
    network, named = diffusion._wrap_model(model), keywords(model_kwargs)
    output, extra = parts_of(called("model", network, x, timesteps, **named))
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
        x0 = called("denoised_fn", denoised_fn, x0)
        check_shape("what denoised_fn returns", x0, x.shape)
    if clip:
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
    mean, variance = _parts(p_mean_var, ("mean", "variance"), x)
    gradient = _gradient(diffusion, cond_fn, x, t, model_kwargs)
    wide = torch.promote_types(x.dtype, torch.float32)  # half precision is too coarse
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
    (x0,) = _parts(p_mean_var, ("pred_xstart",), x)
    at = diffusion._table.at(t, x)
    gradient = _gradient(diffusion, cond_fn, x, t, model_kwargs)
    eps = diffusion._predict_eps_from_xstart(x, t, x0)
    eps = eps - at.sqrt_one_minus_alphas_cumprod * gradient
    x0 = diffusion._predict_xstart_from_eps(x, t, eps)
    mean = diffusion.q_posterior_mean_variance(x_start=x0, x_t=x, t=t)[0]
    return {**p_mean_var, "pred_xstart": x0, "mean": mean}


def _parts(p_mean_var: object, names: tuple[str, ...], x: "Tensor") -> list["Tensor"]:
    """Return tensors of what `p_mean_variance` returned.

    Raises:
        TypeError: It is not a mapping, or a part is not a tensor.
        ValueError: A part is missing, or has another shape than x.
    """
    check_image("x", x)
    if not isinstance(p_mean_var, Mapping):
        raise TypeError(f"p_mean_var must be a mapping, got {described(p_mean_var)}")
    for name in names:
        if name not in p_mean_var:
            raise ValueError(f"p_mean_var lacks {name!r}")
        check_shape(f"p_mean_var[{name!r}]", p_mean_var[name], x.shape)
    return [p_mean_var[name] for name in names]


def _gradient(
    diffusion: "GaussianDiffusion",
    cond_fn: Model,
    x: "Tensor",
    t: "Tensor",
    model_kwargs: Mapping[str, Any] | None,
) -> "Tensor":
    check_callable("cond_fn", cond_fn)
    timesteps = diffusion._scale_timesteps(t)
    function, named = diffusion._wrap_model(cond_fn), keywords(model_kwargs)
    gradient: Tensor = called("cond_fn", function, x, timesteps, **named)
    check_shape("what cond_fn returns", gradient, x.shape)
    return gradient


def _require_signal(diffusion: "GaussianDiffusion") -> None:
    if diffusion.alphas_cumprod[-1] == 0:
        raise ValueError(
            "EPSILON does not determine x0 where the last beta is 1 (zero signal): use a "
            "network that predicts START_X, or leave the last timestep out"
        )
