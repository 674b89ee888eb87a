"""Guidance: the wrapper of a network without a classifier, and that of a denoiser with one."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from schedalg.arrays import (
    Array,
    host_number,
    is_array,
    is_real_floating,
    multiplier,
    namespace,
    requires_gradient,
    to_host,
)
from schedalg.checks import (
    check_callable,
    check_like,
    check_readable,
    check_sample,
    described,
    real_number,
    shown,
)
from schedalg.libraries import constant
from schedalg.network.denoiser import (
    AnyDenoiser,
    Denoiser,
    DerivedDenoiser,
    InnerDenoiser,
    check_denoiser,
)
from schedalg.network.model import Model, called
from schedalg.network.reading import scale_to
from schedalg.schedule import Point, Schedule, path
from schedalg.schedule.timesteps import timestep_batch

#: What classifier guidance shifts: the score at x, or the mean of DDPM's step.
Shift: TypeAlias = Literal["score", "mean"]


class ClassifierFreeGuidance:
    """Classifier-free guidance: the conditional and the unconditional prediction in one call.

    out = uncond + scale (cond - uncond). The network is called once on a batch that holds x twice:
    the first half gets the conditional keywords and the second half the unconditional ones. A
    negative prompt takes the place of the unconditional keywords. If the output has twice the
    channels of x (a learned variance), the variance is that of the conditional half.

    Args:
        model: The network, called as `model(x, timesteps, **kwargs)`.
        scale: 1 gives the conditional prediction, 0 the unconditional one; above 1 extrapolates. A
            tensor of one number may require a gradient.
        cond: Keyword arguments with the condition. Arrays (B, ...), also those in dictionaries and
            lists, are joined with those of `uncond`; one of a single entry, (1, ...), is for all
            samples. Anything else must be the same in both.
        uncond: The same keywords without the condition, or with a negative one.

    Raises:
        TypeError: `model` is not callable, `scale` is not a number, or `cond` or `uncond` is not a
            mapping from keywords to values.
        ValueError: `cond` and `uncond` have different keywords.

    Example:
        >>> import numpy as np
        >>> from schedalg import ClassifierFreeGuidance
        >>> guided = ClassifierFreeGuidance(
        ...     lambda x, t, y: x * 0 + y[:, None], 3.0, {"y": np.ones(2)}, {"y": np.zeros(2)}
        ... )
        >>> guided(np.zeros((2, 1)), np.array([7, 7]))
        array([[3.],
               [3.]])

    Source: Ho and Salimans, arXiv 2207.12598, equation 6 (with scale = 1 + w).
    """

    def __init__(
        self, model: Model, scale: float, cond: Mapping[str, Any], uncond: Mapping[str, Any]
    ) -> None:
        check_callable("model", model)
        for name, values in (("cond", cond), ("uncond", uncond)):
            if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
                raise TypeError(
                    f"{name} must be a mapping from keywords to values, got {shown(values)}"
                )
        if set(cond) != set(uncond):
            raise ValueError(
                f"cond and uncond must have the same keywords, got {sorted(cond)} and "
                f"{sorted(uncond)}"
            )
        self.model = model
        self.scale = _factor("scale", scale)
        self.cond = dict(cond)
        self.uncond = dict(uncond)

    def __call__(self, x: Array, timesteps: Array, **kwargs: Any) -> Array:
        """Return the guided prediction.

        Args:
            x: (B, ...), the model input.
            timesteps: (B,).
            **kwargs: Other keyword arguments of the network. Arrays (B, ...) go to both halves.

        Raises:
            ValueError: A keyword in `kwargs` is also in `cond`; a value that is not an array
                differs between `cond` and `uncond`; an array does not have B entries; or the output
                does not have 2 B samples.
        """
        check_sample("x", x)
        _check_batch("timesteps", timesteps, x)
        xp, batch = namespace(x), x.shape[0]
        if twice := sorted(set(kwargs) & set(self.cond)):
            raise ValueError(
                f"{twice} are keywords of cond and uncond: they cannot be given again in the call"
            )
        both = {
            name: _joined(name, self.cond[name], self.uncond[name], batch) for name in self.cond
        }
        both |= {name: _joined(name, value, value, batch) for name, value in kwargs.items()}
        output = called(self.model, xp.concat([x, x]), xp.concat([timesteps, timesteps]), both)
        if not is_array(output) or output.ndim == 0 or output.shape[0] != 2 * batch:
            shape = tuple(output.shape) if is_array(output) else type(output).__name__
            raise ValueError(
                f"model must return {2 * batch} samples, as many as it is given with and without "
                f"the condition; got {shape}"
            )
        check_readable("what model returns", output)
        cond, uncond = output[:batch, ...], output[batch:, ...]
        if x.ndim > 1 and output.ndim == x.ndim and output.shape[1] == 2 * x.shape[1]:
            channels = x.shape[1]
            guided = self._guided(cond[:, :channels, ...], uncond[:, :channels, ...])
            return xp.concat([guided, cond[:, channels:, ...]], axis=1)
        return self._guided(cond, uncond)

    def _guided(self, cond: Array, uncond: Array) -> Array:
        return uncond + multiplier(self.scale, cond) * (cond - uncond)


def _check_batch(name: str, value: Any, x: Array) -> None:
    """Raise unless it is an array of x's library with an entry for each sample."""
    if not is_array(value) or value.ndim == 0 or value.shape[0] != x.shape[0]:
        raise ValueError(
            f"{name} must be an array with {x.shape[0]} entries, one for each sample; got "
            f"{described(value)}"
        )
    try:
        namespace(x, value)
    except TypeError as error:
        raise TypeError(f"{name} must be of x's library: {error}") from None
    check_readable(name, value)


