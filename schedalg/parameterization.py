"""What a network predicts, as three functions: `x0 = c_x x + c_out model(c_in x, t)`.

A perfect network predicts p x0 + q eps, where p and q depend on the noise level alone. Together
with x = alpha x0 + sigma eps, its output determines x0 and eps: with D = alpha q - sigma p,

    x0 = (q x - sigma output) / D,    eps = (alpha output - p x) / D.

So p and q define a parameterization, and any prediction can be converted to any other.
"""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol, TypeAlias, get_args

import numpy as np

from schedalg.arrays import Array, is_array, is_real_floating, multiplier, to_host
from schedalg.checks import (
    check_like,
    check_readable,
    check_sample,
    described,
    number_or_infinity,
    positive_number,
    shown,
)

#: The names that `prediction=` takes.
Prediction: TypeAlias = Literal["epsilon", "x0", "v", "flow", "score", "edm"]

#: A function of alpha and sigma, which are floats or arrays.
Column: TypeAlias = Callable[[Any, Any], Any]


class NoiseLevel(Protocol):
    """Anything with a signal scale and a noise scale, such as a `Point`."""

    @property
    def alpha(self) -> Any:
        """Signal scale."""
        ...

    @property
    def sigma(self) -> Any:
        """Noise scale."""
        ...


def _one(alpha: Any, sigma: Any) -> Any:
    return 1.0


