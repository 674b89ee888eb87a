"""
From data to noise, and the paths back
======================================

Shading shows the density of x from clean data, two peaks on the left, to pure noise on the right.
The lines are the paths of the probability flow, which a sampler without noise follows from right
to left.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule
from schedalg.testing import Mixture

data = Mixture([-0.8, 0.7], [0.15, 0.25], [0.4, 0.6])
schedule = Schedule.cosine(200)
x = np.linspace(-2.6, 2.6, 300)
columns = []
for point in schedule:
    spread = np.sqrt(point.alpha**2 * np.array(data.spreads) ** 2 + point.sigma**2)
    away = (x[:, None] - point.alpha * np.array(data.means)) / spread
    columns.append((data.weights * np.exp(-(away**2) / 2) / spread).sum(axis=1))
start = np.linspace(-2.2, 2.2, 15)
steps = [*range(0, 199, 8), 199]
paths = np.stack([data.flow(start, schedule[-1], schedule[i]) for i in steps])

figure, axis = plt.subplots()
axis.pcolormesh(
    np.arange(200), x, np.sqrt(np.stack(columns, axis=1)), cmap="Greys", rasterized=True
)
axis.plot(steps, paths, "-", color="#D55E00", linewidth=1)
axis.set(xlabel="timestep of 200", ylabel="x", ylim=(-2.6, 2.6))
axis.grid(visible=False)
figure.suptitle("The density of x from data (left) to noise (right), and the paths of the flow")
plt.show()
