"""k-diffusion and EDM: lists of sigmas, and denoisers `D(x, sigma)`, both ways.

In k-diffusion, a schedule is a list of noise levels from the highest to 0, x = x0 + sigma eps, and
a network is a function of x and sigma that returns x0. So its denoiser is a network of this library
that predicts "x0" and whose timestep is sigma:

    sample(D, from_sigmas(sigmas), DPMSolverPP(), x, prediction="x0")

In the other direction, `Denoised` makes a denoiser for k-diffusion from a network.

Source: Karras et al., arXiv 2206.00364.
"""

from typing import Any

import numpy as np

from schedalg.arrays import Array, is_array, namespace, to_host, widened
from schedalg.checks import (
    check_callable,
    check_like,
    check_sample,
    described,
    flag,
    host_array,
    positive_number,
    require,
)
from schedalg.network.bounds import Clip, bounding
from schedalg.network.model import Model, check_bare, split
from schedalg.network.reading import reading_at
from schedalg.parameterization import (
    Parameterization,
    Prediction,
    parameterization,
)
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.curve import base_of
from schedalg.schedule.timesteps import called, named, scales_at

__all__ = ["Denoised", "from_sigmas", "to_sigmas"]


def from_sigmas(sigmas: Array) -> Schedule:
    """Return the schedule of a list of noise levels from the highest to the lowest.

    Args:
        sigmas: (N + 1,), falling strictly. The last one, usually 0, is the origin. They are copied
            to the host from any device.

    Returns:
        A variance-exploding schedule of N points, whose timesteps are the sigmas.

    Raises:
        TypeError: `sigmas` does not hold real numbers.
        ValueError: `sigmas` is not 1-D, does not fall strictly, or has less than two entries.

    Example:
        >>> from schedalg.interop.k_diffusion import from_sigmas
        >>> from_sigmas([10.0, 1.0, 0.1, 0.0]).timesteps
        array([ 0.1,  1. , 10. ])
    """
    host = host_array("sigmas", sigmas)
    if host.dtype.kind not in "iuf":
        raise TypeError(f"sigmas must hold real numbers, got {described(host)}")
    if host.ndim != 1 or len(host) < 2:
        raise ValueError(f"sigmas must be 1-D, two or more; got shape {host.shape}")
    levels = host.astype(np.float64)
    wrong = ~(levels[1:] < levels[:-1]) | ~(levels[1:] >= 0)
    if wrong.any():
        k = int(np.argmax(wrong)) + 1
        raise ValueError(
            f"sigmas[{k}] is {levels[k].item()!r} after {levels[k - 1].item()!r}: they must fall "
            "strictly, to 0 or above"
        )
    if levels[-1] == 0:
        return Schedule.from_sigmas(levels[-2::-1])
    return Schedule.from_sigmas(levels[::-1])[1:]


def to_sigmas(schedule: Schedule, *, final_zero: bool = True) -> Array:
    """Return sigma / alpha of a schedule, from the highest to the lowest.

    Args:
        schedule: Any schedule with some signal at every point.
        final_zero: Whether to append the noise level of the origin, which is 0 for clean data.

    Returns:
        (N + 1,) or (N,), in the library of the schedule.

    Raises:
        ValueError: A point has no signal, so that its sigma is infinite.

    Example:
        >>> from schedalg import Schedule
        >>> from schedalg.interop.k_diffusion import to_sigmas
        >>> to_sigmas(Schedule.karras(3, 0.1, 10.0)).round(3)
        array([10.   ,  1.451,  0.1  ,  0.   ])
    """
    check_schedule(schedule)
    final_zero = flag("final_zero", final_zero)
    sigmas = schedule.to_sigmas()
    xp = namespace(sigmas)
    require(
        "sigmas",
        sigmas,
        xp.isfinite(sigmas),
        "a point without signal has no sigma: leave it out of schedule",
    )
    falling = xp.flip(sigmas)
    if not final_zero:
        return falling
    origin = schedule.origin
    last = origin.sigma / origin.alpha
    end = last if is_array(last) else xp.asarray(last, dtype=sigmas.dtype)
    return xp.concat([falling, xp.reshape(end, (1,))])


