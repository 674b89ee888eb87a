"""
Spacings, side by side
======================

Each row of dots is a choice of 10 of 1000 timesteps by another rule. Rules that are even in
timesteps, above, leave wide gaps in log-SNR near clean data, where rules by noise level, below,
take small steps.
"""

import matplotlib.pyplot as plt

from schedalg import Schedule
from schedalg.schedule.spacing import IndexSpacing, NoiseSpacing

base = Schedule.scaled_linear(1000)
rules: list[IndexSpacing | NoiseSpacing] = [
    "trailing",
    "leading",
    "linspace",
    "simple",
    "sgm_uniform",
    "quadratic",
]
rules += ["linear_quadratic", "bong_tangent", "kl_optimal", "ays_sd15", "gits", "karras", "log_snr"]

figure, axes = plt.subplots(1, 2, figsize=(9, 4.8), sharey=True)
for row, rule in enumerate(rules):
    chosen = base.subsample(steps=10, spacing=rule)
    colour, marker = f"C{row % 7}", "osD^v<>P"[row % 8]
    axes[0].plot(chosen.timesteps, [row] * 10, marker, color=colour, markersize=5)
    axes[1].plot(chosen.to_log_snr(), [row] * 10, marker, color=colour, markersize=5)
axes[0].set(xlabel="timestep", yticks=range(len(rules)), yticklabels=rules)
axes[1].set(xlabel="log-SNR: clean on the left, noise on the right")
axes[1].invert_xaxis()
axes[0].invert_yaxis()
figure.suptitle("Ten of 1000 timesteps by thirteen rules, by timestep and by log-SNR")
plt.show()
