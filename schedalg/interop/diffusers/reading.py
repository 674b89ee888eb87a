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
    """What `sample` needs to know in place of a scheduler of diffusers.

    Attributes:
        schedule: The path. Its `prior_std` is what diffusers multiplies the first noise with.
        sampler: The sampler.
        prediction: What the network's output means.
        clip: How x0 is bounded, or None.
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

    Numbers are computed anew in float64. A last step that has no length, such as one from
    timestep 0 to its own noise level (`set_alpha_to_one=False`), goes down by 1e-12 of the noise,
    since a schedule falls strictly.

    Args:
        scheduler: A scheduler of diffusers, its `config` as a mapping that names the class
            (`"_class_name"`), or the path of a `scheduler_config.json` or of its directory. For
            the latter two diffusers need not be installed.
        steps: How many steps to make. None: those of training, if nothing below says otherwise.
        timesteps: The timesteps, falling, in place of the configured spacing. On a flow they are
            what the network is given, and the noise levels follow from them without a shift.
        sigmas: The noise levels, falling. For `EulerDiscreteScheduler` with the one that is
            reached last, such as 0; for flows without it, and before the shift.
        mu: The shift, or its logarithm (`time_shift_type`), where `use_dynamic_shifting` is set.

    Returns:
        An `Imported`, which can be unpacked.

    Raises:
        TypeError: An argument or an option is of the wrong type.
        ValueError: An option is unknown, not supported, or contradicts another; the message names
            it.
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
        raise ValueError(f"mu={mu!r} needs use_dynamic_shifting=True, not set in {options.name}")
    prediction, clip = record.prediction(options), record.clip(options)
    schedule = record.path(options, request)
    return Imported(schedule, record.sampler(options, schedule), prediction, clip)