class Denoised:
    """A network as a denoiser for k-diffusion's samplers: D(x, sigma) returns the x0 prediction.

    x is noisy data x0 + sigma eps. The model input is x in the scale that the network was trained
    in. The timestep is the one with the noise level sigma; between two trained timesteps it is
    interpolated linearly in log sigma.

    Args:
        model: The network, called as `model(x, timesteps, **kwargs)`. If its output has twice the
            channels of x, the first half is its prediction.
        schedule: The schedule that it was trained on.
        prediction: What it predicts.
        clip: (low, high) for the x0 prediction, or a function of it.

    Raises:
        TypeError: `model` is not callable, or `schedule` is not a schedule.
        ValueError: The schedule has no points, or a point without signal; or `prediction` is
            unknown.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule
        >>> from schedalg.interop.k_diffusion import Denoised
        >>> D = Denoised(lambda x, timesteps: 0 * x, Schedule.linear(1000))
        >>> D(np.array([[3.0]]), np.array([2.0]))  # no noise is predicted
        array([[3.]])
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        prediction: Prediction | Parameterization = "epsilon",
        *,
        clip: Clip | None = None,
    ) -> None:
        check_callable("model", model)
        check_schedule(schedule)
        if len(schedule) == 0:
            raise ValueError("schedule has no points, and so no timesteps for the network")
        self.model = model
        self.schedule = schedule.as_ve()
        self.parameterization = parameterization(prediction)
        self.clip = bounding(clip)
        self.sigmas = to_host(self.schedule.to_sigmas())
        self._trained = base_of(self.schedule)
        self._cache: dict[tuple[str, str], tuple[Array, Array]] = {}

    @property
    def sigma_min(self) -> float:
        """The lowest noise level that the network was trained on."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """The highest noise level that the network was trained on."""
        return float(self.sigmas[-1])

    def __call__(self, x: Array, sigma: Array, **kwargs: Any) -> Array:
        """Return the x0 prediction.

        Args:
            x: (B, ...), at noise level sigma.
            sigma: (B,), or one number for all, above 0. An array must be on the same device as x.
                Its values are not checked, since that would synchronize the device.
            **kwargs: Passed to the network.

        Raises:
            TypeError: `x` is not an array of real numbers, or `sigma` is of another library.
            ValueError: `sigma` is not one number or one for each sample, or the output does not
                have the shape and dtype of x.
        """
        check_sample("x", x)
        xp = namespace(x)
        if not is_array(sigma):
            sigma = positive_number("sigma", sigma)
            sigma = xp.asarray(sigma, dtype=widened(x[:0, ...]).dtype, device=x.device)
        xp = namespace(x, sigma)
        if tuple(sigma.shape) not in ((), (1,), (x.shape[0],)):
            raise ValueError(
                f"sigma must be one number or {x.shape[0]}, one for each sample; got shape "
                f"{tuple(sigma.shape)}"
            )
        wide = widened(x)
        sigma = xp.broadcast_to(xp.astype(sigma, wide.dtype), (x.shape[0],))
        column = xp.reshape(sigma, (x.shape[0],) + (1,) * (x.ndim - 1))
        c_in, c_x, c_out, *_ = reading_at(self.parameterization, self.schedule, 1.0, column)
        model_input = xp.astype(c_in * wide, x.dtype)
        output = self.model(model_input, self.timesteps(sigma), **kwargs)
        check_bare("model output", output)
        prediction, _ = split(output, x)
        check_like("model output", prediction, x)
        x0 = xp.astype(c_x * wide + c_out * widened(prediction), x.dtype)
        if self.clip is None:
            return x0
        result = self.clip(x0)
        check_like("x0 returned by clip", result, x0)
        return result

    def timesteps(self, sigma: Array) -> Array:
        """Return the timesteps for the network at noise levels, (B,).

        Args:
            sigma: (B,), in float32 or float64. Outside the trained noise levels, the timestep is
                that of the lowest or the highest.
        """
        xp = namespace(sigma)
        log_sigmas, timesteps = self._points_like(sigma)
        count = len(self._trained)
        if count == 1:
            return xp.zeros_like(sigma) + timesteps[0]
        rule = self.schedule.timestep_rule
        if isinstance(rule, str):  # what follows from the noise level
            return named(rule).of(xp, sigma)
        if not isinstance(rule, np.ndarray):
            ratio = to_host(sigma).astype(np.float64)
            values = called(rule, *scales_at(ratio, self.schedule.network_kind))
            return xp.asarray(values, dtype=sigma.dtype, device=sigma.device)
        log_sigma = xp.log(sigma)
        above = xp.searchsorted(log_sigmas, log_sigma)
        above = xp.clip(above, 1, count - 1)
        low, high = xp.take(log_sigmas, above - 1), xp.take(log_sigmas, above)
        share = xp.clip((log_sigma - low) / (high - low), 0.0, 1.0)
        below, over = xp.take(timesteps, above - 1), xp.take(timesteps, above)
        return below + share * (over - below)

    def _points_like(self, like: Array) -> tuple[Array, Array]:
        """Return log sigma and timestep of every trained point, like an array; uploaded once."""
        xp = namespace(like)
        key = str(like.device), str(like.dtype)
        if key not in self._cache:
            sigmas, timesteps = to_host(self._trained.to_sigmas()), self._trained.timesteps
            values = np.log(sigmas), np.asarray(timesteps, dtype=np.float64)
            self._cache[key] = tuple(
                xp.asarray(v, dtype=like.dtype, device=like.device, copy=True) for v in values
            )
        return self._cache[key]
