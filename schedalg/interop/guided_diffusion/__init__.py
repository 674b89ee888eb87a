"""A replacement for OpenAI's guided-diffusion and improved-diffusion.

It has the public names of `gaussian_diffusion.py` and `respace.py`, with the same signatures,
result dictionaries and order of random draws, so that a program only needs to change its imports.
The numbers come from a `Schedule`, which is the attribute `schedule` of every process. Importing
this module does not import torch.
"""

from schedalg.interop.guided_diffusion.beta_schedules import (
    betas_for_alpha_bar,
    get_beta_schedule,
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
    "get_beta_schedule",
    "get_named_beta_schedule",
    "space_timesteps",
]
