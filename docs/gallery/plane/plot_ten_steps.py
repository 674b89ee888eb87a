"""
Ten steps, dot by dot
=====================

Lines lead from noise (circles) to samples (squares), with a dot after each of ten steps. DDIM
follows the curved paths of the probability flow with an error in every step; DPM-Solver++ 2M
corrects its direction by the prediction before, and reaches the peaks.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, network

from schedalg import DDIM, DPMSolverPP, TableSampler, plot_trajectories, sample_steps

schedule = BASE.subsample(steps=10, spacing="log_snr")
samplers: dict[str, TableSampler] = {"DDIM": DDIM(), "DPM-Solver++ 2M": DPMSolverPP()}
x_T = np.random.default_rng(0).standard_normal((60, 2))

figure, axes = plt.subplots(1, 2, figsize=(9, 4.6))
for axis, (name, sampler) in zip(axes, samplers.items(), strict=True):
    plot_trajectories([x_T, *sample_steps(network, schedule, sampler, x_T)], axis)
    axis.set_title(name)
figure.suptitle("Sixty samples in ten steps, from noise (circles) to eight peaks (squares)")
plt.show()
