"""
How likely data are
===================

``log_likelihood`` follows the density of data along the probability flow. For a mixture of two
peaks the true density is known, and with 20 steps the computed one lies on it.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Point, Schedule, log_likelihood
from schedalg.testing import Mixture

weights, means, spreads = [0.4, 0.6], [-0.8, 0.5], [0.25, 0.4]
data = Mixture(means, spreads, weights)
x = np.linspace(-1.8, 1.8, 61)[:, None]
true = sum(
    w * np.exp(-((x[:, 0] - m) ** 2) / (2 * s**2)) / np.sqrt(2 * np.pi * s**2)
    for w, m, s in zip(weights, means, spreads, strict=True)
)


def divergence(x: np.ndarray, point: Point) -> np.ndarray:
    above, below = data.expectation(x + 1e-4, point), data.expectation(x - 1e-4, point)
    return np.asarray((above - below)[:, 0] / 2e-4)


figure, axis = plt.subplots()
axis.plot(x[:, 0], true, "k-", label="true density")
for steps, marker in ((3, "s"), (5, "^"), (20, "o")):
    path = Schedule.from_log_snr(np.linspace(8, -10, steps + 1))
    nats = log_likelihood(data.denoiser(path), path, x, divergence=divergence).nats
    axis.plot(x[:, 0], np.exp(nats), marker, markerfacecolor="none", label=f"{steps} steps")
axis.set(xlabel="x", ylabel="density")
axis.legend()
figure.suptitle("The density of data by the probability flow, with the true one")
plt.show()
