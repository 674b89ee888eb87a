"""
How much of each prediction is in the result
============================================

A sample is a weighted sum of the network's predictions and of noise, and the weights follow from
the plan alone. Compared with DDIM, methods of higher order give more weight to the last prediction
and less to the one before it.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, LMS, DPMSolverPP, Schedule, TableSampler, UniPC

schedule = Schedule.linear(1000).subsample(steps=20, spacing="log_snr")[7:17]
samplers: dict[str, TableSampler] = {
    "DDIM": DDIM(),
    "2M": DPMSolverPP(),
    "UniPC": UniPC(),
    "LMS": LMS(),
}

figure, axis = plt.subplots()
for i, (name, sampler) in enumerate(samplers.items()):
    weights = sampler.plan(schedule).weights().predictions
    place = np.arange(10) + 0.2 * (i - 1.5)
    axis.bar(
        place, weights, width=0.2, label=name, hatch=("", "//", "..", "xx")[i], edgecolor="white"
    )
axis.set_xticks(range(10), [f"{t:.0f}" for t in schedule.timesteps[::-1]])
axis.axhline(0, color="black", linewidth=0.8)
axis.set(xlabel="timestep of the prediction, the first call on the left", ylabel="weight")
axis.legend()
figure.suptitle("Weights of ten predictions in the result, for four samplers")
plt.show()
