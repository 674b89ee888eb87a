"""The points that a caller of `from_diffusers` requests."""

from typing import Any, NamedTuple

import numpy as np

from schedalg.checks import host_numbers, positive_integer, real_number


class Request(NamedTuple):
    """The requested points; those of training if nothing is given.

    Attributes:
        steps: Their number.
        timesteps: Their timesteps, falling; a float64 array.
        sigmas: Their noise levels, falling; a float64 array.
        mu: The dynamic shift of a flow.
    """

    steps: int | None
    timesteps: np.ndarray | None
    sigmas: np.ndarray | None
    mu: float | None


def checked_request(steps: Any, timesteps: Any, sigmas: Any, mu: Any) -> Request:
    """Return the arguments of `from_diffusers` that select points.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, or contradicts another.
    """
    request = Request(
        None if steps is None else positive_integer("steps", steps),
        None if timesteps is None else falling("timesteps", timesteps),
        None if sigmas is None else falling("sigmas", sigmas, still=True),
        None if mu is None else real_number("mu", mu),
    )
    given = {"timesteps": request.timesteps, "sigmas": request.sigmas}
    lengths = {name: len(values) for name, values in given.items() if values is not None}
    if steps is not None and lengths:
        raise ValueError(f"give steps= or {next(iter(lengths))}=, not both")
    if len(set(lengths.values())) > 1:
        n, m = lengths.values()
        raise ValueError(f"timesteps and sigmas differ in length: {n} and {m}")
    return request


def falling(name: str, values: object, *, still: bool = False) -> np.ndarray:
    """Return numbers that fall strictly, as diffusers lists them, as a float64 array.

    Args:
        name: The argument.
        values: The numbers.
        still: Whether the last may be the one before it: a last step of no length.

    Raises:
        TypeError: `values` does not hold real numbers.
        ValueError: `values` is empty, not finite, not 1-D, or does not fall.
    """
    array = host_numbers(name, values).astype(np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers, at least one; got {array.tolist()}")
    rise = np.diff(array) >= 0
    if still and len(array) > 2 and array[-1] == array[-2]:
        rise[-1] = False
    if rise.any():
        k = int(np.argmax(rise)) + 1
        raise ValueError(
            f"{name}[{k}] is {array[k]:g}, after {array[k - 1]:g}: list them from most to least "
            "noisy, as diffusers does"
        )
    return array
