"""
Requests that share a network's calls
=====================================

Twelve requests with 5, 10 or 20 steps arrive one after the other, and a ``Pool`` takes each into
the batch at once. Every column is one call of the network, for all requests that are in it.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, Pool, Schedule

base = Schedule.linear(1000)
calls: list[list[tuple[int, float]]] = []


def network(x: np.ndarray, timesteps: np.ndarray, request: np.ndarray) -> np.ndarray:
    calls.append([(int(r), float(t)) for r, t in zip(request, timesteps, strict=True)])
    return 0.1 * x


pool = Pool(network, shape=(3, 8, 8), capacity=6)
rng = np.random.default_rng(1)
for request in range(12):
    while len(pool) == pool.capacity or (len(pool) and rng.random() < 0.6):
        pool.step()
    steps = int(rng.choice([5, 10, 20]))
    pool.add(DDIM().plan(base.subsample(steps=steps)), seed=request, request=request)
pool.drain()

dots = np.array([(call, *one) for call, batch in enumerate(calls) for one in batch])
figure, axis = plt.subplots()
scatter = axis.scatter(dots[:, 0], dots[:, 1], c=dots[:, 2], marker="s", s=34, cmap="cividis")
axis.set(xlabel="call of the network", ylabel="request", yticks=range(12))
axis.invert_yaxis()
figure.colorbar(scatter, label="timestep")
figure.suptitle("A pool: each request joins when it arrives and leaves when it is done")
plt.show()
