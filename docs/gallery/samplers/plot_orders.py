"""
Orders where users are
======================

The same sampler in its orders 1, 2 and 3, on three paths from noise to clean data. An order is the
slope of its line far to the right; between 6 and 20 calls, in grey, lines cross, and the end of the
path or its start sets the slope.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DPMSolverPP, Schedule, sample
from schedalg.testing import Mixture

data = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
base = Schedule.scaled_linear(1000)
paths: dict[str, Callable[[int], Schedule]]
paths = {"Schedule.karras": Schedule.karras, "Schedule.flow": Schedule.flow}
paths["trailing, of 1000"] = lambda steps: base.subsample(steps=steps, spacing="trailing")

figure, axes = plt.subplots(1, 3, figsize=(9, 3.8), sharey=True)
for axis, (title, path) in zip(axes, paths.items(), strict=True):
    for order, marker in zip((1, 2, 3), "osD", strict=True):  # order 1 is DDIM
        sampler = DPMSolverPP(order=order, exact=order == 3)
        counts, errors = [5, 6, 8, 10, 14, 20, 30, 45, 70, 100, 150], []
        for schedule in map(path, counts):
            x = data.marginal_std(schedule[-1]) * np.linspace(-2, 2, 41)[None, :]
            away = sample(data.denoiser(schedule), schedule, sampler, x)
            away -= data.flow(x, schedule[-1], schedule.origin)
            errors.append((away**2).mean() ** 0.5)
        axis.loglog(counts, errors, marker=marker, markersize=3, label=f"order {order}")
    axis.axvspan(6, 20, color="#888888", alpha=0.2)
    axis.set(title=title, xlabel="calls of the network", ylabel="error")
    axis.label_outer()
    axis.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axis.minorticks_off()
axes[0].legend()
figure.suptitle("Error of orders 1, 2 and 3: their lines cross where calls are few")
plt.show()
