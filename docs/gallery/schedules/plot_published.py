"""
Step lists that others have published
=====================================

Several papers publish lists of noise levels that were optimized for one network. For ten calls,
the lists take their smallest steps in the middle; Karras's rule takes them at high noise.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule
from schedalg.schedule.spacing import IndexSpacing, NoiseSpacing

base = Schedule.scaled_linear(1000)  # that of Stable Diffusion
names = ["Align Your Steps, SD 1.5", "Align Your Steps, SDXL", "GITS", "Karras", "trailing"]
lists: list[IndexSpacing | NoiseSpacing] = ["ays_sd15", "ays_sdxl", "gits", "karras", "trailing"]

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
for name, spacing, marker in zip(names, lists, "osD^v", strict=True):
    sigmas = base.subsample(steps=10, spacing=spacing).to_sigmas()[::-1]
    axes[0].semilogy(np.arange(10), sigmas, marker=marker, markersize=4, label=name)
    axes[1].plot(np.log(sigmas[:-1] / sigmas[1:]), marker=marker, markersize=4)
axes[0].set(title="noise level, sigma", xlabel="call")
axes[1].set(title="length of the step, in log sigma", xlabel="step")
axes[0].legend()
figure.suptitle("Noise levels of ten calls: three published lists and two rules of thumb")
plt.show()
