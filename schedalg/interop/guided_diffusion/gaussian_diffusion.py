"""`GaussianDiffusion`: the class, with its methods from the folder's other modules."""

from typing import Any, ClassVar

import numpy as np

from schedalg.checks import flag, host_numbers
from schedalg.interop.guided_diffusion import forward, loops, reverse, steps, training
from schedalg.interop.guided_diffusion.beta_schedules import (
    betas_for_alpha_bar,
    get_named_beta_schedule,
)
from schedalg.interop.guided_diffusion.coefficients import (
    TABLES,
    CoefficientTable,
    step_coefficients,
)
from schedalg.interop.guided_diffusion.kinds import (
    LossType,
    ModelMeanType,
    ModelVarType,
    checked_member,
)
from schedalg.interop.guided_diffusion.wrapped import WrappedModel
from schedalg.network.model import Model
from schedalg.schedule import Schedule

__all__ = [
    "GaussianDiffusion",
    "LossType",
    "ModelMeanType",
    "ModelVarType",
    "betas_for_alpha_bar",
    "get_named_beta_schedule",
]

#: Private methods of OpenAI's class that do not exist here, and what to override in their place.
_NOT_CALLED = {
    "_scale_timesteps": "the timesteps are looked up in a table; override _wrap_model",
    "_predict_xstart_from_eps": "override p_mean_variance",
    "_predict_xstart_from_xprev": "override p_mean_variance",
    "_predict_eps_from_xstart": "override ddim_sample",
}


class GaussianDiffusion:
    """A diffusion process of N steps, with the numbers of a `Schedule`.

    The methods call one another as methods, so that a subclass may override any of them.

    Args:
        betas: (N,), each in (0, 1]; 1 only at the end.
        model_mean_type: What the network predicts.
        model_var_type: Where the variance comes from.
        loss_type: What `training_losses` returns.
        rescale_timesteps: Whether the network is called with t · 1000 / N as a float.

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
    ) -> None:
        self.model_mean_type = checked_member("model_mean_type", model_mean_type, ModelMeanType)
        self.model_var_type = checked_member("model_var_type", model_var_type, ModelVarType)
        self.loss_type = checked_member("loss_type", loss_type, LossType)
        self.rescale_timesteps = flag("rescale_timesteps", rescale_timesteps)
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, instead in _NOT_CALLED.items():
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} would never be called: {instead}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._fixed and name in self.__dict__:
            raise AttributeError(
                f"{name} is fixed when a process is made: make one with other betas or timesteps"
            )
        super().__setattr__(name, value)

    def _wrap_model(self, model: Model) -> Model:
        """Return a network that can be called with positions in the schedule."""
        if not self._renumbered or isinstance(model, WrappedModel):
            return model
        return WrappedModel(model, self._table, self.rescale_timesteps)

    q_mean_variance = forward.q_mean_variance
    q_sample = forward.q_sample
    q_posterior_mean_variance = forward.q_posterior_mean_variance

    p_mean_variance = reverse.p_mean_variance
    condition_mean = reverse.condition_mean
    condition_score = reverse.condition_score

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
