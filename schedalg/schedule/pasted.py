"""Lists of noise levels as other programs write them: either way round, a last 0, or as text."""

import re
from typing import Any

import numpy as np

from schedalg.arrays import Array, Namespace, has_values, to_host
from schedalg.checks import shown, table

#: What stands between two numbers of a text.
_BETWEEN = re.compile(r"[\s,;]+")


def numbers_of(name: str, text: str) -> list[float]:
    """Return the numbers of a text such as "14.6, 6.47, 0" or "[14.6 6.47 0.0]".

    Raises:
        ValueError: A part of it is not a number.
    """
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] in ("[]", "()"):
        stripped = stripped[1:-1]
    parts = [part for part in _BETWEEN.split(stripped) if part]
    values = []
    for k, part in enumerate(parts):
        try:
            values.append(float(part))
        except ValueError:
            raise ValueError(
                f"{name}[{k}] is {shown(part)}: a list in a text is of numbers, such as "
                "'14.6, 6.47, 0'"
            ) from None
    return values


def rising_levels(name: str, values: Any) -> tuple[Namespace, Array]:
    """Return noise levels from the least to the most noisy, without the 0 of clean data.

    Args:
        name: What they are called.
        values: A list of them, either way round, as an array, a sequence or a text. Traced ones run
            from the least to the most noisy, without 0, since they cannot be looked at.

    Raises:
        TypeError: They are not real numbers.
        ValueError: There are none, they are not 1-D, a text is not of numbers, or nothing but 0 is
            given.
    """
    xp, levels = table(name, numbers_of(name, values) if isinstance(values, str) else values)
    if not has_values(levels):
        return xp, levels
    host = to_host(levels)
    if len(host) > 1 and (np.diff(host) < 0).all():
        levels, host = xp.flip(levels), host[::-1]
    if host[0] != 0:
        return xp, levels
    if len(host) == 1:
        raise ValueError(f"{name} is 0 alone: the clean end is the origin, not a point")
    return xp, levels[1:]
