"""
Inpainting: one coordinate is known
===================================

The first coordinate is 0, and the samplers fill in the second one, whose true density is the black
curve. With ``inpaint``, which puts the known coordinate into every prediction, DDIM's samples
stray towards the middle; ``RePaint`` repeats its steps, and its samples are where the density is.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, SPREAD, network

from schedalg import DDIM, DDPM, Denoiser, RePaint, TableSampler, inpaint, sample

schedule = BASE.subsample(steps=30, spacing="log_snr")
known, mask = np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]])
half = inpaint(Denoiser(network, schedule), known, mask)
x_T = np.random.default_rng(0).standard_normal((2000, 2))
y = np.linspace(-1.6, 1.6, 400)
density = sum(np.exp(-((y - peak) ** 2) / (2 * SPREAD**2)) for peak in (-1, 1))

figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), sharey=True)
samplers: dict[str, TableSampler] = {
    "DDIM": DDIM(),
    "DDPM": DDPM(),
    "RePaint": RePaint(jump_length=5, times=10),
}
for axis, (name, sampler) in zip(axes, samplers.items(), strict=True):
    plan = sampler.plan(schedule)
    samples = sample(half, schedule, plan, x_T, noise=0)[:, 1]
    axis.hist(samples, bins=np.linspace(-1.6, 1.6, 49), density=True, color="#56B4E9")
    axis.plot(y, density / (2 * SPREAD * np.sqrt(2 * np.pi)), "k-", label="true density")
    axis.set(title=f"{name}, {plan.model_calls} calls", xlabel="second coordinate")
axes[0].legend(loc="upper center")
figure.suptitle("Inpainting: samples of the unknown coordinate, and its true density")
plt.show()
