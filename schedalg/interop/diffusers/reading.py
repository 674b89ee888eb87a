"""`from_diffusers`: a configuration of diffusers as a schedule, a sampler and a prediction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from schedalg.arrays import Array
from schedalg.interop.diffusers.classes import CLASSES
from schedalg.interop.diffusers.config import read
from schedalg.interop.diffusers.request import checked_request
from schedalg.network.bounds import Clip
from schedalg.parameterization import Parameterization, Prediction
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule


class Imported(NamedTuple):
    """The arguments of `sample` that replace a scheduler of diffusers.

    Attributes:
        schedule: The schedule. Its `prior_std` is the `init_noise_sigma` of diffusers.
        sampler: The sampler.
        prediction: What the network predicts.
        clip: The bounds of x0, or None.
    """

    schedule: Schedule
    sampler: Sampler
    prediction: Prediction | Parameterization
    clip: Clip | None


def from_diffusers(
    scheduler: Any,
    steps: int | None = None,
    *,
    timesteps: Sequence[float] | Array | None = None,
    sigmas: Sequence[float] | Array | None = None,
    mu: float | None = None,
) -> Imported:
    """Return the schedule, sampler, prediction and bounds of a scheduler of diffusers.

    The numbers are computed from the options in float64. A last step of no length, such as one from
    timestep 0 to its own noise level (`set_alpha_to_one=False`), lowers the noise level by 1e-12 of
    itself, since the noise levels of a schedule must differ.

    Args:
        scheduler: A scheduler of diffusers, its `config` as a mapping that names the class
            (`"_class_name"`), or the path of a `scheduler_config.json` or of its directory. The
            latter two do not need diffusers.
        steps: The number of steps. None: those of training, unless an argument below is given.
        timesteps: The timesteps, falling, in place of the configured spacing. On a flow the
            noise levels are computed from them without a shift.
        sigmas: The noise levels, falling. For `EulerDiscreteScheduler` they end with the one that
            the last step reaches, such as 0. For flows they end before it, and are shifted.
        mu: The shift, or its logarithm (`time_shift_type`), where `use_dynamic_shifting` is set.

    Returns:
        An `Imported`, a named tuple.

    Raises:
        TypeError: An argument or an option is of the wrong type.
        ValueError: An option is unknown, not supported, or contradicts another; the message names
            the option.
        ImportError: `use_beta_sigmas` is set, and SciPy is not installed.
        OSError: A file cannot be read.

    Example:
        >>> import numpy as np
        >>> from schedalg import sample
        >>> from schedalg.interop.diffusers import from_diffusers
        >>> config = {"_class_name": "DPMSolverMultistepScheduler", "timestep_spacing": "trailing"}
        >>> schedule, sampler, prediction, clip = from_diffusers(config, 5)
        >>> schedule.timesteps, sampler.order
        (array([199, 399, 599, 799, 999]), 2)
        >>> model = lambda x, timesteps: 0.1 * x
        >>> sample(model, schedule, sampler, np.ones((1, 2)), prediction=prediction).shape
        (1, 2)
    """
    options = read(scheduler)
    record = CLASSES[options.name]
    request = checked_request(steps, timesteps, sigmas, mu)
    if request.mu is not None and not options.flag("use_dynamic_shifting"):
        raise ValueError(f"mu={mu!r} needs use_dynamic_shifting=True in {options.name}")
    prediction, clip = record.prediction(options), record.clip(options)
    schedule = record.path(options, request)
    return Imported(schedule, record.sampler(options, schedule), prediction, clip)
