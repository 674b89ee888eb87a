"""
Named schedules
===============

A schedule says how fast data turn into noise, here for seven families of 1000 points each. The
log-SNR on the right shows both ends, which the ᾱ on the left hides.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule

schedules = {
    "linear": Schedule.linear(1000),
    "scaled_linear": Schedule.scaled_linear(1000),
    "cosine": Schedule.cosine(1000),
    "sigmoid": Schedule.sigmoid(1000),
    "laplace": Schedule.laplace(1000),
    "karras": Schedule.karras(1000),
    "flow": Schedule.flow(1000),
}
place = np.linspace(0, 1, 1000)

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for name, schedule in schedules.items():
    axes[0].plot(place, schedule.as_vp().to_alphas_cumprod(), label=name)
    axes[1].plot(place, schedule.to_log_snr())
for axis, title in zip(axes, ("ᾱ, the share of the signal", "log-SNR"), strict=True):
    axis.set(title=title, xlabel="place in the schedule, from data to noise")
axes[1].set_ylim(-15, 15)
axes[0].legend()
figure.suptitle("Seven families of schedules, from clean data on the left to noise on the right")
plt.show()
