"""What the network predicts, and how the x0 prediction is bounded."""

from collections.abc import Mapping
from typing import Any, Final

from schedalg.interop.diffusers.options import Options
from schedalg.network.bounds import Clip, DynamicThreshold
from schedalg.parameterization import Prediction

#: Options of the bounds of x0, with their defaults.
THRESHOLDING: Final[Mapping[str, Any]] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
CLIPPING: Final[Mapping[str, Any]] = {"clip_sample": True, "clip_sample_range": 1.0}

#: Values of `prediction_type`, and what they are called here.
PREDICTIONS: Final[Mapping[str, Prediction]] = {
    "epsilon": "epsilon",
    "sample": "x0",
    "v_prediction": "v",
    "flow_prediction": "flow",
}


def prediction(options: Options) -> Prediction:
    """Return `prediction_type` as a `prediction` of this library.

    Raises:
        ValueError: `prediction_type` is unknown, or contradicts `use_flow_sigmas`.
    """
    result = options.meaning("prediction_type", PREDICTIONS)
    flow = options.flag("use_flow_sigmas")
    if result == "flow" and not flow:
        options.refuse("prediction_type", "it needs use_flow_sigmas=True")
    if result == "v" and flow:
        options.refuse("prediction_type", "it contradicts use_flow_sigmas=True")
    return result


def bounds(options: Options) -> Clip | None:
    """Return the bounds of x0, or None; if both are set, `thresholding` takes precedence.

    Raises:
        ValueError: `clip_sample_range`, `dynamic_thresholding_ratio` or `sample_max_value` is out
            of range.
    """
    if options.flag("thresholding"):
        ratio, largest = "dynamic_thresholding_ratio", "sample_max_value"
        if not 0 < options.number(ratio) <= 1:
            options.refuse(ratio, "it must be above 0 and at most 1")
        if options.number(largest) < 1:
            options.refuse(largest, "it must be at least 1, with which thresholding is clipping")
        return DynamicThreshold(options.number(ratio), options.number(largest))
    if options.flag("clip_sample"):
        bound = options.number("clip_sample_range")
        if not bound > 0:
            options.refuse("clip_sample_range", "it must be above 0")
        return -bound, bound
    return None
