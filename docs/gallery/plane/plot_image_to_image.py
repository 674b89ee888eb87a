"""
Image to image: how far up to start
===================================

Points on a square are noised up to a part of the schedule, ``schedule[:k]``, and sampled from
there. A start low in the schedule keeps the square almost as it is, and a start near its end keeps
nothing of it.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, data, network

from schedalg import DPMSolverPP, sample

schedule = BASE.subsample(steps=50, spacing="log_snr")
side = np.linspace(-0.8, 0.8, 40, endpoint=False)
square = np.concatenate([(1j**i * (side + 0.8j)) for i in range(4)])
square = np.stack([square.real, square.imag], axis=1)
noise = np.random.default_rng(0).standard_normal(square.shape)

figure, axes = plt.subplots(1, 4, figsize=(9, 3.1), sharey=True)
for axis, share in zip(axes, (0.2, 0.4, 0.6, 1.0), strict=True):
    k = round(share * len(schedule))
    result = sample(network, schedule[:k], DPMSolverPP(), schedule.add_noise(square, noise, k - 1))
    axis.scatter(*data(1000).T, s=2, color="#BBBBBB")
    axis.plot(*np.stack([square, result]).transpose(2, 0, 1), "-", color="#56B4E9", linewidth=0.5)
    axis.plot(*square.T, "s", markersize=2, color="#0072B2")
    axis.plot(*result.T, "o", markersize=2, color="#D55E00")
    axis.set(title=f"{share:.0%} of the points", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
figure.suptitle("Image to image from a square (blue) to samples (red): a higher start keeps less")
plt.show()
