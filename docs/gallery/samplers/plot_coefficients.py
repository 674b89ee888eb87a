"""
A sampler is a table
====================

Each row of a plan says how x changes after one call: it is multiplied by a, and the newest
prediction is added b0 times, the one before it b1 times, and noise c times. Here are the columns
of three samplers for the same 15 points.
"""

import matplotlib.pyplot as plt

from schedalg import DDIM, DPMSolverPP, Schedule, TableSampler

schedule = Schedule.linear(1000).subsample(steps=15, spacing="log_snr")
samplers: dict[str, TableSampler] = {"DDIM": DDIM(), "2M": DPMSolverPP()}
samplers["SDE-2M"] = DPMSolverPP(eta=1.0)

figure, axes = plt.subplots(1, 3, figsize=(9, 3.8), sharey=True)
for axis, (name, sampler) in zip(axes, samplers.items(), strict=True):
    sampler.plan(schedule).plot(axis)
    axis.set(title=name, xlabel="row: a call of the network")
figure.suptitle("Coefficients of three samplers' plans: a of x, b of predictions, c of noise")
plt.show()
