"""`descent`: down a smooth function by its gradient."""

from collections.abc import Callable, Iterator

import numpy as np


def descent(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]],
    x: np.ndarray,
    value: float,
    slope: np.ndarray,
    rounding: Callable[[], float],
) -> Iterator[np.ndarray]:
    """Yield one lower point after another by BFGS, with steps halved until the value falls.

    Args:
        function: Returns its value and its gradient, (P,). Infinity where there is no value.
        x: Where to begin, (P,).
        value: The value there.
        slope: The gradient there.
        rounding: Returns what share of a value may be rounding alone.

    Source: Nocedal and Wright, Numerical Optimization, algorithms 3.1 and 6.1.
    """
    if not slope.any():
        return
    one = np.eye(len(x))
    inverse = one * (0.25 / np.abs(slope).max())
    first = True
    while True:
        step = -inverse @ slope
        step /= max(1.0, float(np.abs(step).max()))
        fall = float(step @ slope)
        if fall > -rounding() * abs(value):
            return
        size = 1.0
        while True:
            after, slope_after = function(x + size * step)
            if after <= value + 1e-4 * size * fall:
                break
            size /= 2
            if size < 1e-9:
                return
        change, turn = size * step, slope_after - slope
        x, value, slope = x + change, after, slope_after
        yield x
        bend = float(change @ turn)
        if bend > 1e-12 * float(np.linalg.norm(change) * np.linalg.norm(turn)):
            if first:
                inverse, first = one * (bend / float(turn @ turn)), False
            left = one - np.outer(change, turn) / bend
            inverse = left @ inverse @ left.T + np.outer(change, change) / bend
