"""
Named schedules
===============

A schedule says how fast noise turns into data, here for seven families of 1000 points each, in the
order of sampling. The log-SNR on the right shows both ends, which ᾱ on the left hides.
"""

import matplotlib.pyplot as plt

from schedalg import Schedule, plot_schedules

schedules = {
    "linear": Schedule.linear(1000),
    "scaled_linear": Schedule.scaled_linear(1000),
    "cosine": Schedule.cosine(1000),
    "sigmoid": Schedule.sigmoid(1000),
    "laplace": Schedule.laplace(1000),
    "karras": Schedule.karras(1000).as_vp(),
    "flow": Schedule.flow(1000).as_vp(),
}

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
plot_schedules(schedules, axes[0], quantity="alphas_cumprod", against="step")
plot_schedules(schedules, axes[1], quantity="log_snr", against="step")
axes[1].set_ylim(-15, 15)
axes[1].get_legend().remove()
figure.suptitle("Seven families of schedules, from noise on the left to clean data on the right")
plt.show()
