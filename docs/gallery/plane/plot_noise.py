"""
With noise in the steps, and without
====================================

All 40 samples start from the same point, and only the noise that the steps add differs.
``DDIM(eta=0)`` adds none, so that all end at the same point; ``eta=1`` is DDPM, and its samples
reach all peaks from there.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, data, network

from schedalg import DDIM, sample_steps

schedule = BASE.subsample(steps=50, spacing="log_snr")
x_T = np.tile([[0.8, -1.2]], (40, 1))

figure, axes = plt.subplots(1, 3, figsize=(9, 3.6), sharey=True)
for axis, eta in zip(axes, (0.0, 0.3, 1.0), strict=True):
    path = np.stack([x_T, *sample_steps(network, schedule, DDIM(eta=eta), x_T, noise=0)])
    axis.scatter(*data(1000).T, s=3, color="#BBBBBB")
    axis.plot(path[..., 0], path[..., 1], "-", color="#56B4E9", linewidth=0.4)
    axis.plot(*path[0, 0], "s", color="black", label="start")
    axis.plot(*path[-1].T, "o", markersize=4, color="#D55E00", label="samples")
    axis.set(title=f"DDIM(eta={eta:g})", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
axes[0].legend(loc="upper left")
figure.suptitle("40 samples from one start: more noise in the steps, more peaks that are reached")
plt.show()
