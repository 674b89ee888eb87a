"""What kind of value each option of diffusers takes, whichever class has it."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from schedalg.arrays import is_array
from schedalg.checks import described, flag, integer, positive_integer, real_number, shown

#: The largest value of an option that is an integer.
LARGEST: Final = 10**6


def _optional(check: Callable[[str, object], object]) -> Callable[[str, object], object]:
    return lambda name, value: None if value is None else check(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {described(value)}")
    return value


def _count(name: str, value: object) -> int:
    return _small(name, positive_integer(name, value))


def _offset(name: str, value: object) -> int:
    return _small(name, integer(name, value))


def _small(name: str, number: int) -> int:
    if abs(number) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST}, got {number}")
    return number


def _number_or_less(name: str, value: object) -> float:
    if isinstance(value, float) and value == -math.inf:
        return value
    return real_number(name, value)


def _list(name: str, value: object) -> object:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a list, got {described(value)}")
    return value


def _numbers(name: str, value: object) -> object:
    return value if is_array(value) else _list(name, value)


def _object(name: str, value: object) -> object:
    if is_array(value):
        raise TypeError(f"{name} must be a scheduler, got {described(value)}")
    return value


def _one_of(*allowed: str) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if _text(name, value) not in allowed:
            raise ValueError(f"{name}={shown(value)}: allowed are {', '.join(map(repr, allowed))}")
        return value

    return check


_KINDS: Final[Mapping[Callable[[str, object], object], str]] = {
    _optional(flag): """
        clip_sample euler_at_final invert_sigmas lower_order_final predict_x0
        rescale_betas_zero_snr set_alpha_to_one skip_prk_steps stochastic_sampling thresholding
        use_beta_sigmas use_dynamic_shifting use_exponential_sigmas use_flow_sigmas
        use_karras_sigmas use_lu_lambdas""",
    real_number: """
        base_shift beta_end beta_start clip_sample_range dynamic_thresholding_ratio flow_shift
        max_shift rho sample_max_value shift sigma_data timestep_scaling""",
    _optional(real_number): "shift_terminal sigma_max sigma_min",
    _number_or_less: "lambda_min_clipped",
    _count: """
        base_image_seq_len max_image_seq_len num_train_timesteps original_inference_steps
        solver_order""",
    _offset: "steps_offset",
    _text: """
        algorithm_type beta_schedule final_sigmas_type interpolation_type prediction_type
        sigma_schedule solver_type timestep_type""",
    _one_of("exponential", "linear"): "time_shift_type",
    _one_of("leading", "trailing", "linspace"): "timestep_spacing",
    _optional(_text): "variance_type",
    _optional(_list): "disable_corrector",
    _optional(_numbers): "trained_betas",
    _object: "solver_p",
}
#: The check of each option: (name, value); it raises if the value is not of the option's kind.
CHECKS: Final[Mapping[str, Callable[[str, object], object]]] = {
    name: check for check, names in _KINDS.items() for name in names.split()
}
