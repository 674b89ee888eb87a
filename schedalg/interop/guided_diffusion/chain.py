"""The two chains: q, which adds noise, and p, which removes it as the network says."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schedalg.checks import described, flag, host_numbers
from schedalg.interop.guided_diffusion.columns import (
    At,
    Columns,
    check_image,
    check_same_shape,
    one_each,
    public_columns,
    working_columns,
)
from schedalg.interop.guided_diffusion.kinds import (
    LossType,
    ModelMeanType,
    ModelVarType,
    checked_member,
)
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.wrapped import WrappedModel, wrapper
from schedalg.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

#: A network, `model(x, t, **model_kwargs)`, or the gradient of a classifier, called likewise.
Model: TypeAlias = Callable[..., Any]


#: What follows from the arguments, and would not be read again.
_FIXED = frozenset(
    [
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "alphas_cumprod_next",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "schedule",
        "rescale_timesteps",
        "original_num_steps",
        "timestep_map",
        "use_timesteps",
    ]
)
#: Private methods that a subclass may have overridden there, and what does their work here.
_NOT_CALLED = {
    "_scale_timesteps": "what a network is told is looked up; override _wrap_model",
    "_predict_xstart_from_eps": "override p_mean_variance",
    "_predict_xstart_from_xprev": "override p_mean_variance",
    "_predict_eps_from_xstart": "override ddim_sample",
}


class Chain:
    """The tables of a process, and the Gaussians q(x_t | x0), q(x_s | x_t, x0), p(x_s | x_t).

    The base of `GaussianDiffusion`, which says what the arguments and the attributes are.
    """

    schedule: Schedule
    betas: np.ndarray
    alphas_cumprod: np.ndarray
    alphas_cumprod_prev: np.ndarray
    alphas_cumprod_next: np.ndarray
    sqrt_alphas_cumprod: np.ndarray
    sqrt_one_minus_alphas_cumprod: np.ndarray
    log_one_minus_alphas_cumprod: np.ndarray
    sqrt_recip_alphas_cumprod: np.ndarray
    sqrt_recipm1_alphas_cumprod: np.ndarray
    posterior_variance: np.ndarray
    posterior_log_variance_clipped: np.ndarray
    posterior_mean_coef1: np.ndarray
    posterior_mean_coef2: np.ndarray
    _told: Callable[[Model], WrappedModel] | None
    _ddim: dict[float, Columns]

    def __init__(
        self,
        *,
        betas: Any,
        model_mean_type: ModelMeanType,
        model_var_type: ModelVarType,
        loss_type: LossType,
        rescale_timesteps: bool = False,
    ) -> None:
        self.model_mean_type = checked_member("model_mean_type", model_mean_type, ModelMeanType)
        self.model_var_type = checked_member("model_var_type", model_var_type, ModelVarType)
        self.loss_type = checked_member("loss_type", loss_type, LossType)
        self.rescale_timesteps = flag("rescale_timesteps", rescale_timesteps)
        self._walk(Schedule.from_betas(host_numbers("betas", betas)))
        if self.rescale_timesteps:
            self._told = wrapper(self.schedule, True, self.num_timesteps)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, instead in _NOT_CALLED.items():
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} would never be called: {instead}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in _FIXED and name in self.__dict__:
            raise AttributeError(
                f"{name} is fixed when a process is made: make another, of other betas or timesteps"
            )
        super().__setattr__(name, value)

    def _walk(self, schedule: Schedule) -> None:
        """Take all numbers from a schedule."""
        self.__dict__["schedule"] = schedule
        self.num_timesteps = len(schedule)
        self._told = None
        self._ddim = {}
        public = public_columns(schedule)
        for name, values in public.items():
            values.flags.writeable = False  # what steps multiply with is a copy
            self.__dict__[name] = values
        self._columns = Columns(working_columns(public))

    def _wrap_model(self, model: Model) -> Model:
        """Return the model told what it was trained with, if that is not the position itself."""
        if self._told is None or isinstance(model, WrappedModel):
            return model
        return self._told(model)

    def q_mean_variance(
        self, x_start: "Tensor", t: "Tensor"
    ) -> tuple["Tensor", "Tensor", "Tensor"]:
        """Return mean, variance and log-variance of q(x_t | x0).

        Args:
            x_start: Clean data, (B, ...).
            t: Positions in the schedule, (B,) integers, or one for all.

        Returns:
            Three tensors of x_start's shape, in float32 (float64 if x_start is).

        Raises:
            TypeError: An argument is no tensor, or of the wrong dtype.
            ValueError: t has not one position a sample, or (on a CPU) one is out of range.
        """
        at = self._columns.at(one_each(t, x_start), x_start)
        return (
            at.sqrt_alphas_cumprod * x_start,
            at.one_minus_alphas_cumprod.expand(x_start.shape),
            at.log_one_minus_alphas_cumprod.expand(x_start.shape),
        )

    def q_sample(self, x_start: "Tensor", t: "Tensor", noise: "Tensor | None" = None) -> "Tensor":
        """Return x_t = sqrt(ᾱ_t) x0 + sqrt(1 - ᾱ_t) noise.

        Args:
            x_start: Clean data, (B, ...).
            t: Positions in the schedule, (B,) integers, or one for all.
            noise: As x_start; drawn by `torch.randn_like` if not given.

        Returns:
            A tensor like x_start.

        Raises:
            TypeError: An argument is no tensor, or of the wrong dtype.
            ValueError: The shapes do not fit, or (on a CPU) a position is out of range.
        """
        at = self._columns.at(one_each(t, x_start), x_start)
        if noise is None:
            noise = torch.randn_like(x_start)
        check_same_shape("noise", noise, x_start)
        return at.noised(x_start, noise)

    def q_posterior_mean_variance(
        self, x_start: "Tensor", x_t: "Tensor", t: "Tensor"
    ) -> tuple["Tensor", "Tensor", "Tensor"]:
        """Return mean, variance and clipped log-variance of q(x_{t-1} | x_t, x0).

        Args:
            x_start: Clean data, (B, ...).
            x_t: As x_start: noisy data.
            t: Where x_t is, (B,) integers, or one for all.

        Returns:
            Three tensors of x_t's shape. The variance is 0 at t = 0; its logarithm there is that of
            t = 1.

        Raises:
            TypeError: An argument is no tensor, or of the wrong dtype.
            ValueError: The shapes do not fit, or (on a CPU) a position is out of range.
        """
        at = self._columns.at(one_each(t, x_t), x_t)
        check_same_shape("x_start", x_start, x_t)
        return (
            at.posterior_mean(x_start, x_t),
            at.posterior_variance.expand(x_t.shape),
            at.posterior_log_variance_clipped.expand(x_t.shape),
        )

    def p_mean_variance(
        self,
        model: Model,
        x: "Tensor",
        t: "Tensor",
        clip_denoised: bool = True,
        denoised_fn: "Callable[[Tensor], Tensor] | None" = None,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, "Tensor"]:
        """Return the Gaussian p(x_{t-1} | x_t), and the x0 that the network predicts.

        Args:
            model: Called as `model(x, t, **model_kwargs)`.
            x: Noisy data, (B, C, ...).
            t: Where x is, (B,) integers.
            clip_denoised: Clamp x0 to [-1, 1].
            denoised_fn: Applied to x0 before it is clamped.
            model_kwargs: Handed to the model.

        Returns:
            "mean", "variance", "log_variance" and "pred_xstart", all of x's shape.

        Raises:
            TypeError: An argument, or the model's output, is of the wrong type.
            ValueError: A shape does not fit, (on a CPU) a position is out of range, or a network
                that predicts EPSILON is asked where no signal is left.
        """
        check_image("x", x)
        at = self._columns.at(t, x)
        output = self._wrap_model(model)(x, t, **(model_kwargs or {}))
        output, says = self._split(output, x)
        variance, log_variance = self._variance(at, says, x)

        def processed(x0: "Tensor") -> "Tensor":
            if denoised_fn is not None:
                x0 = denoised_fn(x0)
                check_same_shape("what denoised_fn returns", x0, x)
            return x0.clamp(-1, 1) if clip_denoised else x0

        if self.model_mean_type is ModelMeanType.PREVIOUS_X:
            x0, mean = processed(at.xstart_from_xprev(x, output)), output
        else:
            if self.model_mean_type is ModelMeanType.EPSILON:
                self._require_signal()
                output = at.xstart_from_eps(x, output)
            x0 = processed(output)
            mean = self.q_posterior_mean_variance(x_start=x0, x_t=x, t=t)[0]
        return {"mean": mean, "variance": variance, "log_variance": log_variance, "pred_xstart": x0}

    def _split(self, output: Any, x: "Tensor") -> tuple["Tensor", "Tensor | None"]:
        """Return what a network predicts, and what it says about the variance."""
        learned = self.model_var_type.is_learned()
        channels = x.shape[1]
        shape = (x.shape[0], 2 * channels, *x.shape[2:]) if learned else tuple(x.shape)
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"the model must return a torch tensor, got {described(output)}")
        if tuple(output.shape) != shape:
            raise ValueError(
                f"the model's output must have shape {shape} with {self.model_var_type}, got "
                f"{tuple(output.shape)}"
            )
        return (output[:, :channels], output[:, channels:]) if learned else (output, None)

    def _variance(self, at: At, says: "Tensor | None", x: "Tensor") -> tuple["Tensor", "Tensor"]:
        """Return the variance of p and its logarithm, of x's shape."""
        if says is None:
            if self.model_var_type is ModelVarType.FIXED_LARGE:
                pair = at.large_variance, at.large_log_variance
            else:
                pair = at.posterior_variance, at.posterior_log_variance_clipped
            return pair[0].expand(x.shape), pair[1].expand(x.shape)
        if self.model_var_type is ModelVarType.LEARNED_RANGE:
            share = (says + 1) / 2
            says = share * at.log_betas + (1 - share) * at.posterior_log_variance_clipped
        return torch.exp(says), says

    def _require_signal(self) -> None:
        if self.alphas_cumprod[-1] == 0:
            raise ValueError(
                "EPSILON does not determine x0 where the last beta is 1 (zero signal): use a "
                "network that predicts START_X, or leave the last timestep out"
            )
