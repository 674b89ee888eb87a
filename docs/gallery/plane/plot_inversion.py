"""
From data to noise, and back
============================

``plan.reversed()`` leads from each point of data to the noise from which DDIM would make it, and
the plan itself leads back. Every peak becomes a sector of the noise, and the points return with an
error that halves, or better, when the number of calls doubles.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, CENTRES, data, network

from schedalg import DDIM, run

x = data(600)
peak = np.argmin(((x[:, None] - CENTRES) ** 2).sum(axis=2), axis=1)
calls, errors = (10, 20, 40, 80, 160), []
for steps in calls:
    plan = DDIM().plan(BASE.subsample(steps=steps, spacing="log_snr"))
    noise = run(plan.reversed(), network, x)
    again = run(plan, network, noise)
    errors.append(((again - x) ** 2).mean() ** 0.5)

figure, axes = plt.subplots(1, 4, figsize=(11, 3.1))
for axis, title, points in zip(
    axes, ("data", "their noise", "again"), (x, noise, again), strict=False
):
    for i, marker in enumerate("osD^v<>P"):
        axis.plot(*points[peak == i].T, marker, markersize=2.5, color=f"C{i}")
    axis.set(title=title, aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
axes[3].loglog(calls, errors, "o-")
axes[3].set(title="error of both ways", xlabel="calls each way", xticks=calls, xticklabels=calls)
axes[3].minorticks_off()
figure.suptitle("Inversion by DDIM: each of the eight peaks becomes a sector of the noise")
plt.show()
