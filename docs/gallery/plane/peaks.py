"""Eight peaks on a circle in the plane, and the perfect network for them."""

import numpy as np

from schedalg import Schedule

#: The schedule that the network is for. Its timesteps may have fractions.
BASE = Schedule.linear(1000)
ANGLES = np.arange(8) * np.pi / 4
CENTRES = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
#: The standard deviation of each peak.
SPREAD = 0.1


def data(count: int, seed: int = 0) -> np.ndarray:
    """Return points (count, 2), drawn from all peaks alike."""
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(8, size=count)] + SPREAD * rng.standard_normal((count, 2))


def network(x: np.ndarray, timesteps: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
    """Return the expected noise in x.

    With alpha and sigma of the timestep and p_i the share of peak i in the density at x, it is
    Σ p_i sigma (x - alpha c_i) / (alpha² spread² + sigma²).

    Args:
        x: (B, 2).
        timesteps: (B,), those of `BASE`.
        label: (B,), the peak that a sample belongs to; -1 where it may belong to any.
    """
    log_snr = np.interp(timesteps, BASE.timesteps, BASE.to_log_snr())[:, None]
    alpha, sigma = (1 + np.exp(-log_snr)) ** -0.5, (1 + np.exp(log_snr)) ** -0.5
    variance = alpha**2 * SPREAD**2 + sigma**2
    away = x[:, None] - alpha[..., None] * CENTRES
    logits = -(away**2).sum(axis=2) / (2 * variance)
    if label is not None:
        allowed = (label[:, None] < 0) | (label[:, None] == np.arange(8))
        logits = np.where(allowed, logits, -np.inf)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(sigma / variance * (shares[..., None] * away).sum(axis=1))
