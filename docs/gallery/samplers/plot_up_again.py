"""
Samplers that go back up
========================

Most samplers walk down the noise levels once, with one call at each level, or two as Heun.
``Restart`` goes back up by adding noise and repeats a stretch, and ``RePaint`` repeats all
stretches.
"""

import matplotlib.pyplot as plt

from schedalg import DDPM, Heun, RePaint, Restart, Schedule, TableSampler

schedule = Schedule.karras(18)
samplers: dict[str, TableSampler] = {
    "DDPM": DDPM(),
    "Heun": Heun(),
    "Restart, a stretch 3 times": Restart(DDPM(), [(5, 12, 3)]),
    "RePaint": RePaint(jump_length=4, times=3),
}

figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharey=True)
for axis, (name, sampler) in zip(axes.flat, samplers.items(), strict=True):
    plan = sampler.plan(schedule)
    axis.semilogy(plan.sigma, "o-", markersize=3)
    axis.set(title=f"{name}: {plan.model_calls} calls", xlabel="call of the network")
axes[0, 0].set_ylabel("noise level, sigma")
axes[1, 0].set_ylabel("noise level, sigma")
figure.suptitle("The noise level at each call of the network: down once, or up again")
plt.show()
