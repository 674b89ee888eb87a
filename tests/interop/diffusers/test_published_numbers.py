"""The numbers that diffusers' own tests check."""

from typing import Any

import numpy as np
import pytest

from schedalg import sample
from schedalg.interop.diffusers import from_diffusers

pytestmark = pytest.mark.filterwarnings(
    # torch's tensors, where diffusers calls NumPy with them.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context:DeprecationWarning",
)


def residual(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    t = timesteps[:, None, None, None].astype(x.dtype)
    return np.asarray(x * t / (t + 1))


def oracle(config: dict[str, Any]) -> np.ndarray:
    ramp = np.arange(768, dtype=np.float64).reshape(3, 8, 8, 4) / 768
    schedule, sampler, prediction, clip = from_diffusers(config, 10)
    x = np.moveaxis(ramp, 3, 0) * schedule.prior_std
    return np.asarray(sample(residual, schedule, sampler, x, prediction=prediction, clip=clip))


DDIM_ORACLE = {"_class_name": "DDIMScheduler", "clip_sample": True}
DPM_ORACLE = {
    "_class_name": "DPMSolverMultistepScheduler",
    "lower_order_final": False,
    "final_sigmas_type": "sigma_min",
}
UNIPC_ORACLE = {"_class_name": "UniPCMultistepScheduler", "final_sigmas_type": "sigma_min"}


@pytest.mark.parametrize(
    ("config", "mean"),
    [
        (DDIM_ORACLE, 0.223967),
        ({**DDIM_ORACLE, "prediction_type": "v_prediction"}, 0.0684),
        ({**DDIM_ORACLE, "beta_start": 0.01}, 0.1951),
        ({**DDIM_ORACLE, "beta_start": 0.01, "set_alpha_to_one": False}, 0.1941),
        (DPM_ORACLE, 0.3301),
        ({**DPM_ORACLE, "use_karras_sigmas": True, "prediction_type": "v_prediction"}, 0.2096),
        (UNIPC_ORACLE, 0.2464),
        ({**UNIPC_ORACLE, "use_karras_sigmas": True}, 0.2925),
        ({**UNIPC_ORACLE, "prediction_type": "v_prediction"}, 0.1014),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, 133.362 / 768),
        (
            {"_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 1100},
            None,
        ),
    ],
)
def test_the_numbers_of_diffusers_own_tests(config: dict[str, Any], mean: float | None) -> None:
    result = oracle(config)
    if mean is None:  # their loop gives the scaled copy to the network, as a pipeline does
        assert np.abs(result).sum() == pytest.approx(168.0516, abs=1e-2)
    else:
        assert np.abs(result).mean() == pytest.approx(mean, abs=1e-3)
