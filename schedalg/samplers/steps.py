"""What a step from one point to another does to the signal-to-noise ratio."""

from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg import path
from schedalg.arrays import namespace

if TYPE_CHECKING:
    from schedalg.point import Point


def snr_change(t: "Point", s: "Point") -> tuple[Any, Any]:
    """Return 1 - SNR_t/SNR_s and sqrt(SNR_t/SNR_s), in (0, 1] and [0, 1).

    Both are exact to a few ulp however short the step, and the same in every scale.

    Args:
        t: The point that the step leaves.
        s: The point that it reaches, not clean.
    """
    if t.level is None or s.level is None:
        root = (t.alpha / s.alpha) * (s.sigma / t.sigma)
        return max((1 - root) * (1 + root), 0.0), root
    if isinstance(t.level.high, float):
        drop = float(path.snr_drop(np, t.level, s.level))
        return drop, float(path.snr_root(np, t.level, s.level))
    xp, dtype = namespace(t.level.high), t.alpha.dtype
    return (
        xp.astype(path.snr_drop(xp, t.level, s.level), dtype),
        xp.astype(path.snr_root(xp, t.level, s.level), dtype),
    )
