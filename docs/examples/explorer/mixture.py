"""Eight points on a circle, blurred: data in the plane for which the perfect network is known."""

from typing import Any

import numpy as np

from schedalg import Point

#: Standard deviation of each of the blurred points, which lie on a circle of radius 1.
WIDTH = 0.1


def centers(count: int = 8) -> np.ndarray:
    """Return the points on the circle, (count, 2)."""
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def data(count: int, generator: np.random.Generator) -> np.ndarray:
    """Return samples of the data, (count, 2)."""
    chosen = generator.integers(len(centers()), size=count)
    return centers()[chosen] + WIDTH * generator.standard_normal((count, 2))


def prediction(x: Any, t: Point) -> Any:
    """Return what a perfect network predicts at a noise level: the mean of x0, given x.

    If x0 is around the point m_k, then x = alpha x0 + sigma eps is normal around alpha m_k, with
    the variance v = alpha² w² + sigma² for the width w. With p_k the probability of that,

        x0 = Σ_k p_k (m_k + alpha w² (x - alpha m_k) / v),  p_k ∝ exp(-|x - alpha m_k|² / 2 v)
    """
    variance = (t.alpha * WIDTH) ** 2 + t.sigma**2
    away = x[:, None, :] - t.alpha * centers()
    log_share = -(away**2).sum(-1) / (2 * variance)
    share = np.exp(log_share - log_share.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    each = centers() + t.alpha * WIDTH**2 / variance * away
    return (share[..., None] * each).sum(axis=1)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the energy distance of two sets of samples, 0 for equal ones.

    With |·| the mean distance between the points of two sets, it is 2 |a, b| - |a, a| - |b, b|.
    """

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(((a[:, None] - b) ** 2).sum(-1)).mean())

    return 2 * mean(one, other) - mean(one, one) - mean(other, other)
