"""
Parallel sampling
=================

``parallel`` guesses x at all 50 steps and corrects the guesses in sweeps, each one large call of
the network. Colour is the error of a step's x in a sweep: with every sweep more steps are right,
and those that are done (white) are left out of the next one.
"""

import matplotlib.pyplot as plt
import numpy as np
from peaks import BASE, network

from schedalg import DDIM, parallel, sample_steps

plan = DDIM().plan(BASE.subsample(steps=50))
x_T = np.random.default_rng(0).standard_normal((32, 2))
true = np.stack([x_T, *sample_steps(network, plan.schedule, plan, x_T)])[:-1]
sweeps: list[np.ndarray] = []


def recorded(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    sweeps.append(x.reshape(-1, 32, 2))  # of all steps that are not done
    return network(x, timesteps)


parallel(plan, recorded, x_T, tolerance=1e-9)
errors = np.full((len(sweeps), len(plan)), np.nan)
for i, x in enumerate(sweeps):
    errors[i, -len(x) :] = ((x - true[-len(x) :]) ** 2).mean(axis=(1, 2)) ** 0.5

figure, axis = plt.subplots()
image = axis.imshow(np.log10(errors + 1e-17), aspect="auto", cmap="cividis", vmin=-12, vmax=0)
axis.set(xlabel="step", ylabel="sweep")
figure.colorbar(image, label="log10 of the error")
figure.suptitle(f"Fifty steps in {len(sweeps)} sweeps: the error of each step in each sweep")
plt.show()
