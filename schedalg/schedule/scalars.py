"""The single numbers that schedules are made of: plain, or tensors whose gradient goes on.

`Schedule.karras(10, sigma_max=80.0)` is on NumPy arrays. If `sigma_max` is a tensor that requires a
gradient, the schedule is on arrays of that tensor's library, and the gradient follows it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import (
    Namespace,
    device,
    is_array,
    namespace,
    real_dtype,
    requires_gradient,
    to_host,
)
from schedalg.checks import real_number
from schedalg.schedule.double_double import DoubleDouble, on_device_of, single


class Scalar(NamedTuple):
    """A number that a user passed in.

    Attributes:
        value: What it is, to be checked and compared.
        source: The same, or the tensor that a gradient goes back to.
    """

    value: float
    source: Any


def scalar(
    name: str, number: object, check: Callable[[str, object], float] = real_number
) -> Scalar:
    """Return a number, or a tensor of one that requires a gradient, once it is checked.

    Raises:
        TypeError: It is not a real number.
        ValueError: `check` refuses it.
    """
    if requires_gradient(number):
        return Scalar(check(name, to_host(number)), number)
    value = check(name, number)
    return Scalar(value, value)


def arrays_of(*scalars: Scalar) -> tuple[Namespace, list[DoubleDouble]]:
    """Return numbers as arrays (1,): of the library that requires a gradient, or else of NumPy.

    Raises:
        TypeError: Numbers of two libraries require a gradient.
    """
    sources = [scalar.source for scalar in scalars if is_array(scalar.source)]
    if not sources:
        return np, [single(np.array([scalar.value])) for scalar in scalars]
    xp, place = namespace(*sources), device(sources[0])
    like = xp.empty((1,), dtype=real_dtype(xp, place), device=place)
    arrays = [
        single(xp.reshape(xp.astype(scalar.source, like.dtype, copy=False), (1,)))
        if is_array(scalar.source)
        else on_device_of(xp, like, single(np.array([scalar.value])))
        for scalar in scalars
    ]
    return xp, arrays
