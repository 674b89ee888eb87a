"""Respaced processes: over some of the timesteps that a network was trained on."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from schedalg.arrays import is_array
from schedalg.checks import host_array, integer, positive_integer, shown
from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion
from schedalg.interop.guided_diffusion.kinds import LossType, ModelMeanType, ModelVarType
from schedalg.interop.guided_diffusion.wrapped import WrappedModel
from schedalg.network.model import Model
from schedalg.schedule.sections import sections_of
from schedalg.schedule.selection import checked_indices

if TYPE_CHECKING:
    from torch import Tensor


def space_timesteps(num_timesteps: int, section_counts: str | int | Sequence[int]) -> set[int]:
    """Return timesteps of an original process, a given number from each of its sections.

    Args:
        num_timesteps: Number of steps of the original process.
        section_counts: The number of timesteps from each section: `[10, 15, 20]`, `"10,15,20"`,
            `"250"`. The sections are of equal length up to one step. Or `"ddim25"`: the smallest
            integer stride from 0 that gives 25 timesteps. Or `"fast27"`, GLIDE's:
            `"10,10,3,2,2"`, with the noisiest timestep moved by two.

    Returns:
        A set of timesteps.

    Raises:
        TypeError: A count is not an integer.
        ValueError: A count is below 1 or more than its section holds, there is no count, or no
            stride gives N points.

    Example:
        >>> from schedalg.interop.guided_diffusion import space_timesteps
        >>> sorted(space_timesteps(1000, "ddim4"))
        [0, 250, 500, 750]
        >>> sorted(space_timesteps(12, "2,1,3"))
        [0, 3, 4, 8, 10, 11]

    Source: Nichol and Dhariwal, arXiv 2102.09672, section 4.
    """
    n = positive_integer("num_timesteps", num_timesteps)
    fast = isinstance(section_counts, str) and section_counts == "fast27"
    try:
        timesteps = set(sections_of(n, "10,10,3,2,2" if fast else section_counts))
    except (TypeError, ValueError) as error:
        raise type(error)(f"section_counts is {shown(section_counts)}: {error}") from None
    return timesteps - {n - 1} | {n - 3} if fast else timesteps


class SpacedDiffusion(GaussianDiffusion):
    """A process that visits only some of the timesteps of the one that it is made from.

    ᾱ is that of the original at each selected timestep, and β' = 1 - ᾱ/ᾱ_before. Methods take
    positions among the selected timesteps, and call networks and gradients of classifiers with the
    timesteps of the original process.

    Args:
        use_timesteps: The timesteps to select, in any order.
        betas: The betas of the original process, as in `GaussianDiffusion`.
        model_mean_type: What the network predicts.
        model_var_type: Where the variance comes from.
        loss_type: What `training_losses` returns.
        rescale_timesteps: Whether the network is called with t · 1000 / original_num_steps as a
            float.
        **options: The other options of `GaussianDiffusion`.

    Attributes:
        use_timesteps: The selected timesteps, a set.
        timestep_map: The same as a rising list: the timestep at each position.
        original_num_steps: Number of steps of the original.

    Raises:
        TypeError: As `GaussianDiffusion`; or a timestep is not an integer.
        ValueError: As `GaussianDiffusion`; or `use_timesteps` is empty, or a timestep is out of
            range.

    Example:
        >>> from schedalg.interop.guided_diffusion import *
        >>> fast = SpacedDiffusion(
        ...     use_timesteps=space_timesteps(1000, "ddim25"),
        ...     betas=get_named_beta_schedule("linear", 1000),
        ...     model_mean_type=ModelMeanType.EPSILON,
        ...     model_var_type=ModelVarType.LEARNED_RANGE,
        ...     loss_type=LossType.MSE,
        ... )
        >>> fast.num_timesteps, fast.timestep_map[:3], fast.original_num_steps
        (25, [0, 40, 80], 1000)
        >>> fast.schedule
        <Schedule vp: 25 points, timesteps 0 … 960, log SNR 9.210 … -9.345>

    Source: Nichol and Dhariwal, arXiv 2102.09672, section 4.
    """

    _fixed = GaussianDiffusion._fixed | {"use_timesteps", "timestep_map", "original_num_steps"}

    def __init__(
        self,
        use_timesteps: Iterable[int],
        *,
        betas: Any,
        model_mean_type: ModelMeanType,
        model_var_type: ModelVarType,
        loss_type: LossType,
        rescale_timesteps: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            betas=betas,
            model_mean_type=model_mean_type,
            model_var_type=model_var_type,
            loss_type=loss_type,
            rescale_timesteps=rescale_timesteps,
            **options,
        )
        self.original_num_steps = self.num_timesteps
        self.timestep_map = _checked_timesteps(use_timesteps, self.num_timesteps)
        self.use_timesteps = set(self.timestep_map)
        self._set_schedule(
            self.schedule.subsample(indices=self.timestep_map), self.original_num_steps
        )

    def _wrap_model(self, model: Model) -> Model:
        """Return a network that can be called with positions in the schedule."""
        if not self._renumbered or isinstance(model, WrappedModel):
            return model
        return WrappedModel(model, self._table, self.rescale_timesteps)

    def _scale_timesteps(self, t: "Tensor") -> "Tensor":
        """Return the positions as they are: the wrapped network looks up its timesteps."""
        return t


def _checked_timesteps(use_timesteps: Any, n: int) -> list[int]:
    """Return timesteps between 0 and n - 1 as a rising list."""
    values = use_timesteps
    if is_array(values):
        values = host_array("use_timesteps", values).ravel()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"use_timesteps must be a collection of integers, got {shown(use_timesteps)}; "
            "space_timesteps makes one"
        )
    selected = sorted({integer("each of use_timesteps", value) for value in values})
    if not selected:
        raise ValueError("use_timesteps is empty: at least one timestep is needed")
    return [int(t) for t in checked_indices("sorted use_timesteps", selected, n)]
