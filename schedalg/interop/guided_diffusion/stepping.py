"""One step of a trained process: of DDPM, of DDIM and of its inverse, guided or not."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schedalg.checks import real_number
from schedalg.interop.guided_diffusion.chain import Chain, Model
from schedalg.interop.guided_diffusion.columns import Columns, check_same_shape
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.samplers.ddim import DDIM
from schedalg.samplers.options import checked_eta

if TYPE_CHECKING:
    from torch import Tensor


class Stepping(Chain):
    """What a process does with a trained network, one step at a time; see `GaussianDiffusion`.

    Random numbers are drawn by `torch.randn_like(x)` once a step, after the network and whether the
    step uses them or not, so that a seed means what it meant.
    """

    def condition_mean(
        self,
        cond_fn: Model,
        p_mean_var: Mapping[str, "Tensor"],
        x: "Tensor",
        t: "Tensor",
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> "Tensor":
        """Return the mean of a step guided by a classifier: mean + variance · gradient.

        Args:
            cond_fn: Returns the gradient of log p(y | x) in x; called like the model.
            p_mean_var: What `p_mean_variance` returned.
            x: Noisy data, (B, ...).
            t: Where x is, (B,) integers.
            model_kwargs: Handed to `cond_fn`.

        Source: Dhariwal and Nichol, arXiv 2105.05233, algorithm 1.
        """
        gradient: Tensor = self._wrap_model(cond_fn)(x, t, **(model_kwargs or {}))
        check_same_shape("what cond_fn returns", gradient, x)
        wide = torch.promote_types(x.dtype, torch.float32)
        mean, variance = p_mean_var["mean"], p_mean_var["variance"]
        return mean.to(wide) + variance.to(wide) * gradient.to(wide)

    def condition_score(
        self,
        cond_fn: Model,
        p_mean_var: Mapping[str, "Tensor"],
        x: "Tensor",
        t: "Tensor",
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, "Tensor"]:
        """Return what `p_mean_variance` would, were the score that of p(x | y).

        eps - sqrt(1 - ᾱ) · gradient takes the place of eps. The x0 that follows is not clamped
        again.

        Args:
            cond_fn: Returns the gradient of log p(y | x) in x; called like the model.
            p_mean_var: What `p_mean_variance` returned.
            x: Noisy data, (B, ...).
            t: Where x is, (B,) integers.
            model_kwargs: Handed to `cond_fn`.

        Source: Dhariwal and Nichol, arXiv 2105.05233, algorithm 2.
        """
        self._require_signal()
        at = self._columns.at(t, x)
        gradient: Tensor = self._wrap_model(cond_fn)(x, t, **(model_kwargs or {}))
        check_same_shape("what cond_fn returns", gradient, x)
        eps = at.eps_from_xstart(x, p_mean_var["pred_xstart"])
        x0 = at.xstart_from_eps(x, eps - at.sqrt_one_minus_alphas_cumprod * gradient)
        return {
            **p_mean_var,
            "pred_xstart": x0,
            "mean": self.q_posterior_mean_variance(x_start=x0, x_t=x, t=t)[0],
        }

    def p_sample(
        self,
        model: Model,
        x: "Tensor",
        t: "Tensor",
        clip_denoised: bool = True,
        denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
        cond_fn: Model | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, "Tensor"]:
        """Return a draw from p(x_{t-1} | x_t); its mean, where t is 0.

        Args:
            model: Called as `model(x, t, **model_kwargs)`.
            x: Noisy data, (B, C, ...).
            t: Where x is, (B,) integers.
            clip_denoised: Clamp x0 to [-1, 1].
            denoised_fn: Applied to x0 before it is clamped.
            cond_fn: The gradient of a classifier, for `condition_mean`.
            model_kwargs: Handed to the model, and to `cond_fn`.

        Returns:
            "sample", like x, and "pred_xstart".

        Raises:
            TypeError: As `p_mean_variance`.
            ValueError: As `p_mean_variance`.

        Source: Ho et al., arXiv 2006.11239, algorithm 2.
        """
        out = self.p_mean_variance(
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
            mean = self.condition_mean(cond_fn, out, x, t, model_kwargs=model_kwargs)
        noisy = (t != 0).to(x.device).view(-1, *[1] * (x.ndim - 1))
        std = noisy * torch.exp(0.5 * out["log_variance"])
        return {"sample": (mean + std * noise).to(x.dtype), "pred_xstart": out["pred_xstart"]}

    def ddim_sample(
        self,
        model: Model,
        x: "Tensor",
        t: "Tensor",
        clip_denoised: bool = True,
        denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
        cond_fn: Model | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        eta: float = 0.0,
    ) -> dict[str, "Tensor"]:
        """Return x one step less noisy, by DDIM: the row of `DDIM(eta)`'s plan at t.

        Args:
            model: Called as `model(x, t, **model_kwargs)`.
            x: Noisy data, (B, C, ...).
            t: Where x is, (B,) integers.
            clip_denoised: Clamp x0 to [-1, 1].
            denoised_fn: Applied to x0 before it is clamped.
            cond_fn: The gradient of a classifier, for `condition_score`.
            model_kwargs: Handed to the model, and to `cond_fn`.
            eta: Share of DDPM's noise, in [0, 1]; random numbers are drawn at 0 as well.

        Returns:
            "sample", like x, and "pred_xstart".

        Raises:
            TypeError: As `p_mean_variance`; or `eta` is no number.
            ValueError: As `p_mean_variance`; or `eta` is outside [0, 1].

        Source: Song et al., arXiv 2010.02502, equation 12.
        """
        columns = self._ddim_columns(eta)
        out = self.p_mean_variance(
            model,
            x,
            t,
            clip_denoised=clip_denoised,
            denoised_fn=denoised_fn,
            model_kwargs=model_kwargs,
        )
        if cond_fn is not None:
            out = self.condition_score(cond_fn, out, x, t, model_kwargs=model_kwargs)
        noise = torch.randn_like(x)
        at, x0 = columns.at(t, x), out["pred_xstart"]
        sample = at.a * x + at.b * x0 + at.c * noise
        return {"sample": sample.to(x.dtype), "pred_xstart": x0}

    def _ddim_columns(self, eta: object) -> Columns:
        share = checked_eta(eta)
        if share not in self._ddim:
            plan = DDIM(share).plan(self.schedule)  # the noisiest row first
            columns = {"a": plan.a[::-1], "b": plan.b[::-1, 0], "c": plan.c[::-1]}
            self._ddim[share] = Columns(columns)
        return self._ddim[share]

    def ddim_reverse_sample(
        self,
        model: Model,
        x: "Tensor",
        t: "Tensor",
        clip_denoised: bool = True,
        denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
        model_kwargs: Mapping[str, Any] | None = None,
        eta: float = 0.0,
    ) -> dict[str, "Tensor"]:
        """Return x one step noisier, by DDIM walked the other way; pure noise after the last t.

        Args:
            model: Called as `model(x, t, **model_kwargs)`.
            x: Data, (B, C, ...).
            t: Where x is, (B,) integers.
            clip_denoised: Clamp x0 to [-1, 1].
            denoised_fn: Applied to x0 before it is clamped.
            model_kwargs: Handed to the model.
            eta: 0.

        Returns:
            "sample", like x, and "pred_xstart".

        Raises:
            TypeError: As `p_mean_variance`.
            ValueError: As `p_mean_variance`; or `eta` is not 0.

        Source: Song et al., arXiv 2010.02502, equation 14.
        """
        if real_number("eta", eta) != 0:
            raise ValueError(f"eta must be 0: only the deterministic path is reversed; got {eta!r}")
        out = self.p_mean_variance(
            model,
            x,
            t,
            clip_denoised=clip_denoised,
            denoised_fn=denoised_fn,
            model_kwargs=model_kwargs,
        )
        at, x0 = self._columns.at(t, x), out["pred_xstart"]
        sample = at.alpha_next * x0 + at.sigma_next * at.eps_from_xstart(x, x0)
        return {"sample": sample.to(x.dtype), "pred_xstart": x0}
