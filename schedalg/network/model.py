"""How a network is called, and how what it returns is read."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from schedalg.arrays import Array, is_array, type_name

#: A network: `model(x, timesteps, **kwargs)` with x (B, ...) and timesteps (B,). It returns an
#: array like x, and must not write to x.
Model: TypeAlias = Callable[..., Array]


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


def check_bare(what: str, output: object) -> None:
    """Raise if a network returned its output inside of something else.

    Raises:
        TypeError: It did.
    """
    if is_array(output):
        return
    if isinstance(output, tuple | list | Mapping) or hasattr(output, "sample"):
        raise TypeError(
            f"{what} is a {type_name(output)}, not an array: pass a function that returns the "
            "array in it, such as `lambda x, t: model(x, t)[0]`; for models of diffusers, "
            "`schedalg.interop.diffusers.network(model)`"
        )