def _factor(name: str, value: Any) -> Any:
    """Return a number as a float; a tensor of one that requires a gradient as it is."""
    if not requires_gradient(value):
        return real_number(name, value)
    if value.ndim != 0 or not is_real_floating(value):
        raise TypeError(f"{name} must be a real number, got {described(value)}")
    return value


def _joined(name: str, cond: Any, uncond: Any, batch: int) -> Any:
    """Return the value of a keyword for both halves of the batch."""
    if is_array(cond) and is_array(uncond) and cond.ndim > 0:
        for value in (cond, uncond):
            check_readable(name, value)
        xp = namespace(cond, uncond)
        for value in (cond, uncond):
            fits = value.ndim > 0 and value.shape[0] in (1, batch)
            if not fits or value.shape[1:] != cond.shape[1:]:
                raise ValueError(
                    f"{name} must have {batch} entries, one for each sample, or one for all, and "
                    "the same shape in cond and uncond; got shapes "
                    f"{tuple(cond.shape)} and {tuple(uncond.shape)}"
                )
        halves = (xp.broadcast_to(v, (batch, *v.shape[1:])) for v in (cond, uncond))
        return xp.concat(list(halves))
    if cond is uncond and not isinstance(cond, Mapping | list | tuple):
        return cond
    if isinstance(cond, Mapping) and isinstance(uncond, Mapping) and set(cond) == set(uncond):
        return {key: _joined(f"{name}[{key!r}]", cond[key], uncond[key], batch) for key in cond}
    pairs = isinstance(cond, list | tuple) and isinstance(uncond, list | tuple)
    if pairs and len(cond) == len(uncond):
        entries = enumerate(zip(cond, uncond, strict=True))
        return type(cond)(_joined(f"{name}[{i}]", *pair, batch) for i, pair in entries)
    try:
        same = bool(cond == uncond)
    except (TypeError, ValueError):  # raised by containers that hold arrays
        same = False
    if same:
        return cond
    raise ValueError(
        f"{name} must be an array in both, or the same in both: got {described(cond)} with the "
        f"condition and {described(uncond)} without"
    )


