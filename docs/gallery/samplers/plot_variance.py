"""
The variance that fits
======================

In a long step, DDPM adds too little noise with "fixed_small" and too much with "fixed_large". With
the network's measured errors, ``DDPM(variance=(base, errors))`` adds as much as is missing, and
Gaussian data get their variance with any number of steps.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDPM, Schedule

base = Schedule.linear(1000)
spread = 0.5  # of the data
errors = spread**2 / (1 + spread**2 / base.to_sigmas() ** 2)  # of the perfect network
samplers = {"fixed_small": DDPM("fixed_small"), "fixed_large": DDPM("fixed_large")}
samplers |= {"that fits": DDPM((base, errors))}
counts = np.array([3, 5, 10, 20, 50, 100, 200])

figure, axis = plt.subplots()
for (name, sampler), marker in zip(samplers.items(), "osD", strict=True):
    plans = [sampler.plan(base.subsample(steps=n, spacing="log_snr")) for n in counts]
    got = [plan.response([spread**2]).variances[0] for plan in plans]
    axis.semilogx(counts, got, marker=marker, label=name)
axis.axhline(spread**2, color="black", linewidth=0.8, label="of the data")
axis.set(xlabel="calls", ylabel="variance of samples", xticks=counts, xticklabels=counts)
axis.minorticks_off()
axis.legend()
figure.suptitle("Variance of DDPM's samples of Gaussian data, with three variances of a step")
plt.show()
