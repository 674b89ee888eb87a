"""
Noise that is the same in any batch
===================================

With a seed for each sample, sample 5 is the same alone, in a batch of 8 and in one of 64 in
reverse order. With a generator, as most programs have it, a sample depends on what else is in its
batch.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDPM, Schedule, initial_noise, sample_steps
from schedalg.testing import Mixture

data = Mixture([-0.8, 0.5], [0.1, 0.2])
schedule = Schedule.linear(1000).subsample(steps=60, spacing="log_snr")
batches = {"alone": [5], "of 8": list(range(8)), "of 64, reversed": list(range(63, -1, -1))}

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for kind, axis in zip(("a seed for each sample", "a generator"), axes, strict=True):
    for (name, seeds), line in zip(batches.items(), ("-", "--", ":"), strict=True):
        x = initial_noise(schedule, (len(seeds), 1), seeds)
        noise = seeds if axis is axes[0] else np.random.default_rng(0)
        steps = sample_steps(data.denoiser(schedule), schedule, DDPM(), x, noise=noise)
        path = [x[seeds.index(5), 0], *(x[seeds.index(5), 0] for x in steps)]
        axis.plot(path, linestyle=line, linewidth=2, label=name)
    axis.set(title=kind, xlabel="step", ylabel="x of sample 5")
axes[1].legend(title="batch")
figure.suptitle("Sample 5 in three batches: one path with seeds, three with a generator")
plt.show()
