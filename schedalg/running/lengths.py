"""`score_lengths`: how much the score of a network changes from each point to the next."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from schedalg.arrays import Array, host_number, is_half, namespace, widened
from schedalg.checks import check_sample, flag, positive_integer, raise_stopped
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.model import Form, Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.running.arrivals import level_word
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.measuring import mean_squares, parts_of
from schedalg.running.noise import keyed_normal, keys_for
from schedalg.running.philox import MEASURE
from schedalg.running.progress import progress_bar
from schedalg.schedule import Point, Schedule, check_schedule


def score_lengths(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    data: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    seed: int = 0,
    batch: int = 64,
    progress: bool = False,
    **model_kwargs: Any,
) -> np.ndarray:
    """Return the length of each step along the path, by how much the score changes in it.

    On noisy data at point k, sigma_k times the difference of the scores that the network has for
    points k and k - 1: the root of its mean square over elements and samples. The sums of these
    are what `schedule.length_costs` divides evenly. The noise is that of `network_errors`.

    For data in half precision, the network is called in it, and what it returns is computed with in
    float32: the score of an x0 prediction that were rounded to half precision would be off by that
    rounding over sigma. How the network itself rounds is part of the lengths, and adds to them the
    more, the shorter the steps are.

    Args:
        model: The network, or a `Denoiser`, as `sample` takes it; called twice at each point.
        schedule: The points, N of them.
        data: (n, ...), clean data.
        prediction: As in `sample`.
        clip: As in `sample`.
        seed: Of the noise, from 0 to 2^128 - 1.
        batch: How many samples are given to the network at a time.
        progress: Show a bar (needs tqdm).
        **model_kwargs: Passed to the network in every call.

    Returns:
        (N,), float64 NumPy, the least noisy first; entry k is of the way from point k - 1 to point
        k, and entry 0 is 0.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, there are no data, or a prediction is NaN or
            infinite; or the data are in half precision, and the denoiser is made from a function.
        ImportError: `progress` is asked for, and tqdm is not installed.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, choose, score_lengths
        >>> s = Schedule.from_sigmas([0.5, 1.0, 2.0])
        >>> data = np.random.default_rng(0).standard_normal((500, 16))
        >>> def model(x, sigma):  # the perfect network for N(0, 1)
        ...     return x / (1 + sigma[:, None] ** 2)
        >>> score_lengths(model, s, data, prediction="x0").round(2)
        array([0.  , 0.42, 1.35])

    Source: Williams et al., arXiv 2412.07877.
    """
    check_schedule(schedule)
    check_sample("data", data)
    count, parts = int(data.shape[0]), parts_of(data, positive_integer("batch", batch))
    denoise = denoiser_for(model, schedule, NetworkOptions(prediction, clip, False, model_kwargs))
    if is_half(data):
        denoise = _wide(denoise, data)
    keys = keys_for("seed", seed, count)
    points = list(schedule)
    pairs: Iterator[tuple[Point, Point]] = pairwise(points)
    if flag("progress", progress):
        pairs = progress_bar(pairs, max(len(points) - 1, 0))
    lengths = np.zeros(len(points))
    for k, (s, t) in enumerate(pairs, 1):
        squares = np.concatenate(
            [_squares(denoise, s, t, data[part, ...], keys[part]) for part in parts]
        )
        if not np.isfinite(squares).all():
            raise ValueError(
                f"a prediction at timestep {t.timestep} (point {k}), or for point {k - 1}, is NaN, "
                "infinite or too large to be squared"
            )
        lengths[k] = math.sqrt(math.fsum(squares) / count)
    return lengths


def _squares(denoise: AnyDenoiser, s: Point, t: Point, x0: Array, keys: np.ndarray) -> np.ndarray:
    """Return the mean over elements of (sigma_t (score_t - score_s))² at noisy data, (B,)."""
    alpha_s, sigma_s, alpha_t, sigma_t = map(host_number, (s.alpha, s.sigma, t.alpha, t.sigma))
    noise = keyed_normal(x0, keys, (level_word(host_number(t.log_snr)), 0, MEASURE))
    x = widened(alpha_t * x0 + sigma_t * noise)
    try:
        at_t, at_s = denoise(x, t), denoise(x, s)
    except StopIteration as error:
        raise_stopped(error, "model or clip")
    # The score is (alpha x0 - x) / sigma².
    of_t = (alpha_t * at_t - x) / sigma_t
    of_s = (alpha_s * at_s - x) * (sigma_t / sigma_s**2)
    return mean_squares(of_t - of_s)


class _Wide(Denoiser):
    """A denoiser in float32 of a network in half precision."""

    dtype: Any

    def output(
        self,
        x: Array,
        timesteps: Array,
        timestep: int | float | None = None,
        form: Form | None = None,
    ) -> tuple[Array, Array | None]:
        """Return the network's output in float32, from its input in half precision.

        `form` is that of x in float32, and is not what the network is given.
        """
        half = namespace(x).astype(x, self.dtype)
        output, variance = super().output(half, timesteps, timestep)
        return widened(output), variance


def _wide(denoise: AnyDenoiser, data: Array) -> AnyDenoiser:
    """Return a denoiser in float32, whose network is called in the half precision of the data.

    Raises:
        ValueError: It is made from a function, whose x0 predictions are rounded already.
    """
    if not isinstance(denoise, Denoiser):
        raise ValueError(
            f"data are {data.dtype}, and the denoiser is made from a function, whose x0 "
            "predictions are rounded to that: the lengths would be those of the rounding. Give the "
            "network itself, or data in float32 and a function that computes in it"
        )
    wide = _Wide(
        denoise.model,
        denoise.schedule,
        denoise.prediction,
        clip=denoise.clip,
        model_kwargs=denoise.model_kwargs,
    )
    wide.dtype = data.dtype
    return wide
