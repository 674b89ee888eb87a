"""
Fewer steps on the same curve
=============================

A subset of the timesteps keeps ᾱ where it is, on the curve that the network was trained on. Only
the noise that one step adds, β, is computed anew: a step over fifty timesteps adds that of all
fifty.
"""

import matplotlib.pyplot as plt

from schedalg import Schedule

base = Schedule.linear(1000)

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
axes[0].plot(base.timesteps, base.to_alphas_cumprod(), color="#888888", label="all 1000")
axes[1].semilogy(base.timesteps, base.to_betas(), color="#888888")
for steps, marker in ((100, "."), (20, "o"), (5, "s")):
    fast = base.subsample(steps=steps)
    axes[0].plot(fast.timesteps, fast.to_alphas_cumprod(), marker, label=f"{steps} of them")
    axes[1].plot(fast.timesteps, fast.to_betas(), marker)
axes[0].set(title="ᾱ, gathered", xlabel="timestep")
axes[1].set(title="β of each step, computed anew", xlabel="timestep")
axes[0].legend()
figure.suptitle("Respacing: all subsets lie on one curve of ᾱ, and longer steps have larger β")
plt.show()
