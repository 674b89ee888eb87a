"""What a network's output means, as numbers: `x0 = c_x * x + c_out * output`.

Each parameterization is told the signal and noise scale in which the network was trained, and says
how to read its output there, and what the output should have been.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from schedalg.arrays import Array

#: The names that `prediction=` takes.
Prediction: TypeAlias = Literal["epsilon", "x0", "v"]


class Parameterization(NamedTuple):
    """How to read an output, and what to train it towards.

    Attributes:
        columns: (alpha, sigma) -> (c_x, c_out).
        target: (alpha, sigma, x0, noise) -> the output of a perfect network.
        needs_signal: Whether x0 cannot be recovered where alpha is 0.
    """

    columns: Callable[[Any, Any], tuple[Any, Any]]
    target: Callable[[Any, Any, Array, Array], Array]
    needs_signal: bool


def _epsilon_columns(alpha: Any, sigma: Any) -> tuple[Any, Any]:
    return 1 / alpha, -sigma / alpha


def _x0_columns(alpha: Any, sigma: Any) -> tuple[Any, Any]:
    return 0.0, 1.0


def _v_columns(alpha: Any, sigma: Any) -> tuple[Any, Any]:
    # alpha x - sigma v = (alpha² + sigma²) x0, whatever the scale.
    total = alpha**2 + sigma**2
    return alpha / total, -sigma / total


def _epsilon_target(alpha: Any, sigma: Any, x0: Array, noise: Array) -> Array:
    return noise


def _x0_target(alpha: Any, sigma: Any, x0: Array, noise: Array) -> Array:
    return x0


def _v_target(alpha: Any, sigma: Any, x0: Array, noise: Array) -> Array:
    return alpha * noise - sigma * x0


#: Noise, data, and velocity (Salimans and Ho, arXiv 2202.00512, section 4).
PARAMETERIZATIONS: dict[Prediction, Parameterization] = {
    "epsilon": Parameterization(_epsilon_columns, _epsilon_target, needs_signal=True),
    "x0": Parameterization(_x0_columns, _x0_target, needs_signal=False),
    "v": Parameterization(_v_columns, _v_target, needs_signal=False),
}


def parameterization(prediction: object) -> Parameterization:
    """Return the parameterization of that name.

    Raises:
        ValueError: There is none.
    """
    for name in get_args(Prediction):
        if prediction == name:
            return PARAMETERIZATIONS[name]
    allowed = ", ".join(map(repr, get_args(Prediction)))
    raise ValueError(f"prediction must be one of {allowed}; got {prediction!r}")
