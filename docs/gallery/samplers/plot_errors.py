"""
Error against calls, for every sampler and spacing
==================================================

The error is the distance of samples from the exact end of the probability flow, which is known for
a mixture of two peaks. With many calls, a higher order has the smaller error; with ten or fewer,
spacing matters more, and in some panels DDIM beats methods of higher order.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule, parse_sampler, parse_schedule, sample
from schedalg.testing import Mixture

samplers = ["DDIM()", "Heun()", "DPMSolverPP()", "DPMSolverPP(order=3)"]
samplers += ["UniPC()", "DEIS()", "LMS()", "IPNDM()"]
spacings = ["trailing", "leading", "linspace", "simple", "quadratic", "kl_optimal"]
spacings += ["sgm_uniform", "karras", "log_snr"]
data = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
x_T = np.random.default_rng(0).standard_normal((50, 1))
base = Schedule.linear(1000)
true = data.flow(x_T, base[-1], base.origin)

figure, axes = plt.subplots(3, 3, figsize=(9, 9), sharex=True, sharey=True)
for axis, spacing in zip(axes.flat, spacings, strict=True):
    for name, marker in zip(samplers, "osD^v<>P", strict=True):
        calls, errors = [], []
        for n in (5, 7, 10, 20, 40, 80):
            steps = (n + 1) // 2 if name == "Heun()" else n
            few = parse_schedule(f"linear(1000) | subsample(steps={steps}, spacing='{spacing}')")
            end = sample(data.denoiser(few), few, parse_sampler(name), x_T)
            calls.append(n)
            errors.append(((end - true) ** 2).mean() ** 0.5)
        axis.loglog(calls, errors, marker=marker, markersize=3, linewidth=1, label=name)
    axis.set(title=spacing, ylim=(1e-4, 2))
    axis.set_xticks([5, 10, 20, 40, 80], ["5", "10", "20", "40", "80"], minor=False)
    axis.minorticks_off()
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
axes[2, 0].set(xlabel="calls of the network", ylabel="error")
figure.suptitle("Error of eight samplers against calls of the network, for nine spacings")
plt.show()
