"""Spacings of noise levels, each by a formula of the last level and of the first: as in web UIs.

A noise level is sigma / alpha, and on a flow t = sigma, which these programs call sigma too. The
first and the last are arrays (1,), and may require a gradient.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from schedalg.arrays import Array, Namespace, device

#: (namespace, first level, last level, count) -> as many levels, the least noisy first.
LevelGrid: TypeAlias = Callable[[Namespace, Array, Array, int], Array]


def kl_optimal(xp: Namespace, first: Array, last: Array, n: int) -> Array:
    """Return levels whose arc tangents are evenly spaced; for n = 1, the last level.

    Shares of the angle are i/(n - 1), and 0 comes after them, as in ComfyUI. AUTOMATIC1111's are
    i/n for i from 0 to n, without a 0.

    Source: Sabour et al., arXiv 2404.14507, section 3; ComfyUI's `comfy/samplers.py` (its
    kl_optimal_scheduler).
    """
    if n == 1:
        return last
    u = _like(xp, last, np.arange(1, n - 1) / (n - 1))
    angle, rest = (
        (1 - u) * xp.atan(a) + u * xp.atan(b) for a, b in ((first, last), (1 / first, 1 / last))
    )
    # Of an angle near 90°, the tangent is found from what is left of that.
    inner = xp.where(angle < rest, xp.tan(angle), 1 / xp.tan(rest))
    return xp.concat([first, inner, last])


def linear_quadratic(xp: Namespace, first: Array, last: Array, n: int) -> Array:
    """Return levels that fall linearly by 2.5 % in the first half of the steps, then quadratically.

    Source: Genmo's mochi, `infer.py` (its linear_quadratic_schedule).
    """
    drop, linear = 0.025, n // 2
    if n == 1:
        return last
    slope, i = drop / linear, np.arange(n)
    rest = n - linear
    # From (linear, drop) with that slope to (n, 1).
    bend = (1 - drop - slope * rest) / rest**2
    fallen = np.where(i < linear, slope * i, drop + slope * (i - linear) + bend * (i - linear) ** 2)
    return last * _like(xp, last, 1 - fallen[::-1])


def bong_tangent(xp: Namespace, first: Array, last: Array, n: int) -> Array:
    """Return levels on two arc tangents: from the last level to half of it, and from there to 0.

    Source: ClownsharkBatwing's RES4LYF, `sigmas.py` (its bong_tangent_scheduler).
    """
    total = n + 2
    middle = int((total * 0.6 + total * 0.6) / 2)
    slope, pivot = 0.2 / (total / 40), int(total * 0.6)
    upper = _arc(middle, slope, pivot, 1.0, 0.5)
    lower = _arc(total - middle, slope, pivot - middle, 0.5, 0.0)
    return last * _like(xp, last, np.concatenate([upper, lower])[::-1])


def _arc(n: int, slope: float, pivot: int, start: float, end: float) -> np.ndarray:
    """Return -atan(slope (i - pivot)), for i from 0 to n - 2, scaled to run from start to end.

    The end itself would be at i = n - 1, and is left out.
    """
    arc = -np.arctan(slope * (np.arange(n) - pivot))
    return np.asarray((arc[:-1] - arc[-1]) / (arc[0] - arc[-1]) * (start - end) + end)


def _like(xp: Namespace, like: Array, values: np.ndarray) -> Array:
    return xp.asarray(np.ascontiguousarray(values), dtype=like.dtype, device=device(like))


#: By their names in `subsample`.
GRIDS: dict[str, LevelGrid] = {
    "kl_optimal": kl_optimal,
    "linear_quadratic": linear_quadratic,
    "bong_tangent": bong_tangent,
}
