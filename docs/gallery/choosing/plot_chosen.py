"""
Steps chosen for a network
==========================

The error of a network at each noise level says what a step loses, and ``subsample(errors=...)``
finds the ten points of 1000 that lose least in all. They lie close together where the error rises
fast, and lose less than a third of what a rule of thumb loses.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule, network_errors
from schedalg.testing import Mixture

base = Schedule.linear(1000)
two_peaks = Mixture([-0.8, 0.5], [0.1, 0.2], [0.4, 0.6])
rng = np.random.default_rng(0)
peak = rng.random((64, 64)) < 0.4
x0 = np.where(peak, -0.8, 0.5) + np.where(peak, 0.1, 0.2) * rng.standard_normal((64, 64))
errors = network_errors(two_peaks.denoiser(base), base, x0)

rules = {"log_snr": base.subsample(steps=10, spacing="log_snr")}
rules |= {"karras": base.subsample(steps=10, spacing="karras")}
rules |= {"quadratic": base.subsample(steps=10, spacing="quadratic")}
rules |= {"chosen": base.subsample(steps=10, errors=errors)}

figure, axes = plt.subplots(2, 1, figsize=(8, 5.5), sharex=True, height_ratios=[3, 2])
axes[0].semilogy(base.to_log_snr(), errors, color="black")
for row, ((name, points), marker) in enumerate(zip(rules.items(), "osD^", strict=True)):
    axes[1].plot(points.to_log_snr(), [row] * 10, marker, label=name)
losses = [f"{name}: {points.excess(errors, than=base):.2f}" for name, points in rules.items()]
axes[1].set_yticks(range(4), losses)
axes[1].set(title="points, and what they lose in nats", xlabel="log-SNR", ylim=(-0.7, 3.7))
axes[0].set(title="error of the network", xlim=(10, -11))
figure.suptitle("Ten points by three rules, and those chosen for the network's errors")
plt.show()