def classifier_guidance(
    denoiser: AnyDenoiser,
    gradient: Callable[..., Array],
    scale: float = 1.0,
    shift: Shift = "score",
    **gradient_kwargs: Any,
) -> DerivedDenoiser:
    """Return the denoiser with x0 shifted along the gradient of a classifier's log p(y | x).

    With "score", eps becomes eps - sigma scale gradient, and so x0 becomes x0 + (sigma_t²/alpha_t)
    scale gradient. With "mean", DDPM's posterior variance times scale gradient is added to the
    mean, and so x0 becomes x0 + (sigma_s²/alpha_s) scale gradient, where s is the next point of the
    schedule; if that is clean data, x0 is unchanged.

    Args:
        denoiser: The denoiser to guide.
        gradient: Called as `gradient(x, timesteps, **gradient_kwargs)`, with x in the scale of the
            network and one timestep for each sample. It returns the gradient with respect to that
            x.
        scale: Factor of the gradient; a tensor of one number may require a gradient itself.
        shift: "score", or "mean". "mean" is for samplers that call the network only at points of
            the schedule and add noise with DDPM's variance "fixed_small".
        **gradient_kwargs: Keyword arguments of `gradient`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `shift` is unknown. When called: alpha is 0, where the score does not shift x0;
            or with "mean", the noise level is not a point of the schedule.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Denoiser, Schedule, classifier_guidance, sample
        >>> s = Schedule.linear(1000).subsample(steps=5)
        >>> network = Denoiser(lambda x, timesteps: x, s)
        >>> towards_1 = lambda x, timesteps: 1 - x
        >>> guided = classifier_guidance(network, towards_1, scale=0.1)
        >>> sample(guided, s, DDIM(), np.zeros((1, 2))).round(2)
        array([[0.3, 0.3]])

    Source: Dhariwal and Nichol, arXiv 2105.05233, algorithms 1 (mean) and 2 (score).
    """
    check_denoiser("denoiser", denoiser)
    check_callable("gradient", gradient)
    if not isinstance(shift, str) or shift not in get_args(Shift):
        raise ValueError(f"shift must be 'score' or 'mean'; got {shown(shift)}")
    factor = _factor("scale", scale)
    schedule = denoiser.schedule
    following = _following(schedule) if shift == "mean" else None

    def guided(x: Array, t: Point, inner: InnerDenoiser) -> Array:
        if t.timestep is None:
            raise ValueError("t is clean data: it has no timestep to pass to the classifier")
        x0 = inner(x, t)
        to_network = scale_to(schedule.network_kind, t.alpha, t.sigma)
        if following is None:
            if host_number(t.alpha) == 0:
                raise ValueError(
                    f"the score does not shift x0 at timestep {t.timestep}, where alpha is 0: "
                    "start guidance at a lower noise level (see `switch`)"
                )
            strength = factor * to_network * t.sigma**2 / t.alpha
        else:
            # In the variance-preserving scale, where the mean is DDPM's.
            to_vp = scale_to("vp", t.alpha, t.sigma)
            after = following(host_number(t.alpha), host_number(t.sigma), t.timestep)
            strength = factor * after * to_network / to_vp
        if isinstance(strength, float) and strength == 0:
            return x0
        slope = gradient(to_network * x, timestep_batch(x, t.timestep), **gradient_kwargs)
        check_like("what gradient returns", slope, x)
        return x0 + multiplier(strength, slope) * slope

    return Denoiser.from_function(guided, schedule, denoiser)


def _following(schedule: Schedule) -> Callable[[float, float, int | float], float]:
    """Return a function from a point to sigma²/alpha at the next, less noisy point, in vp scale.

    It takes alpha, sigma and the timestep.
    """
    log_alpha_bar = schedule.log_alpha_bar
    xp = namespace(log_alpha_bar.high)
    known = to_host(path.log_snr(xp, log_alpha_bar))
    alpha, sigma = (to_host(scale).tolist() for scale in path.alpha_sigma(xp, log_alpha_bar, "vp"))

    @constant
    def after(signal: float, noise: float, timestep: int | float) -> float:
        at = 2 * math.log(signal / noise) if signal > 0 else -math.inf
        near = known == at
        if math.isfinite(at):
            near |= np.abs(known - at) <= 1e-9 * max(1.0, abs(at))
        if not near.any():
            raise ValueError(
                f"shift='mean' needs points of the schedule, and log SNR {at:.6g} (timestep "
                f"{timestep}) is not one of them: use shift='score'"
            )
        k = int(np.argmax(near))
        return float(sigma[k - 1] ** 2 / alpha[k - 1]) if k else 0.0

    return after
