"""
Data on their way to noise
==========================

``add_noise`` brings data to any point of the schedule, as in training, and the network's
prediction of the data is their mean, given x. With much noise it is the mean of all peaks; with
less, it decides for one.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, data, network

from schedalg import convert

x0 = data(400)
noise = np.random.default_rng(1).standard_normal(x0.shape)

figure, axes = plt.subplots(1, 4, figsize=(9, 3), sharey=True)
for axis, t in zip(axes, (50, 200, 400, 800), strict=True):
    x = BASE.add_noise(x0, noise, t)
    predicted = convert(network(x, np.full(400, t)), x, BASE[t], "epsilon", "x0")
    axis.plot(*x.T, "o", markersize=2, color="#56B4E9", label="x")
    axis.plot(*predicted.T, "s", markersize=2, color="#D55E00", label="predicted x0")
    axis.set(title=f"timestep {t}", aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
axes[0].legend(loc="upper left", markerscale=2)
figure.suptitle("Data with more and more noise (blue), and what the network makes of them (red)")
plt.show()
