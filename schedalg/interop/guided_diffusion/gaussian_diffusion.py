"""`GaussianDiffusion`: the class, with its methods from the folder's other modules."""

import importlib
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedalg.checks import flag, host_numbers, positive_number
from schedalg.interop.guided_diffusion import forward, loops, reverse, steps, training
from schedalg.interop.guided_diffusion.beta_schedules import (
    betas_for_alpha_bar,
    get_beta_schedule,
    get_named_beta_schedule,
)
from schedalg.interop.guided_diffusion.coefficients import (
    TABLES,
    CoefficientTable,
    _extract_into_tensor,
    step_coefficients,
)
from schedalg.interop.guided_diffusion.kinds import (
    LossType,
    ModelMeanType,
    ModelVarType,
    checked_member,
)
from schedalg.interop.guided_diffusion.lazy import torch
from schedalg.interop.guided_diffusion.losses import mean_flat
from schedalg.network.model import Model
from schedalg.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "GaussianDiffusion",
    "LossType",
    "ModelMeanType",
    "ModelVarType",
    "_extract_into_tensor",
    "betas_for_alpha_bar",
    "get_beta_schedule",
    "get_named_beta_schedule",
    "mean_flat",
]

#: Names that some repositories have in this module, and others in another of its folder.
_BESIDE = ("SpacedDiffusion", "space_timesteps")


def __getattr__(name: str) -> Any:
    if name in _BESIDE:  # the module that has them imports this one
        return getattr(importlib.import_module("schedalg.interop.guided_diffusion.respace"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class GaussianDiffusion:
    """A diffusion process of N steps, with the numbers of a `Schedule`.

    The methods call one another as methods, so that a subclass may override any of them.

    Args:
        betas: (N,), each in (0, 1]; 1 only at the end.
        model_mean_type: What the network predicts.
        model_var_type: Where the variance comes from.
        loss_type: What `training_losses` returns.
        rescale_timesteps: Whether the network is called with t · 1000 / N as a float.
        min_snr: γ of the weight of "mse" in `training_losses`, by the signal-to-noise ratio: with
            START_X min(SNR, γ), with EPSILON that divided by SNR, with VELOCITY by SNR + 1 (Hang
            et al., arXiv 2303.09556, section 3.4). None: no weight.
        snr: False. Another repository's option, whose loss is not supported.
        return_startx: False. Likewise.

    The three kinds may also be given by name, as "epsilon", "learned_range" and "mse".

    Attributes:
        schedule: The `Schedule` that all numbers come from.
        num_timesteps: N.
        betas: (N,), float64 and read-only, as are alphas_cumprod, alphas_cumprod_prev,
            alphas_cumprod_next, sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod,
            log_one_minus_alphas_cumprod, sqrt_recip_alphas_cumprod, sqrt_recipm1_alphas_cumprod,
            posterior_variance, posterior_log_variance_clipped, posterior_mean_coef1 and
            posterior_mean_coef2.

    Raises:
        TypeError: A type is not a member of its enumeration, or `betas` does not hold real numbers.
        ValueError: `betas` is empty, not 1-D, or out of range; a name is unknown; or an option has
            a value that is not supported.

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

    #: Attributes that cannot be set later, since they are used only when a process is made.
    _fixed: ClassVar[frozenset[str]] = frozenset({*TABLES, "schedule", "rescale_timesteps"})

    schedule: Schedule
    num_timesteps: int
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
    _table: CoefficientTable
    _ddim_tables: dict[float, CoefficientTable]  # by eta
    _renumbered: bool

    def __init__(
        self,
        *,
        betas: Any,
        model_mean_type: ModelMeanType,
        model_var_type: ModelVarType,
        loss_type: LossType,
        rescale_timesteps: bool = False,
        min_snr: float | None = None,
        snr: bool = False,
        return_startx: bool = False,
    ) -> None:
        for name, value in (("snr", snr), ("return_startx", return_startx)):
            if flag(name, value):
                raise ValueError(f"{name}=True is not supported; see min_snr for weights by SNR")
        self.model_mean_type = checked_member("model_mean_type", model_mean_type, ModelMeanType)
        self.model_var_type = checked_member("model_var_type", model_var_type, ModelVarType)
        self.loss_type = checked_member("loss_type", loss_type, LossType)
        self.rescale_timesteps = flag("rescale_timesteps", rescale_timesteps)
        self.min_snr = None if min_snr is None else positive_number("min_snr", min_snr)
        if self.min_snr is not None and self.model_mean_type is ModelMeanType.PREVIOUS_X:
            raise ValueError("min_snr does not go with PREVIOUS_X")
        schedule = Schedule.from_betas(host_numbers("betas", betas))
        self._set_schedule(schedule, len(schedule))

    def _set_schedule(self, schedule: Schedule, original_num_steps: int) -> None:
        """Compute all numbers from a schedule, which has some or all of the original points."""
        tables = {name: table(schedule) for name, table in TABLES.items()}
        for values in tables.values():
            values.flags.writeable = False
        self.__dict__.update(schedule=schedule, num_timesteps=len(schedule), **tables)
        scale = 1000 / original_num_steps if self.rescale_timesteps else 1
        timesteps = schedule.timesteps * scale
        self._renumbered = self.rescale_timesteps or len(schedule) < original_num_steps
        self._table = CoefficientTable({**step_coefficients(tables), "timesteps": timesteps})
        self._ddim_tables = {}

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._fixed and name in self.__dict__:
            raise AttributeError(
                f"{name} is fixed when a process is made: make one with other betas or timesteps"
            )
        super().__setattr__(name, value)

    def _wrap_model(self, model: Model) -> Model:
        """Return the network, or in a respaced process one that is called with positions."""
        return model

    def _scale_timesteps(self, t: "Tensor") -> "Tensor":
        """Return what a network is called with at positions: t · 1000 / N, if so rescaled."""
        return t.to(torch.float32) * (1000 / self.num_timesteps) if self.rescale_timesteps else t

    q_mean_variance = forward.q_mean_variance
    q_sample = forward.q_sample
    q_posterior_mean_variance = forward.q_posterior_mean_variance

    p_mean_variance = reverse.p_mean_variance
    condition_mean = reverse.condition_mean
    condition_score = reverse.condition_score
    _predict_xstart_from_eps = reverse.predict_xstart_from_eps
    _predict_xstart_from_xprev = reverse.predict_xstart_from_xprev
    _predict_eps_from_xstart = reverse.predict_eps_from_xstart

    p_sample = steps.p_sample
    ddim_sample = steps.ddim_sample
    ddim_reverse_sample = steps.ddim_reverse_sample

    p_sample_loop = loops.p_sample_loop
    p_sample_loop_progressive = loops.p_sample_loop_progressive
    ddim_sample_loop = loops.ddim_sample_loop
    ddim_sample_loop_progressive = loops.ddim_sample_loop_progressive

    training_losses = training.training_losses
    calc_bpd_loop = training.calc_bpd_loop
    _vb_terms_bpd = training.vb_terms_bpd
    _prior_bpd = training.prior_bpd
