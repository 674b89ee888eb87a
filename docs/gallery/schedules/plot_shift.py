"""
What a shift does
=================

``shift(a)`` divides the SNR of every point by a², as networks of flow matching need for larger
images. On a flow it moves the times towards noise, and in log-SNR it is the same distance, 2 log
a, everywhere.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule

flow = Schedule.flow(28)
place = np.arange(1, 29)

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for a, marker in zip((1 / 3, 1, 3, 12), "v.^s", strict=True):
    shifted = flow.shift(a)
    axes[0].plot(place, shifted.sigma, marker=marker, markersize=4, label=f"shift({a:.3g})")
    axes[1].plot(place[:-1], shifted.to_log_snr()[:-1], marker=marker, markersize=4)
axes[0].set(title="t, from 0 for data to 1 for noise", xlabel="point of the schedule")
axes[1].set(title="log-SNR (at the last point: −∞)", xlabel="point of the schedule")
axes[0].legend()
figure.suptitle("A flow of 28 points, shifted: a larger shift takes more steps at high noise")
plt.show()
