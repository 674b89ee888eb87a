"""Sampling: every position of the schedule, from the last to 0. Methods of a process."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from schedalg.checks import check_callable, flag, shown
from schedalg.interop.guided_diffusion.checks import called, check_shape, checked_sizes
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.network.model import Model
from schedalg.running.progress import progress_bar

if TYPE_CHECKING:
    from torch import Tensor

    from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion


def p_sample_loop(
    diffusion: "GaussianDiffusion",
    model: Model,
    shape: Sequence[int],
    noise: "Tensor | None" = None,
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    cond_fn: Model | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    device: Any = None,
    progress: bool = False,
    temperature: float = 1.0,
) -> "Tensor":
    """Return samples, by `p_sample` from the last position to 0.

    Args:
        diffusion: The process.
        model: Called as `model(x, t, **model_kwargs)`.
        shape: Shape of the samples, (B, C, ...): a tuple or a list.
        noise: The x to start from; drawn by `torch.randn` if not given.
        clip_denoised: Clamp x0 to [-1, 1] in each step.
        denoised_fn: Applied to x0 before it is clamped.
        cond_fn: The gradient of a classifier, for `condition_mean`.
        model_kwargs: Passed to the model, and to `cond_fn`.
        device: Where to draw; if not given, the device of the model's parameters.
        progress: Whether to show a progress bar, which needs tqdm.
        temperature: A factor of the noise of each step, at least 0.

    Returns:
        Samples of that shape, without a gradient.

    Raises:
        TypeError: `shape` is not a tuple or a list; or as in `p_sample`.
        ValueError: `noise` has another shape, or no device is given and the model has no
            parameters; or as in `p_sample`.
        ImportError: `progress` is True, and tqdm is not installed.

    Source: Ho et al., arXiv 2006.11239, algorithm 2.
    """
    results = diffusion.p_sample_loop_progressive(
        model,
        shape,
        noise=noise,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        cond_fn=cond_fn,
        model_kwargs=model_kwargs,
        device=device,
        progress=progress,
        **_unless_one(temperature),
    )
    return _last_sample(results)


def p_sample_loop_progressive(
    diffusion: "GaussianDiffusion",
    model: Model,
    shape: Sequence[int],
    noise: "Tensor | None" = None,
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    cond_fn: Model | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    device: Any = None,
    progress: bool = False,
    temperature: float = 1.0,
) -> Iterator[dict[str, "Tensor"]]:
    """Return an iterator over the results of `p_sample`; arguments as in `p_sample_loop`."""
    step = partial(
        diffusion.p_sample,
        model,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        cond_fn=cond_fn,
        model_kwargs=model_kwargs,
        **_unless_one(temperature),
    )
    return _results(step, diffusion.num_timesteps, model, shape, noise, device, progress)


def ddim_sample_loop(
    diffusion: "GaussianDiffusion",
    model: Model,
    shape: Sequence[int],
    noise: "Tensor | None" = None,
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    cond_fn: Model | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    device: Any = None,
    progress: bool = False,
    eta: float = 0.0,
) -> "Tensor":
    """Return samples, by `ddim_sample`; arguments as in `p_sample_loop` and `ddim_sample`."""
    results = diffusion.ddim_sample_loop_progressive(
        model,
        shape,
        noise=noise,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        cond_fn=cond_fn,
        model_kwargs=model_kwargs,
        device=device,
        progress=progress,
        eta=eta,
    )
    return _last_sample(results)


def ddim_sample_loop_progressive(
    diffusion: "GaussianDiffusion",
    model: Model,
    shape: Sequence[int],
    noise: "Tensor | None" = None,
    clip_denoised: bool = True,
    denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
    cond_fn: Model | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    device: Any = None,
    progress: bool = False,
    eta: float = 0.0,
) -> Iterator[dict[str, "Tensor"]]:
    """Return an iterator over the results of `ddim_sample`; arguments as in `ddim_sample_loop`."""
    step = partial(
        diffusion.ddim_sample,
        model,
        clip_denoised=clip_denoised,
        denoised_fn=denoised_fn,
        cond_fn=cond_fn,
        model_kwargs=model_kwargs,
        eta=eta,
    )
    return _results(step, diffusion.num_timesteps, model, shape, noise, device, progress)


def _unless_one(temperature: float) -> dict[str, Any]:
    """Return the argument where it has an effect: subclasses' own methods may not have it."""
    plain = isinstance(temperature, float) and temperature == 1
    return {} if plain else {"temperature": temperature}


def _last_sample(results: Iterator[dict[str, "Tensor"]]) -> "Tensor":
    return deque(results, maxlen=1).pop()["sample"]


def _results(
    step: Callable[["Tensor", "Tensor"], dict[str, "Tensor"]],
    num_timesteps: int,
    model: Model,
    shape: Sequence[int],
    noise: "Tensor | None",
    device: Any,
    progress: bool,
) -> Iterator[dict[str, "Tensor"]]:
    """Yield the result of `step(x, t)` at every position, where x is the "sample" of the last."""
    x = _first_x(model, shape, noise, device)
    positions = iter(range(num_timesteps - 1, -1, -1))
    if flag("progress", progress):
        positions = progress_bar(positions, num_timesteps)
    for k in positions:
        t = torch.full((x.shape[0],), k, device=x.device)
        with torch.no_grad():  # not around the yield, where the caller's own code runs
            result = called("a method of the process", step, x, t)
        yield result
        x = result["sample"]


def _first_x(model: Any, shape: Sequence[int], noise: "Tensor | None", device: Any) -> "Tensor":
    """Return the given noise, or draw it.

    Raises:
        TypeError: `shape` is not a tuple or a list, or the noise is not a tensor.
        ValueError: The noise has another shape, or no device is given and the model has no
            parameters.
    """
    check_callable("model", model)
    sizes = checked_sizes(shape)
    if noise is not None:
        check_shape("noise", noise, sizes)
        return noise
    if device is None:
        parameter = next(model.parameters(), None) if hasattr(model, "parameters") else None
        if parameter is None:
            raise ValueError("device is None, and the model has no parameters to take it from")
        device = parameter.device
    try:
        return torch.randn(sizes, device=device)
    except (TypeError, RuntimeError, AssertionError) as error:
        raise ValueError(f"device is {shown(device)}, with no tensors of torch: {error}") from None
