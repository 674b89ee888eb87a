"""OpenAI's guided-diffusion (and improved-diffusion) on the algebra of schedalg.

The public names of its `gaussian_diffusion.py` and `respace.py`, with their signatures, their
dictionaries and their order of random draws: swapping the import is all that a program needs. The
numbers come from a `Schedule`, which every process here has as its `schedule`. Importing this does
not import torch.
"""

from schedalg.interop.guided_diffusion.beta_schedules import (
    betas_for_alpha_bar,
    get_named_beta_schedule,
)
from schedalg.interop.guided_diffusion.gaussian_diffusion import GaussianDiffusion
from schedalg.interop.guided_diffusion.kinds import LossType, ModelMeanType, ModelVarType
from schedalg.interop.guided_diffusion.respace import SpacedDiffusion, space_timesteps

__all__ = [
    "GaussianDiffusion",
    "LossType",
    "ModelMeanType",
    "ModelVarType",
    "SpacedDiffusion",
    "betas_for_alpha_bar",
    "get_named_beta_schedule",
    "space_timesteps",
]
