"""Sampling loops over the positions of a schedule, from the last to 0."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from schedalg.interop.guided_diffusion.chain import Model
from schedalg.interop.guided_diffusion.columns import check_tensor
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.stepping import Stepping

if TYPE_CHECKING:
    from torch import Tensor


class Sampling(Stepping):
    """The loops of `GaussianDiffusion`."""

    def p_sample_loop(
        self,
        model: Model,
        shape: Sequence[int],
        noise: "Tensor | None" = None,
        clip_denoised: bool = True,
        denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
        cond_fn: Model | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        device: Any = None,
        progress: bool = False,
    ) -> "Tensor":
        """Return samples, by `p_sample` from the last position to 0.

        Args:
            model: Called as `model(x, t, **model_kwargs)`.
            shape: Of the samples, (B, C, ...): a tuple or a list.
            noise: Where to start; drawn by `torch.randn` if not given.
            clip_denoised: Clamp x0 to [-1, 1] in each step.
            denoised_fn: Applied to x0 before it is clamped.
            cond_fn: The gradient of a classifier, for `condition_mean`.
            model_kwargs: Handed to the model, and to `cond_fn`.
            device: Where to draw; that of the model's parameters if not given.
            progress: Show a bar (needs tqdm).

        Returns:
            Samples of that shape, without a gradient.

        Raises:
            TypeError: `shape` is no tuple or list; or as `p_sample`.
            ValueError: `noise` has another shape, or there is no device to be found; or as
                `p_sample`.
            ImportError: `progress` is asked for, and tqdm is not installed.
        """
        walk = self.p_sample_loop_progressive(
            model,
            shape,
            noise=noise,
            clip_denoised=clip_denoised,
            denoised_fn=denoised_fn,
            cond_fn=cond_fn,
            model_kwargs=model_kwargs,
            device=device,
            progress=progress,
        )
        return _last(walk)

    def p_sample_loop_progressive(
        self,
        model: Model,
        shape: Sequence[int],
        noise: "Tensor | None" = None,
        clip_denoised: bool = True,
        denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
        cond_fn: Model | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        device: Any = None,
        progress: bool = False,
    ) -> Iterator[dict[str, "Tensor"]]:
        """Yield what `p_sample` returns, step by step; arguments as `p_sample_loop`."""
        step = partial(
            self.p_sample,
            model,
            clip_denoised=clip_denoised,
            denoised_fn=denoised_fn,
            cond_fn=cond_fn,
            model_kwargs=model_kwargs,
        )
        yield from self._steps(step, model, shape, noise, device, progress)

    def ddim_sample_loop(
        self,
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
        """Return samples, by `ddim_sample`; arguments as `p_sample_loop`.

        Args:
            model: As `p_sample_loop`.
            shape: As `p_sample_loop`.
            noise: As `p_sample_loop`.
            clip_denoised: As `p_sample_loop`.
            denoised_fn: As `p_sample_loop`.
            cond_fn: The gradient of a classifier, for `condition_score`.
            model_kwargs: As `p_sample_loop`.
            device: As `p_sample_loop`.
            progress: As `p_sample_loop`.
            eta: Share of DDPM's noise, in [0, 1].
        """
        walk = self.ddim_sample_loop_progressive(
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
        return _last(walk)

    def ddim_sample_loop_progressive(
        self,
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
        """Yield what `ddim_sample` returns, step by step; arguments as `ddim_sample_loop`."""
        step = partial(
            self.ddim_sample,
            model,
            clip_denoised=clip_denoised,
            denoised_fn=denoised_fn,
            cond_fn=cond_fn,
            model_kwargs=model_kwargs,
            eta=eta,
        )
        yield from self._steps(step, model, shape, noise, device, progress)

    def _steps(
        self,
        step: Callable[["Tensor", "Tensor"], dict[str, "Tensor"]],
        model: Any,
        shape: Sequence[int],
        noise: "Tensor | None",
        device: Any,
        progress: bool,
    ) -> Iterator[dict[str, "Tensor"]]:
        x = _start(model, shape, noise, device)
        for k in _counted_down(self.num_timesteps, progress):
            t = torch.full((x.shape[0],), k, device=x.device)
            with torch.no_grad():  # not around the yield: it would reach the caller's own code
                out = step(x, t)
            yield out
            x = out["sample"]


def _start(model: Any, shape: Sequence[int], noise: "Tensor | None", device: Any) -> "Tensor":
    """Return where sampling starts."""
    if not isinstance(shape, tuple | list):
        raise TypeError(f"shape must be a tuple or a list of integers, got {shape!r}")
    if noise is not None:
        check_tensor("noise", noise)
        if tuple(noise.shape) != tuple(shape):
            raise ValueError(f"noise must have shape {tuple(shape)}, got {tuple(noise.shape)}")
        return noise
    if device is None:
        parameter = next(model.parameters(), None) if hasattr(model, "parameters") else None
        if parameter is None:
            raise ValueError("device is None, and the model has no parameters to take it from")
        device = parameter.device
    return torch.randn(*shape, device=device)


def _counted_down(n: int, progress: bool) -> Iterable[int]:
    positions = range(n - 1, -1, -1)
    if not progress:
        return positions
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'schedalg[progress]'") from None
    bar: Iterable[int] = tqdm(positions)
    return bar


def _last(walk: Iterator[dict[str, "Tensor"]]) -> "Tensor":
    return deque(walk, maxlen=1).pop()["sample"]
