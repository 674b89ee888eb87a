"""`EulerDiscreteScheduler` and its like: Euler's, Heun's and Adams' methods in sigma.

- `timestep_spacing`, `steps_offset`: which timesteps are visited; those of "linspace" are
  fractional. Except with "leading", diffusers starts from sigma times noise. The schedule is then
  variance-exploding, so that its prior is that noise.
- `use_karras_sigmas` and its like: a grid between the noise levels of the first and the last of
  these timesteps, or between `sigma_min` and `sigma_max` where a class has them.

Of `EulerDiscreteScheduler` alone:

- `timestep_type="continuous"`: the network is given ln(sigma)/4. It needs v prediction.
- `final_sigmas_type`: whether the last step arrives at clean data, or at the noise level of
  timestep 0.
- `interpolation_type`: "linear" alone is supported.
- `prediction_type="original_sample"`: the same as "sample".
- `sigmas=` may be given in place of steps.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from schedalg.interop.diffusers import betas, grids, output
from schedalg.interop.diffusers.ending import ended, final_sigma
from schedalg.interop.diffusers.grids import GRIDS
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import CLIPPING
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.spacing import spaced
from schedalg.interop.diffusers.trained import STABLE_DIFFUSION, TRAINED, through, timesteps_at
from schedalg.parameterization import Prediction
from schedalg.samplers import LMS, Euler, EulerAncestral, Heun
from schedalg.schedule import Schedule

_DEFAULTS: Final[Mapping[str, Any]] = {**TRAINED, "timestep_spacing": "linspace"}


def _spacing(options: Options, base: Schedule, steps: int) -> np.ndarray:
    return spaced(options, base, steps, fractional=True)


def _on_grid(options: Options, base: Schedule, name: str, steps: int) -> Schedule:
    ends = _spacing(options, base, steps)[[0, -1]]
    sigma = grids.between(options, base, name, steps, ends)
    return through(sigma, timesteps_at(base, sigma))


def _on_sigmas(base: Schedule, sigmas: np.ndarray) -> Schedule:
    if len(sigmas) < 2:
        raise ValueError(
            "sigmas must end with the noise level that the last step reaches, such as 0"
        )
    clean, still = sigmas[-1] == 0, sigmas[-1] == sigmas[-2]
    sigma = sigmas[-2::-1] if clean or still else sigmas[::-1]
    schedule = through(sigma, timesteps_at(base, sigma))
    if still:
        return ended(schedule, "stay")
    return schedule if clean else schedule[1:]


def _scaled(options: Options, schedule: Schedule) -> Schedule:
    """Return the schedule in the scale in which `prior_std` times noise is where diffusers starts.

    It starts from sigma times noise, or with "leading" spacing from sqrt(sigma² + 1) times noise,
    which is noise of variance 1 in the variance-preserving scale.
    """
    if options["timestep_spacing"] == "leading" or not np.isfinite(schedule.to_sigmas()).all():
        return schedule
    return schedule.as_ve()


def _path(options: Options, request: Request) -> Schedule:
    return _scaled(
        options, betas.path(options, request, "clean", spacing=_spacing, on_grid=_on_grid)
    )


def _euler_path(options: Options, request: Request) -> Schedule:
    continuous = options.choice("timestep_type", ("discrete", "continuous")) == "continuous"
    if continuous and options["prediction_type"] != "v_prediction":
        options.refuse("timestep_type", "it needs prediction_type='v_prediction'")
    schedule = betas.path(
        options,
        request,
        final_sigma(options, "first"),
        spacing=_spacing,
        on_grid=_on_grid,
        on_sigmas=_on_sigmas,
    )
    if continuous:
        schedule = replace(schedule, timestep_rule="log_sigma/4", origin_timestep=None)
    return _scaled(options, schedule)


def _euler_prediction(options: Options) -> Prediction:
    return "x0" if options["prediction_type"] == "original_sample" else output.prediction(options)


EULER_DISCRETE = Record(
    name="EulerDiscreteScheduler",
    defaults={
        **_DEFAULTS,
        **GRIDS,
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
        "final_sigmas_type": "zero",
    },
    unsupported={"interpolation_type": "sigma is interpolated linearly in the timestep alone"},
    path=_euler_path,
    sampler=lambda options, schedule: Euler(),
    prediction=_euler_prediction,
)

EULER_ANCESTRAL_DISCRETE = Record(
    name="EulerAncestralDiscreteScheduler",
    defaults={**_DEFAULTS, "rescale_betas_zero_snr": False},
    path=_path,
    sampler=lambda options, schedule: EulerAncestral(),
)

HEUN_DISCRETE = Record(
    name="HeunDiscreteScheduler",
    defaults={**_DEFAULTS, **STABLE_DIFFUSION, **GRIDS, **CLIPPING, "clip_sample": False},
    path=_path,
    sampler=lambda options, schedule: Heun(),
)

LMS_DISCRETE = Record(
    name="LMSDiscreteScheduler",
    defaults={**_DEFAULTS, **GRIDS},
    path=_path,
    sampler=lambda options, schedule: LMS(),
)
