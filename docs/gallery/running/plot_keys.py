"""
A seed and a noise level make the noise
=======================================

On the left are the draws that DDPM adds in runs of 10 and of 20 steps with one seed: where both
arrive at a noise level, they add the same. On the right a path is walked at once, and in two calls
of ``sample_steps`` with the same seed, and with another seed for the second.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDPM, Schedule, initial_noise, sample_steps
from schedalg.testing import Mixture

base = Schedule.linear(1000)
x_T = initial_noise(base, (1, 1), 7)
figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for every, marker, size in ((100, "o", 9), (50, "x", 5)):
    plan = DDPM().plan(base.subsample(every=every))
    steps = sample_steps(lambda x, t: 0 * x, plan.schedule, plan, x_T, prediction="x0", noise=7)
    x = np.array([x_T, *steps]).ravel()
    drawn = (x[1:-1] - plan.a[:-1] * x[:-2]) / plan.c[:-1]  # x = a x + c z, as x0 is 0
    shown = axes[0].plot(plan.timesteps[1:], drawn, marker, markersize=size, fillstyle="none")
    shown[0].set_label(f"{len(plan)} steps")
axes[0].set(xlabel="timestep where the step arrives", ylabel="draw of one element", ylim=(-2.5, 4))

fast, data = base.subsample(steps=40), Mixture([-0.8, 0.5], [0.1, 0.2])
network = data.denoiser(fast)
whole = [x_T, *sample_steps(network, fast, DDPM(), x_T, noise=7)]
axes[1].plot(np.ravel(whole), "-", linewidth=3, color="#56B4E9", label="at once")
for seed, marker in ((7, "."), (8, "+")):
    half = sample_steps(network, fast[:20], DDPM(), whole[20], noise=seed)
    axes[1].plot(range(21, 41), np.ravel(list(half)), marker, label=f"second half, seed {seed}")
axes[1].set(xlabel="step", ylabel="x")
axes[0].legend(loc="upper left")
axes[1].legend(loc="upper right")
figure.suptitle("The same seed at the same noise level: the same draw, in any run")
plt.show()
