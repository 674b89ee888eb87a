"""The network as a run calls it: a denoiser, from what `sample` is given."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, has_values, is_array, namespace, to_host
from schedalg.checks import shown
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.schedule import Schedule


class NetworkOptions(NamedTuple):
    """How the network is called and its output is read; see `sample`.

    Attributes:
        prediction: What the output means; None: what the schedule's networks predict.
        clip: Bounds of the x0 prediction, or a function of it.
        check_finite: Whether to look for NaN and infinity.
        model_kwargs: Passed to the network in every call.
    """

    prediction: Prediction | Parameterization | None
    clip: Clip | None
    check_finite: bool
    model_kwargs: Mapping[str, Any]


def denoiser_for(
    model: Model | AnyDenoiser, schedule: Schedule, options: NetworkOptions
) -> AnyDenoiser:
    """Return the network as a denoiser, or the denoiser that was given in its place.

    Raises:
        TypeError: The network cannot be called.
        ValueError: A denoiser is for another schedule, or comes with what only a network takes.
    """
    prediction, clip, check_finite, model_kwargs = options
    if not isinstance(model, AnyDenoiser):
        denoise = Denoiser(model, schedule, prediction, clip=clip, model_kwargs=model_kwargs)
        return denoise.checked_by(FiniteOutput()) if check_finite else denoise
    own = model.prediction if isinstance(model, Denoiser) else "x0"
    if prediction is not None and parameterization(prediction) != parameterization(own):
        raise ValueError(
            f"prediction is {shown(prediction)}, and the Denoiser that is given in place of a "
            f"network predicts {own!r}: leave prediction out"
        )
    if clip is not None or model_kwargs:
        raise ValueError("clip and keywords of the network belong to the Denoiser that is given")
    if not schedule._constant(_is_stretch, model.schedule):
        raise ValueError(
            f"the denoiser is for another schedule: {model.schedule!r}, not {schedule!r}"
        )
    return model.checked_by(FiniteOutput()) if check_finite else model


def _is_stretch(part: Schedule, whole: Schedule) -> bool:
    """Whether one schedule is the other, or a slice `s[a:b]` of it."""
    if part is whole or part == whole:
        return True
    if (part.kind, part.network_kind) != (whole.kind, whole.network_kind):
        return False
    if len(part) == 0:
        return True
    of_part, of_whole = to_host(part.log_alpha_bar.high), to_host(whole.log_alpha_bar.high)
    start = int(np.searchsorted(-of_whole, -of_part[0]))
    return np.array_equal(of_part, of_whole[start : start + len(of_part)]) and np.array_equal(
        part.timesteps, whole.timesteps[start : start + len(part)]
    )


def finite(x: Array) -> Array:
    """Return x after a step if it holds neither NaN nor infinity.

    Raises:
        ValueError: It does, and no output of the network did.
    """
    if has_values(x) and not bool(namespace(x).all(namespace(x).isfinite(x))):
        raise ValueError(
            "x became NaN or infinity, and no output of the network was so: "
            f"{x.dtype} may have overflowed, or x or the noise was not finite"
        )
    return x


class FiniteOutput:
    """Looks for NaN and infinity in every output of a network, and counts the calls of it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, output: Any, timestep: int | float) -> None:
        """Raise if the output holds NaN or infinity. What is not an array is named by the caller.

        Raises:
            ValueError: It does, or it is traced and cannot be looked at.
        """
        if is_array(output) and not has_values(output):
            raise ValueError(
                "check_finite=True cannot look at an output that is traced and has no values: look "
                "for NaN and infinity in what the traced function returns"
            )
        if is_array(output) and not bool(namespace(output).all(namespace(output).isfinite(output))):
            also = "" if self.calls else ": look whether x was finite"
            raise ValueError(
                f"model returned NaN or infinity in call {self.calls} (the first is 0), at "
                f"timestep {timestep}{also}"
            )
        self.calls += 1
