"""
Fewer steps on the same curve
=============================

A subset of the timesteps keeps ᾱ, sigma and log-SNR where they are, on the curve that the network
was trained on. Only the noise that one step adds, β, is computed anew: a step over fifty timesteps
adds that of all fifty.
"""

import matplotlib.pyplot as plt

from schedalg import Schedule

fast = Schedule.linear(1000).subsample(steps=20)

figure, axes = plt.subplots(2, 2, figsize=(9, 6))
fast.plot(axes[0, 0], quantity="alphas_cumprod")
fast.plot(axes[0, 1], quantity="betas")
fast.plot(axes[1, 0], quantity="sigmas")
fast.plot(axes[1, 1], quantity="log_snr")
axes[0, 1].set_yscale("log")
figure.suptitle("20 of 1000 timesteps: on the same curves, except for β, the noise of a whole step")
plt.show()
