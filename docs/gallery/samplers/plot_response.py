"""
Which frequencies a sampler gets right
======================================

The spectrum of images falls like 1/f², and a plan's ``response`` is the exact variance that
samples have at each frequency. With ten calls, most of these plans leave too little of the high
frequencies, which are the fine details.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, DPMSolverPP, Schedule, TableSampler

base = Schedule.linear(1000)
frequency = np.arange(1, 65)
spectrum = 1 / frequency**2

samplers: dict[str, TableSampler] = {"DDIM": DDIM(), "2M": DPMSolverPP()}

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for axis, (name, sampler) in zip(axes, samplers.items(), strict=True):
    for spacing in ("trailing", "linspace", "quadratic", "karras", "log_snr"):
        plan = sampler.plan(base.subsample(steps=10, spacing=spacing))
        axis.loglog(frequency, plan.response(spectrum).variances / spectrum, label=spacing)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(title=name, xlabel="frequency", ylim=(0.05, 3))
axes[0].set_ylabel("variance of samples / of the data")
axes[0].legend(loc="lower left")
figure.suptitle("What ten calls make of a 1/f² spectrum: 1 is right, below 1 is too smooth")
plt.show()
