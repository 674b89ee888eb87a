"""The single numbers that schedules are made of: plain, or tensors whose gradient goes on.

`Schedule.karras(10, sigma_max=80.0)` is on NumPy arrays. If `sigma_max` is a tensor that requires a
gradient, or is traced by JAX, the schedule is on arrays of that tensor's library, and follows it.
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
    to_host,
)
from schedalg.checks import positive_number, real_number, shown
from schedalg.libraries import library_of
from schedalg.schedule.double_double import DoubleDouble, on_device_of, single


class Scalar(NamedTuple):
    """A number that a user passed in.

    Attributes:
        value: What it is, to be compared; None if it is traced and cannot be looked at.
        source: The same, or the tensor that a gradient goes back to.
    """

    value: float | None
    source: Any


def scalar(name: str, number: Any, check: Callable[[str, object], float] = real_number) -> Scalar:
    """Return a number, or a tensor of one that requires a gradient, once it is checked.

    Of a tensor that is traced and has no value, nothing but its shape and dtype is checked.

    Raises:
        TypeError: It is not a real number.
        ValueError: `check` refuses it.
    """
    library = library_of(number)
    if library is not None and not library.has_values(number):
        kinds = ("real floating", "integral")
        if number.shape != () or not namespace(number).isdtype(number.dtype, kinds):
            raise TypeError(f"{name} must be a real number, got {shown(number)}")
        return Scalar(None, number)
    if library is not None and library.requires_gradient(number):
        return Scalar(check(name, to_host(number)), number)
    value = check(name, number)
    return Scalar(value, value)


def shift_factor(name: str, value: object) -> float:
    """Return the factor of a shift as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is not between 1e-60 and 1e60.
    """
    number = positive_number(name, value)
    if not 1e-60 < number < 1e60:
        raise ValueError(f"{name} must be between 1e-60 and 1e60, got {number!r}")
    return number


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
