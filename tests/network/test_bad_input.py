"""Bad input to networks, bounds and guidance is named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import (
    ClassifierFreeGuidance,
    Denoiser,
    DynamicThreshold,
    Parameterization,
    Schedule,
    TimestepRemap,
    classifier_guidance,
    inpaint,
    switch,
)
from tests.bad_input import DENOISER, LINEAR, TWO, ZERO_SNR, X, check_named, network, run

FLOW = Denoiser(network, Schedule.flow(4))
SEVERAL = Parameterization(lambda alpha, sigma: np.ones(3), lambda alpha, sigma: 1.0)

#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "clip a number": (lambda: run(clip=1.0), TypeError, ["clip", "(-1, 1)", "1.0"]),
    "clip reversed": (lambda: run(clip=(1, -1)), ValueError, ["clip", "(1, -1)"]),
    "denoise at the origin": (
        lambda: Denoiser(network, LINEAR)(X, LINEAR.origin),
        ValueError,
        ["clean", "timestep"],
    ),
    "denoise epsilon at pure noise": (
        lambda: Denoiser(network, ZERO_SNR)(X, ZERO_SNR[9]),
        ValueError,
        ["'epsilon'", "timestep 9", "'v'"],
    ),
    "remap float": (
        lambda: TimestepRemap(network, LINEAR)(X, np.array([1.0, 2.0])),
        TypeError,
        ["k", "integers", "float64"],
    ),
    "remap range": (
        lambda: TimestepRemap(network, LINEAR)(X, np.array([1, 10])),
        ValueError,
        ["k[1]", "10", "0 to 9"],
    ),
    "remap shape": (
        lambda: TimestepRemap(network, LINEAR)(X, np.arange(3)),
        ValueError,
        ["k", "2", "(3,)"],
    ),
    "remap rescale": (
        lambda: TimestepRemap(network, LINEAR, rescale_timesteps=True),
        ValueError,
        ["original_num_steps"],
    ),
    "remap nothing": (lambda: TimestepRemap(network, LINEAR[:0]), ValueError, ["no points"]),
    "remap of no model": (lambda: TimestepRemap(None, LINEAR), TypeError, ["model", "NoneType"]),
    "clip text": (lambda: run(clip="left"), TypeError, ["clip", "'left'"]),
    "clip returns": (
        lambda: run(clip=lambda x0: x0[:1]),
        ValueError,
        ["x0 returned by clip", "(2, 3)", "(1, 3)"],
    ),
    "quantile": (lambda: DynamicThreshold(1.5), ValueError, ["quantile", "1.5"]),
    "max_value": (lambda: DynamicThreshold(0.9, 0.5), ValueError, ["max_value", "0.5"]),
    "keywords": (
        lambda: ClassifierFreeGuidance(network, 2.0, {"y": 1}, {"z": 1}),
        ValueError,
        ["cond", "uncond", "['y']", "['z']"],
    ),
    "scale NaN": (
        lambda: ClassifierFreeGuidance(network, np.nan, {}, {}),
        ValueError,
        ["scale", "nan"],
    ),
    "class labels of no sample": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": X[:0]}, {"y": X[:0]})),
        ValueError,
        ["y", "2 entries", "(0, 3)"],
    ),
    "gradient": (lambda: classifier_guidance(DENOISER, 1.0), TypeError, ["gradient", "float"]),
    "gradient's shape": (
        lambda: run(model=classifier_guidance(DENOISER, lambda x, t: x[:1])),
        ValueError,
        ["gradient", "(2, 3)", "(1, 3)"],
    ),
    "shift": (
        lambda: classifier_guidance(DENOISER, network, shift="noise"),
        ValueError,
        ["shift", "'noise'", "'score'"],
    ),
    "guided model": (lambda: classifier_guidance(network, network), TypeError, ["denoiser"]),
    "interval": (lambda: switch(DENOISER, DENOISER, 2.0, 1.0), ValueError, ["2.0", "1.0"]),
    "interval of t": (
        lambda: switch(DENOISER, DENOISER, t_min=0.5, t_max=0.2),
        ValueError,
        ["t_min", "0.5", "0.2"],
    ),
    "interval of log-SNR": (
        lambda: switch(DENOISER, DENOISER, log_snr_min=1, log_snr_max=-1),
        ValueError,
        ["log_snr_min", "1.0", "-1.0"],
    ),
    "two quantities": (
        lambda: switch(DENOISER, DENOISER, sigma_min=1.0, timestep_max=5),
        ValueError,
        ["one quantity", "sigma_min, timestep_max"],
    ),
    "sigma of a flow": (
        lambda: switch(FLOW, FLOW, sigma_min=0.875),
        ValueError,
        ["sigma/alpha", "t_min=0.875"],
    ),
    "two schedules": (
        lambda: switch(DENOISER, Denoiser(network, TWO)),
        ValueError,
        ["same schedule", "2 points"],
    ),
    "mask": (lambda: inpaint(DENOISER, X, "left"), TypeError, ["mask", "str"]),
    "mask's values": (
        lambda: inpaint(DENOISER, X, np.array([[0, 0.5, 2.0]])),
        ValueError,
        ["mask[0, 2] is 2.0", "from 0 to 1"],
    ),
    "samples of a guided network": (
        lambda: run(model=ClassifierFreeGuidance(lambda x, t: x[:2], 2.0, {}, {})),
        ValueError,
        ["model", "4 samples", "(2, 3)"],
    ),
    "classifier at clean data": (
        lambda: classifier_guidance(DENOISER, network)(X, LINEAR.origin),
        ValueError,
        ["t", "clean data", "classifier"],
    ),
    "score at zero signal": (
        lambda: classifier_guidance(Denoiser(network, ZERO_SNR, "v"), network)(X, ZERO_SNR[-1]),
        ValueError,
        ["timestep 9", "alpha is 0", "`switch`"],
    ),
    "coefficient of several numbers": (
        lambda: Denoiser(network, LINEAR, SEVERAL)(X, LINEAR[2]),
        TypeError,
        ["c_x", "a number", "(3,)"],
    ),
    "mask's shape": (
        lambda: run(model=inpaint(DENOISER, np.ones((5, 2, 3)), np.ones(3))),
        ValueError,
        ["known", "(2, 3)"],
    ),
    "no point": (lambda: DENOISER(X, 3), TypeError, ["t", "Point", "int"]),
    "model_kwargs": (
        lambda: Denoiser(network, LINEAR, model_kwargs=1),
        TypeError,
        ["model_kwargs", "1"],
    ),
    "keyword twice": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": 1}, {"y": 1}), y=2),
        ValueError,
        ["['y']", "cond"],
    ),
    "class labels of two shapes": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": X}, {"y": X[:, :2]})),
        ValueError,
        ["y", "(2, 3)", "(2, 2)"],
    ),
    "class labels and None": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": X}, {"y": None})),
        ValueError,
        ["y", "array in both"],
    ),
    "cond": (lambda: ClassifierFreeGuidance(network, 2.0, None, {}), TypeError, ["cond", "None"]),
    "interval below 0": (lambda: switch(DENOISER, DENOISER, -2.0), ValueError, ["-2.0"]),
    "mask outside": (lambda: inpaint(DENOISER, X, 2 * X), ValueError, ["mask[0, 0] is 2.0"]),
    "mask complex": (lambda: inpaint(DENOISER, X, X * 1j), TypeError, ["mask", "complex"]),
    "threshold of a number": (
        lambda: DynamicThreshold()(np.array(1.0)),
        ValueError,
        ["x0", "batch"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
