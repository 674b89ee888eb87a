"""`network_errors`: how far a network's x0 predictions are from the data, at every noise level."""

import math
from collections.abc import Iterator
from typing import Any, Literal, overload

import numpy as np

from schedalg.arrays import Array, host_number, widened
from schedalg.checks import check_sample, flag, positive_integer, raise_stopped
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.running.arrivals import level_word
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.measuring import mean_squares, parts_of
from schedalg.running.noise import keyed_normal, keys_for
from schedalg.running.philox import MEASURE
from schedalg.running.progress import progress_bar
from schedalg.schedule import Point, Schedule, check_schedule


@overload
def network_errors(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    data: Array,
    *,
    prediction: Prediction | Parameterization | None = ...,
    clip: Clip | None = ...,
    seed: int = ...,
    draws: int = ...,
    batch: int = ...,
    standard_error: Literal[False] = ...,
    progress: bool = ...,
    **model_kwargs: Any,
) -> np.ndarray: ...
@overload
def network_errors(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    data: Array,
    *,
    prediction: Prediction | Parameterization | None = ...,
    clip: Clip | None = ...,
    seed: int = ...,
    draws: int = ...,
    batch: int = ...,
    standard_error: Literal[True],
    progress: bool = ...,
    **model_kwargs: Any,
) -> tuple[np.ndarray, np.ndarray]: ...
def network_errors(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    data: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    seed: int = 0,
    draws: int = 1,
    batch: int = 64,
    standard_error: bool = False,
    progress: bool = False,
    **model_kwargs: Any,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Return the mean over elements of E(x0 - prediction)² at each point of a schedule.

    It is the loss curve of training in terms of x0, with which `subsample(errors=...)`,
    `step_costs` and `DDPM(variance=(schedule, errors))` work. The noise of a sample at a point is a
    function of the seed, the sample's number and the noise level: so the errors of a subset of the
    points are those at its points, whatever the batch.

    Args:
        model: The network, or a `Denoiser`, as `sample` takes it.
        schedule: The points at which it is called, N of them.
        data: (n, ...), clean data that the network was not trained on.
        prediction: As in `sample`.
        clip: As in `sample`.
        seed: Of the noise, from 0 to 2^128 - 1.
        draws: How often each sample is used at each point, each time with new noise.
        batch: How many samples are given to the network at a time.
        standard_error: Return a pair, with the standard errors of the errors in the second place:
            the spread of the samples' own errors over sqrt(n draws).
        progress: Show a bar (needs tqdm).
        **model_kwargs: Passed to the network in every call.

    Returns:
        (N,), float64 NumPy, the least noisy point first; or a pair of these.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, there are no data, a standard error is asked of
            a single one, or a prediction is NaN or infinite.
        ImportError: `progress` is asked for, and tqdm is not installed.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, network_errors
        >>> s = Schedule.from_sigmas([0.5, 1.0, 2.0])
        >>> data = np.random.default_rng(0).standard_normal((500, 16))
        >>> def model(x, sigma):  # the perfect network for N(0, 1)
        ...     return x / (1 + sigma[:, None] ** 2)
        >>> network_errors(model, s, data, prediction="x0").round(2)
        array([0.2 , 0.5 , 0.81])

    Source: Kingma et al., arXiv 2107.00630; Bao et al., arXiv 2201.06503.
    """
    check_schedule(schedule)
    check_sample("data", data)
    count, times = int(data.shape[0]), positive_integer("draws", draws)
    parts = parts_of(data, positive_integer("batch", batch))
    if flag("standard_error", standard_error) and count * times < 2:
        raise ValueError("a standard error needs two data at least, or draws=2; got one")
    options = NetworkOptions(prediction, clip, False, model_kwargs)
    denoise = denoiser_for(model, schedule, options)
    keys = keys_for("seed", seed, count)
    points: Iterator[tuple[int, Point]] = enumerate(schedule)
    if flag("progress", progress):
        points = progress_bar(points, len(schedule))
    means, spreads = np.zeros(len(schedule)), np.zeros(len(schedule))
    for k, point in points:
        each = np.concatenate(
            [
                _squares(denoise, point, data[part, ...], keys[part], draw)
                for draw in range(times)
                for part in parts
            ]
        )
        if not np.isfinite(each).all():
            raise ValueError(
                f"the prediction at timestep {point.timestep} (point {k}) is NaN, infinite or too "
                "large to be squared"
            )
        means[k] = math.fsum(each) / len(each)
        if standard_error:
            spreads[k] = each.std(ddof=1) / math.sqrt(len(each))
    return (means, spreads) if standard_error else means


def _squares(
    denoise: AnyDenoiser, point: Point, x0: Array, keys: np.ndarray, draw: int
) -> np.ndarray:
    """Return the mean over elements of (x0 - prediction)² of each sample, (B,)."""
    alpha, sigma, log_snr = map(host_number, (point.alpha, point.sigma, point.log_snr))
    noise = keyed_normal(x0, keys, (level_word(log_snr), draw, MEASURE))
    try:
        prediction = denoise(alpha * x0 + sigma * noise, point)
    except StopIteration as error:
        raise_stopped(error, "model or clip")
    return mean_squares(widened(prediction) - widened(x0))
