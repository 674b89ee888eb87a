"""
Eight samplers, with 5 and with 50 calls
========================================

Every panel starts from the same 300 points of noise, and lines show the paths of 20 of them to the
data, which are eight peaks on a circle. With 5 calls of the network, the samplers differ, and
Heun's three long steps lead far away; with 50 calls all eight reach the peaks.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, network

from schedalg import DDIM, DDPM, DEIS, LMS, DPMSolverPP, Heun, TableSampler, UniPC, sample_steps

samplers: dict[str, TableSampler] = {"DDPM": DDPM(), "SDE-2M": DPMSolverPP(eta=1.0)}
samplers |= {"DDIM": DDIM(), "Heun": Heun(), "2M": DPMSolverPP(), "UniPC": UniPC()}
samplers |= {"DEIS": DEIS(), "LMS": LMS()}
x_T = np.random.default_rng(0).standard_normal((300, 2))

figure, axes = plt.subplots(4, 4, figsize=(9, 9.6), sharex=True, sharey=True)
for i, (name, sampler) in enumerate(samplers.items()):
    for axis, calls in zip(axes.reshape(8, 2)[i], (5, 50), strict=True):
        steps = (calls + 1) // 2 if name == "Heun" else calls
        plan = sampler.plan(BASE.subsample(steps=steps, spacing="log_snr"))
        path = np.stack([x_T, *sample_steps(network, plan.schedule, plan, x_T, noise=0)])
        axis.plot(path[:, :20, 0], path[:, :20, 1], "-", color="#56B4E9", linewidth=0.6)
        axis.scatter(*path[-1].T, s=3, color="#D55E00", zorder=2)
        axis.set_title(f"{name}, {plan.model_calls} calls")
        axis.set(aspect="equal", xlim=(-1.8, 1.8), ylim=(-1.8, 1.8))
figure.suptitle("From noise to eight peaks: all samplers reach them with 50 calls, few with 5")
plt.show()
