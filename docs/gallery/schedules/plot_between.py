"""
Between two kept timesteps
==========================

``Midpoint`` calls the network once within each step, at a noise level between two kept timesteps.
A respaced schedule knows the curve of the training, and finds the timestep there instead of on a
straight line.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Midpoint, Schedule

base = Schedule.cosine(1000)
fast = base.subsample(steps=10, spacing="trailing")
between = Midpoint().plan(fast)
t, level = between.timesteps[1], 2 * np.log(between.alpha[1] / between.sigma[1])
ends = fast.timesteps[-2:], fast.to_log_snr()[-2:]
wrong = np.interp(-level, -ends[1], ends[0])

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for axis in axes:
    axis.plot(base.timesteps, base.to_log_snr(), "-", color="#888888", label="the training's")
    axis.plot(fast.timesteps, fast.to_log_snr(), "o", color="black", label="kept timesteps")
    axis.plot(*ends, "--", label="straight line between two")
    axis.plot(t, level, "D", label=f"called here: timestep {t:.1f}")
    axis.plot(wrong, level, "x", markersize=9, label=f"on the line: {wrong:.1f}")
    axis.set(xlabel="timestep", ylabel="log SNR")
axes[1].set(xlim=(890, 1003), ylim=(-21, -2), title="the last step")
axes[0].set(title="all ten")
axes[0].legend()
figure.suptitle("The timestep of a noise level between two kept ones is that of the training")
plt.show()
