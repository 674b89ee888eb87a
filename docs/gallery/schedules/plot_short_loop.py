"""
A short loop and the long one
=============================

On the left, DDIM on a respaced schedule of 8 steps walks as the loop by hand over 8 of 1000
timesteps does, and not quite as the one over all of them. On the right, its distance from the end
of the exact flow falls with the number of steps.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, Schedule, sample_steps
from schedalg.testing import Mixture

data, base = Mixture([-0.8, 0.5], [0.25, 0.4]), Schedule.linear(1000)
x_T = np.array([[0.35]])


def walk(schedule: Schedule) -> np.ndarray:
    path = sample_steps(data.denoiser(schedule), schedule, DDIM(), x_T)
    return np.ravel([x_T, *path])


figure, axes = plt.subplots(1, 2, figsize=(9, 4))
fast = base.subsample(steps=8)
x, points = x_T, [x_T]
for t, s in pairwise(reversed([fast.origin, *fast])):  # by hand
    x0 = data.expectation(x, t)
    points.append(x := s.alpha * x0 + s.sigma / t.sigma * (x - t.alpha * x0))
at = [*fast.timesteps[::-1], 0]
axes[0].plot([*base.timesteps[::-1], 0], walk(base), "-", color="#888888", label="all 1000")
axes[0].plot(at, walk(fast), "o", markersize=9, fillstyle="none", label="respaced, 8")
axes[0].plot(at, np.ravel(points), "x", label="by hand, 8 of 1000")
axes[0].set(xlabel="timestep", ylabel="x", xlim=(1020, -20))
counts = [5, 8, 12, 20, 40, 80, 160]
true = data.flow(x_T, base[-1], base.origin)
axes[1].loglog(counts, [abs(walk(base.subsample(steps=n))[-1] - true.item()) for n in counts], "o-")
axes[1].set(xlabel="steps", ylabel="error at the end")
axes[1].set_xticks(counts, map(str, counts))
axes[1].minorticks_off()
axes[0].legend()
figure.suptitle("A respaced loop is a loop over fewer timesteps: exact noise levels, longer steps")
plt.show()
