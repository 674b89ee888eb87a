"""
What guidance does
==================

Samples of one class, the rightmost of eight peaks, are drawn with growing scales of
classifier-free guidance. Scale 0 ignores the class and scale 1 draws from it; larger scales push
the paths outside, away from what all classes have in common.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, data, network

from schedalg import ClassifierFreeGuidance, DPMSolverPP, sample_steps

schedule = BASE.subsample(steps=25, spacing="log_snr")
x_T = np.random.default_rng(0).standard_normal((300, 2))
cond, uncond = {"label": np.zeros(300)}, {"label": np.full(300, -1)}

figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), sharey=True)
for axis, scale in zip(axes, (0.0, 1.0, 3.0, 10.0), strict=True):
    guided = ClassifierFreeGuidance(network, scale, cond, uncond)
    path = np.stack([x_T, *sample_steps(guided, schedule, DPMSolverPP(), x_T)])
    axis.scatter(*data(1000).T, s=2, color="#BBBBBB")
    axis.plot(path[:, :30, 0], path[:, :30, 1], "-", color="#56B4E9", linewidth=0.6)
    axis.scatter(*path[-1].T, s=3, color="#D55E00", zorder=2)
    axis.set(title=f"scale {scale:g}", aspect="equal", xlim=(-2, 4), ylim=(-2.2, 2.2))
figure.suptitle("Guidance towards the right peak: paths bend further out as the scale grows")
plt.show()
