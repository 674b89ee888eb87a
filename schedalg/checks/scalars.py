"""Numbers, flags and choices."""

import math
import numbers
import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import is_array
from schedalg.checks.arrays import check_constant, check_readable, host_values
from schedalg.checks.messages import shown

#: The most points, steps or repetitions: a schedule of so many takes about a gigabyte to make.
MOST = 10_000_000
#: No integer is as large; Python itself may refuse to write out one of more digits.
_BEYOND = 10**600


def number_or_infinity(name: str, value: object) -> float:
    """Return a real number, which may be `inf`, as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is NaN or -inf.
    """
    if isinstance(value, float | np.floating) and value == math.inf:
        return math.inf
    return real_number(name, value)


def flag(name: str, value: object) -> bool:
    """Return True or False as it is.

    Raises:
        TypeError: `value` is neither True nor False.
    """
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {shown(value)}")


def positive_integer(name: str, value: object) -> int:
    """Return a count of points, steps or repetitions as an int: from 1 to `MOST`.

    Raises:
        TypeError: `value` is not an integer, or is a bool.
        ValueError: `value` is less than 1 or more than `MOST`.
    """
    number = _whole(name, value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {shown(number)}")
    if number > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {shown(number)}")
    return number


def integer(name: str, value: object) -> int:
    """Return an integer of any integer type as an int.

    Raises:
        TypeError: `value` is not an integer, or is a bool.
        ValueError: `value` has more than 600 digits.
    """
    number = _whole(name, value)
    if not -_BEYOND < number < _BEYOND:
        raise ValueError(f"{name} must have at most 600 digits, got {shown(number)}")
    return number


def _whole(name: str, value: object) -> int:
    number: Any = value
    if type(value) is int:
        return value
    if not isinstance(value, bool | np.bool_) and "bool" not in str(getattr(value, "dtype", "")):
        try:
            return operator.index(number)
        except TypeError:
            pass
    raise TypeError(f"{name} must be an integer, got {shown(value)}")


def positive_number(name: str, value: object) -> float:
    """Return a finite number above zero as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is zero, negative, infinite or NaN.
    """
    number = real_number(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be above 0, got {number!r}")
    return number


def real_number(name: str, value: object) -> float:
    """Return a finite real number, or a 0-d array that holds one, as a float.

    Raises:
        TypeError: `value` is not a real number, or requires a gradient.
        ValueError: `value` is infinite or NaN.
    """
    number: Any = value
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, numbers.Real) and is_array(value):
        check_readable(name, value)
        check_constant(name, value)
        number = host_values(name, number)
        number = number.item() if number.ndim == 0 else None
    # A span of time is an integer of NumPy's.
    if isinstance(number, bool | np.bool_ | np.timedelta64) or not isinstance(number, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {shown(value)}")
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {result!r}")
    return result


def in_unit(name: str, value: object) -> float:
    """Return a number in (0, 1] as a float.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is not in (0, 1], or so small that float64 holds it with fewer digits.
    """
    number = positive_number(name, value)
    if number > 1:
        raise ValueError(f"{name} must be in (0, 1], got {number!r}")
    if number < sys.float_info.min:
        raise ValueError(f"{name} must be at least {sys.float_info.min:.4g}, got {number!r}")
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless the value is one of the choices.

    Raises:
        ValueError: It is not one of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {shown(value)}")
