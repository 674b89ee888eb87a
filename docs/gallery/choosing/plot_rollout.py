"""
Steps chosen along trajectories
===============================

A teacher takes 60 small steps, and ``choose_by_rollout`` finds the few points from which DDIM
stays closest to it. With the chosen points, seven calls do better than ten by any of the three
rules of thumb.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, Schedule, choose_by_rollout, sample, trajectories
from schedalg.testing import Mixture

data = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
base = Schedule.linear(1000)
fine = base.subsample(steps=60, spacing="log_snr")
rng = np.random.default_rng(0)
teacher = trajectories(data.denoiser(fine), fine, rng.standard_normal((16, 8)), DDIM().plan(fine))
x_T = rng.standard_normal((200, 1))  # others
true = data.flow(x_T, base[-1], base.origin)
counts = [4, 5, 7, 10, 14, 20]
found = {"chosen": [choose_by_rollout(teacher, n) for n in counts]}
found["trailing"] = [base.subsample(steps=n, spacing="trailing") for n in counts]
found["karras"] = [base.subsample(steps=n, spacing="karras") for n in counts]
found["log_snr"] = [base.subsample(steps=n, spacing="log_snr") for n in counts]

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for (rule, schedules), marker in zip(found.items(), "osD^", strict=True):
    ends = [sample(data.denoiser(few), few, DDIM(), x_T) for few in schedules]
    errors = [((end - true) ** 2).mean() ** 0.5 for end in ends]
    axes[0].loglog(counts, errors, marker=marker, label=rule)
    axes[1].plot(schedules[3].to_log_snr(), [rule] * 10, marker)
axes[0].set(title="error of samples", xlabel="calls of the network")
axes[0].set_xticks(counts, [str(n) for n in counts])
axes[0].minorticks_off()
axes[0].legend()
axes[1].set(title="ten points by each rule", xlabel="log-SNR", xlim=(10, -11))
figure.suptitle("DDIM with points chosen along a teacher's trajectories, and by rules of thumb")
plt.show()
