"""How a network is called, and how its output is checked and split."""

from collections.abc import Callable
from typing import Any, TypeAlias

from schedalg.arrays import Array, is_array
from schedalg.checks import check_like, is_like

#: A network: `model(x, timesteps, **kwargs)` with x (B, ...) and timesteps (B,). It returns an
#: array like x, and must not write to x.
Model: TypeAlias = Callable[..., Array]


def read_output(
    output: Any, x: Array, timestep: int | float | None = None
) -> tuple[Array, Array | None]:
    """Return what a network predicts, and its learned variance or None.

    Args:
        output: What the network returned.
        x: What the prediction must be like.
        timestep: Where the network was called, for the message; None: it is left out.

    Raises:
        TypeError: The output is not an array of x's library.
        ValueError: It has neither the shape of x nor twice its channels, or differs in dtype or
            device.
    """
    if is_like(output, x):
        return output, None
    prediction, variance = split(output, x)
    where = "" if timestep is None else f" at timestep {timestep}"
    check_like(f"model output{where}", prediction, x)
    return prediction, variance


def check_input_shape(x: Array, shape: Any) -> None:
    """Raise if the network changed the shape of its input.

    Raises:
        ValueError: It did.
    """
    if x.shape != shape:
        raise ValueError(
            f"model changed the shape of its input from {tuple(shape)} to {tuple(x.shape)}: it "
            "must not change its input"
        )


def split(output: Any, x: Array) -> tuple[Any, Array | None]:
    """Return a network's prediction and learned variance: the two halves of 2C channels.

    If the output does not have twice the channels of x, it is the prediction, and the variance is
    None.
    """
    if x.ndim < 2 or not is_array(output) or output.ndim != x.ndim:
        return output, None
    channels = x.shape[1]
    doubled = (x.shape[0], 2 * channels, *x.shape[2:])
    if tuple(output.shape) != doubled or channels == 0:
        return output, None
    return output[:, :channels, ...], output[:, channels:, ...]