@dataclass(frozen=True)
class Parameterization:
    """How x0 follows from a network's output: x0 = c_x x + c_out model(c_in x, timestep).

    The three coefficients are functions of alpha and sigma. These are floats or arrays, in the
    scale that the network was trained in; each function returns a number or an array.

    Args:
        c_x: Coefficient of x in the x0 prediction.
        c_out: Coefficient of the network's output.
        c_in: Coefficient of x in the model input.
        weights: A function that returns (p, q), where a perfect network predicts p x0 + q eps. By
            default they are computed as (1 - alpha c_x) / c_out and -sigma c_x / c_out; give the
            function where that loses too many digits.

    Raises:
        TypeError: An argument is not callable.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Parameterization, Schedule, sample
        >>> residual = Parameterization(lambda alpha, sigma: 1.0, lambda alpha, sigma: -sigma)
        >>> schedule = Schedule.karras(5)
        >>> def model(x, sigma):  # the noise in x, where the data are all 0.5
        ...     return (x - 0.5) / sigma[:, None]
        >>> sample(model, schedule, DDIM(), np.ones((1, 2)), prediction=residual).round(12)
        array([[0.5, 0.5]])
    """

    c_x: Column
    c_out: Column
    c_in: Column = _one
    weights: Callable[[Any, Any], tuple[Any, Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("c_x", "c_out", "c_in"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"{name} must be a function of alpha and sigma, got "
                    f"{described(getattr(self, name))}"
                )
        if self.weights is not None and not callable(self.weights):
            raise TypeError(
                f"weights must be a function of alpha and sigma, got {described(self.weights)}"
            )

    def weights_at(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        """Return p and q: a perfect network predicts p x0 + q eps.

        Raises:
            TypeError: alpha or sigma is neither a number nor an array of numbers.
            ValueError: One is NaN, or an array that cannot be read; or p and q are not determined.
        """
        alpha, sigma = _checked_scales(alpha, sigma)
        try:
            if self.weights is not None:
                return self.weights(alpha, sigma)
            c_x, c_out = self.c_x(alpha, sigma), self.c_out(alpha, sigma)
            return (1 - alpha * c_x) / c_out, -sigma * c_x / c_out
        except (ZeroDivisionError, OverflowError):
            _raise_unknown(alpha, sigma)

    def _read_at(
        self, alpha: Any, sigma: Any, checked: Callable[[str, Any], Any]
    ) -> tuple[Any, Any, Any, Any, Any]:
        """Return c_in, c_x, c_out, e_x and e_out: eps = e_x x + e_out output.

        What is not determined is infinite or NaN.

        Args:
            alpha: Signal scale.
            sigma: Noise scale.
            checked: Called with the name of each function and what it returned; returns the value
                to use.

        Raises:
            TypeError: As `weights_at`.
            ValueError: alpha or sigma is NaN, or an array that cannot be read.
        """
        alpha, sigma = _checked_scales(alpha, sigma)
        with np.errstate(divide="ignore", invalid="ignore"):  # as arrays do
            if self.weights is not None and self._is_of_weights:
                c_in = _determined(1, lambda: (self.c_in(alpha, sigma),))
                return *c_in, *_determined(4, lambda: self._of_weights(alpha, sigma))
            names = ("c_in", "c_x", "c_out")
            x0 = map(checked, names, _determined(3, lambda: self._of_functions(alpha, sigma)))
            return *x0, *_determined(2, lambda: self.noise_at(alpha, sigma))

    @property
    def _is_of_weights(self) -> bool:
        """Whether c_x and c_out follow from the weights."""
        own = self.weights
        if type(self.c_x) is not _OfX or type(self.c_out) is not _OfOutput:
            return False
        return self.c_x.weights is own and self.c_out.weights is own

    def _of_weights(self, alpha: Any, sigma: Any) -> tuple[Any, Any, Any, Any]:
        """Return c_x, c_out, e_x and e_out, whose denominators are one."""
        try:
            p, q = self.weights(alpha, sigma)  # type: ignore[misc]
            determinant = alpha * q - sigma * p
            of_x0 = q / determinant, -sigma / determinant
            return *of_x0, -p / determinant, alpha / determinant
        except (ZeroDivisionError, OverflowError):
            _raise_unknown(alpha, sigma)

    def _of_functions(self, alpha: Any, sigma: Any) -> tuple[Any, Any, Any]:
        return self.c_in(alpha, sigma), self.c_x(alpha, sigma), self.c_out(alpha, sigma)

    def noise_at(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        """Return e_x and e_out: eps = e_x x + e_out output.

        Raises:
            TypeError: As `weights_at`.
            ValueError: As `weights_at`.
        """
        alpha, sigma = _checked_scales(alpha, sigma)
        try:
            if self.weights is None:
                c_x, c_out = self.c_x(alpha, sigma), self.c_out(alpha, sigma)
                return (1 - alpha * c_x) / sigma, -alpha * c_out / sigma
            p, q = self.weights(alpha, sigma)
            determinant = alpha * q - sigma * p
            return -p / determinant, alpha / determinant
        except (ZeroDivisionError, OverflowError):
            _raise_unknown(alpha, sigma)


def _checked_scales(alpha: Any, sigma: Any) -> tuple[Any, Any]:
    """Return alpha and sigma, each a float or an array, whose shapes can be broadcast."""
    columns = type(alpha) is type(sigma) is np.ndarray and alpha.shape == sigma.shape
    if columns and alpha.dtype == sigma.dtype == np.float64:
        return alpha, sigma
    alpha, sigma = _checked_scale("alpha", alpha), _checked_scale("sigma", sigma)
    if is_array(alpha) and is_array(sigma) and alpha.shape != sigma.shape:
        try:
            np.broadcast_shapes(tuple(alpha.shape), tuple(sigma.shape))
        except ValueError:
            raise ValueError(
                f"alpha and sigma must be of one shape, got {tuple(alpha.shape)} and "
                f"{tuple(sigma.shape)}"
            ) from None
    return alpha, sigma


def _checked_scale(name: str, value: Any) -> Any:
    if not is_array(value):
        return number_or_infinity(name, value)
    if not is_real_floating(value) or getattr(value.dtype, "itemsize", 2) < 2:
        raise TypeError(f"{name} must be of a real floating-point dtype, got {described(value)}")
    check_readable(name, value)
    return value


class UndeterminedError(ValueError):
    """A network's output does not determine what was asked for at this noise level."""


def _determined(count: int, columns: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the columns, or NaN for each where floats divide by zero."""
    try:
        return columns()
    except (ZeroDivisionError, UndeterminedError):
        return (math.nan,) * count


def _raise_unknown(alpha: Any, sigma: Any) -> NoReturn:
    raise UndeterminedError(
        f"alpha is {alpha} and sigma is {sigma}, where a coefficient is infinite"
    )


@dataclass(frozen=True)
class _OfX:
    """c_x of the parameterization whose perfect network predicts p x0 + q eps."""

    weights: Callable[[Any, Any], tuple[Any, Any]]

    def __call__(self, alpha: Any, sigma: Any) -> Any:
        alpha, sigma = _checked_scales(alpha, sigma)
        try:
            p, q = self.weights(alpha, sigma)
            return q / (alpha * q - sigma * p)
        except (ZeroDivisionError, OverflowError):
            _raise_unknown(alpha, sigma)


@dataclass(frozen=True)
class _OfOutput:
    """c_out of the parameterization whose perfect network predicts p x0 + q eps."""

    weights: Callable[[Any, Any], tuple[Any, Any]]

    def __call__(self, alpha: Any, sigma: Any) -> Any:
        alpha, sigma = _checked_scales(alpha, sigma)
        try:
            p, q = self.weights(alpha, sigma)
            return -sigma / (alpha * q - sigma * p)
        except (ZeroDivisionError, OverflowError):
            _raise_unknown(alpha, sigma)


def _from_weights(
    weights: Callable[[Any, Any], tuple[Any, Any]], c_in: Column = _one
) -> Parameterization:
    """Return the parameterization whose perfect network predicts p x0 + q eps."""
    return Parameterization(_OfX(weights), _OfOutput(weights), c_in, weights)


@dataclass(frozen=True)
class _Preconditioning:
    """p and q of EDM's network, for data of the standard deviation `data`."""

    data: float

    def spread(self, alpha: Any, sigma: Any) -> Any:
        """Return the standard deviation of x."""
        return (sigma**2 + (alpha * self.data) ** 2) ** 0.5

    def __call__(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        r = self.spread(alpha, sigma)
        return sigma / (self.data * r), -alpha * self.data / r


@dataclass(frozen=True)
class _UnitVariance:
    """c_in of EDM's network: brings x to unit variance."""

    preconditioning: _Preconditioning

    def __call__(self, alpha: Any, sigma: Any) -> Any:
        alpha, sigma = _checked_scales(alpha, sigma)
        try:
            return 1 / self.preconditioning.spread(alpha, sigma)
        except (ZeroDivisionError, OverflowError):
            _raise_unknown(alpha, sigma)


def edm(sigma_data: float = 0.5) -> Parameterization:
    """Return EDM's preconditioning: the network inside D(x, sigma), whose input has unit variance.

    Where alpha is 1: c_skip = sd² / R², c_out = sigma sd / R, c_in = 1 / R, R² = sigma² + sd². The
    network is given the schedule's timestep, which is sigma on `Schedule.karras`. A network that
    needs ln(sigma) / 4 must compute it itself.

    Args:
        sigma_data: sd, the standard deviation of the data, above 0. `"edm"` stands for 0.5.

    Raises:
        TypeError: `sigma_data` is not a number.
        ValueError: `sigma_data` is not between 1e-60 and 1e60.

    Example:
        >>> from schedalg import edm
        >>> edm(0.5).c_in(1.0, 2.0) == (2.0**2 + 0.5**2) ** -0.5
        True

    Source: Karras et al., arXiv 2206.00364, table 1 and equation 7.
    """
    data = positive_number("sigma_data", sigma_data)
    if not 1e-60 < data < 1e60:
        raise ValueError(f"sigma_data must be between 1e-60 and 1e60, got {data!r}")

    preconditioning = _Preconditioning(data)
    return _from_weights(preconditioning, _UnitVariance(preconditioning))


#: Noise; data; velocity (Salimans and Ho, arXiv 2202.00512, section 4); velocity of a straight flow
#: (Lipman et al., arXiv 2210.02747); gradient of log p(x) (Song et al., arXiv 2011.13456); EDM.
PARAMETERIZATIONS: dict[Prediction, Parameterization] = {
    "epsilon": _from_weights(lambda alpha, sigma: (0.0, 1.0)),
    "x0": Parameterization(
        lambda alpha, sigma: 0.0, lambda alpha, sigma: 1.0, weights=lambda alpha, sigma: (1.0, 0.0)
    ),
    "v": _from_weights(lambda alpha, sigma: (-sigma, alpha)),
    "flow": _from_weights(lambda alpha, sigma: (-1.0, 1.0)),
    "score": _from_weights(lambda alpha, sigma: (0.0, -1 / sigma)),
    "edm": edm(),
}


#: What other libraries call them.
_ELSEWHERE: dict[str, Prediction] = {
    "eps": "epsilon",
    "noise": "epsilon",
    "start_x": "x0",
    "sample": "x0",
    "v_prediction": "v",
    "v-prediction": "v",
    "flow_prediction": "flow",
    "flow_matching": "flow",
}


def parameterization(prediction: object, name: str = "prediction") -> Parameterization:
    """Return the parameterization with that name, or a `Parameterization` unchanged.

    Args:
        prediction: A name, or a `Parameterization`.
        name: What an error calls it.

    Raises:
        ValueError: The name is unknown, or `prediction` is of another type.
    """
    if isinstance(prediction, Parameterization):
        return prediction
    if isinstance(prediction, str) and prediction in PARAMETERIZATIONS:
        return PARAMETERIZATIONS[prediction]
    allowed = ", ".join(map(repr, get_args(Prediction)))
    meant = _ELSEWHERE.get(prediction) if isinstance(prediction, str) else None
    hint = f", which is called {meant!r} here" if meant else ""
    if prediction is edm:
        hint = ", which returns one: edm(sigma_data)"
    raise ValueError(
        f"{name} must be one of {allowed}, or a Parameterization; got {shown(prediction)}{hint}"
    )


def _is_number(value: Any) -> bool:
    if is_array(value):
        return bool(value.ndim == 0)
    return isinstance(value, numbers.Real)


def convert(
    output: Array,
    x: Array,
    point: NoiseLevel,
    source: Prediction | Parameterization,
    target: Prediction | Parameterization,
) -> Array:
    """Return a network's output in another parameterization, such as epsilon as v.

    ((p' q - q' p) x + D' output) / D, with p, q, D of the source, and p', q', D' of the target.

    Args:
        output: (B, ...), the network's output at x.
        x: (B, ...), noisy data in the scale that the network was trained in (before c_in).
        point: The noise level of x, in that scale.
        source: What `output` predicts.
        target: What the result predicts.

    Returns:
        An array like output.

    Raises:
        TypeError: `output` and `x` are not real floating-point arrays of one library, or `point`
            has no alpha and sigma.
        ValueError: The shapes differ, a parameterization is unknown, or the source's output does
            not determine the target's at this point (epsilon at zero signal, a score at no noise).

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, convert
        >>> s = Schedule.linear(1000)
        >>> x0, eps = np.array([[0.5]]), np.array([[-1.0]])
        >>> x = s.add_noise(x0, eps, 300)
        >>> convert(eps, x, s[300], "epsilon", "x0").round(12)
        array([[0.5]])
    """
    check_sample("x", x)
    check_like("output", output, x)
    readings = parameterization(source, "source"), parameterization(target, "target")
    scales = [getattr(point, name, None) for name in ("alpha", "sigma")]
    if is_array(point) or not all(_is_number(scale) for scale in scales):
        raise TypeError(f"point must be a Point, got {described(point)}")
    alpha, sigma = (multiplier(scale, x) for scale in scales)
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            (p, q), (other_p, other_q) = (r.weights_at(alpha, sigma) for r in readings)
            determinant = alpha * q - sigma * p
            of_x = multiplier((other_p * q - other_q * p) / determinant, x)
            of_output = multiplier((alpha * other_q - sigma * other_p) / determinant, x)
    except (ZeroDivisionError, OverflowError, ValueError):
        of_x = of_output = math.nan
    if not all(np.isfinite(to_host(c) if is_array(c) else c) for c in (of_x, of_output)):
        raise ValueError(
            f"{source!r} does not determine {target!r} where alpha is {alpha} and sigma is {sigma}"
        )
    return of_x * x + of_output * output
