"""
Zero terminal SNR
=================

Stable Diffusion's schedule ends with a little signal left, which over 64 by 64 pixels adds up and
shows the network how bright the image is. Pure noise as a start says "neither dark nor bright",
and so the brightness of samples varies too little; after ``rescale_zero_terminal_snr`` no signal
is left, and it varies as that of the data.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, Schedule, sample
from schedalg.testing import Mixture

base = Schedule.scaled_linear(1000)
side = 64  # the mean of all pixels, times `side`, has noise of variance 1 at alpha = 0
brightness = Mixture([0.0], [0.5 * side])
x_T = np.random.default_rng(0).standard_normal((10_000, 1))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
bins = np.linspace(-1.6, 1.6, 65)
axes[1].hist(0.5 * x_T, bins, color="#CCCCCC", label="data")
for name, schedule in {"as trained": base, "rescaled": base.rescale_zero_terminal_snr()}.items():
    few = schedule.subsample(steps=50)
    samples = sample(brightness.denoiser(few), few, DDIM(), x_T) / side
    (line,) = axes[0].plot(schedule.timesteps, schedule.alpha, label=name)
    axes[1].hist(samples, bins, histtype="step", linewidth=2, label=name, color=line.get_color())
axes[0].set(title="alpha, the signal in x", xlabel="timestep")
axes[1].set(title="brightness of samples", xlabel="mean of all pixels", yticks=[])
axes[1].legend()
figure.suptitle("Without signal at the end, the brightness of samples is that of the data")
plt.show()
