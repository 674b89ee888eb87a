"""The options of diffusers' scheduler classes: which there are, and what they are by default."""

from collections.abc import Mapping
from typing import Any, Final

Defaults = Mapping[str, Any]

_TRAINED: Final[Defaults] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
_THRESHOLDING: Final[Defaults] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
_CLIPPING: Final[Defaults] = {"clip_sample": True, "clip_sample_range": 1.0}
_GRIDS: Final[Defaults] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_FLOW: Final[Defaults] = {
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}
_STABLE: Final[Defaults] = {"beta_start": 0.00085, "beta_end": 0.012}
_DISTILLED: Final[Defaults] = {
    **_TRAINED,
    **_STABLE,
    **_THRESHOLDING,
    **_CLIPPING,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "original_inference_steps": 50,
    "set_alpha_to_one": True,
    "timestep_spacing": "leading",
    "timestep_scaling": 10.0,
    "rescale_betas_zero_snr": False,
}
_EDM: Final[Defaults] = {
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "final_sigmas_type": "zero",
}
_DPM: Final[Defaults] = {
    **_THRESHOLDING,
    "solver_order": 2,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
}

#: The options of each class that can be read, with their defaults.
CLASSES: Final[Mapping[str, Defaults]] = {
    "DDIMScheduler": {
        **_TRAINED,
        **_THRESHOLDING,
        **_CLIPPING,
        "set_alpha_to_one": True,
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    "DDPMScheduler": {
        **_TRAINED,
        **_THRESHOLDING,
        **_CLIPPING,
        "variance_type": "fixed_small",
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    "PNDMScheduler": {
        **_TRAINED,
        "skip_prk_steps": False,
        "set_alpha_to_one": False,
        "timestep_spacing": "leading",
    },
    "EulerDiscreteScheduler": {
        **_TRAINED,
        **_GRIDS,
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_spacing": "linspace",
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
        "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": {
        **_TRAINED,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    "HeunDiscreteScheduler": {
        **_TRAINED,
        **_STABLE,
        **_GRIDS,
        **_CLIPPING,
        "clip_sample": False,
        "timestep_spacing": "linspace",
    },
    "LMSDiscreteScheduler": {**_TRAINED, **_GRIDS, "timestep_spacing": "linspace"},
    "DPMSolverMultistepScheduler": {
        **_TRAINED,
        **_DPM,
        **_GRIDS,
        **_FLOW,
        "use_lu_lambdas": False,
        "lambda_min_clipped": float("-inf"),
        "variance_type": None,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    "UniPCMultistepScheduler": {
        **_TRAINED,
        **_THRESHOLDING,
        **_GRIDS,
        **_FLOW,
        "solver_order": 2,
        "predict_x0": True,
        "solver_type": "bh2",
        "lower_order_final": True,
        "disable_corrector": [],
        "solver_p": None,
        "timestep_spacing": "linspace",
        "final_sigmas_type": "zero",
        "rescale_betas_zero_snr": False,
        "sigma_min": None,
        "sigma_max": None,
        "shift_terminal": None,
    },
    "DEISMultistepScheduler": {
        **_TRAINED,
        **_THRESHOLDING,
        **_GRIDS,
        **_FLOW,
        "solver_order": 2,
        "algorithm_type": "deis",
        "solver_type": "logrho",
        "lower_order_final": True,
        "timestep_spacing": "linspace",
    },
    "LCMScheduler": _DISTILLED,
    "TCDScheduler": _DISTILLED,
    "FlowMatchEulerDiscreteScheduler": {
        **_GRIDS,
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": False,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "invert_sigmas": False,
        "shift_terminal": None,
        "time_shift_type": "exponential",
        "stochastic_sampling": False,
    },
    "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": 1000, "shift": 1.0},
    "EDMEulerScheduler": _EDM,
    "EDMDPMSolverMultistepScheduler": {**_EDM, **_DPM},
}

#: Values that ask for nothing, for options that a class does not have. `from_config` carries
#: options along from one class to another: these pass with such a value alone, and all others (how
#: a solver takes its steps, or what goes with an option that is off) with any.
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "clip_sample": (False,),
    "disable_corrector": ([], ()),
    "euler_at_final": (False,),
    "final_sigmas_type": ("zero",),
    "flow_shift": (1.0,),
    "interpolation_type": ("linear",),
    "invert_sigmas": (False,),
    "lambda_min_clipped": (float("-inf"),),
    "predict_x0": (True,),
    "rescale_betas_zero_snr": (False,),
    "shift": (1.0,),
    "shift_terminal": (None,),
    "sigma_max": (None,),
    "sigma_min": (None,),
    "solver_p": (None,),
    "stochastic_sampling": (False,),
    "thresholding": (False,),
    "timestep_type": ("discrete",),
    "use_beta_sigmas": (False, None),
    "use_dynamic_shifting": (False,),
    "use_exponential_sigmas": (False, None),
    "use_flow_sigmas": (False,),
    "use_karras_sigmas": (False, None),
    "use_lu_lambdas": (False,),
    "variance_type": (None, "fixed_small"),
}
