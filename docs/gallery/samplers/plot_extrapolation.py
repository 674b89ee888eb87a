"""
Why a higher order overshoots
=============================

A multistep sampler draws a polynomial through its last predictions, and follows it over the next
step: a constant for order 1, a line for order 2, a parabola for order 3. With 6 steps the
prediction turns within one step, and the parabola misses it by most; with 24 it misses by least.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule
from schedalg.testing import Mixture

data = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
fine = Schedule.karras(400)
start = np.array([[0.3 * fine.prior_std]])
xs = [data.flow(start, fine[-1], point) for point in fine]
true = np.array([data.expectation(x, p).item() for x, p in zip(xs, fine, strict=True)])

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for axis, steps, k in zip(axes, (6, 24), (3, 14), strict=True):
    log_snr = Schedule.karras(steps).to_log_snr()[::-1]
    found = np.interp(log_snr, fine.to_log_snr()[::-1], true[::-1])
    axis.plot(fine.to_log_snr(), true, "-", color="#888888", label="the prediction")
    axis.plot(log_snr, found, "o", color="black", markersize=4, label="where it is called")
    over = np.linspace(log_snr[k], log_snr[k + 1], 50)
    for order in (1, 2, 3):
        last = slice(k - order + 1, k + 1)
        line = np.polyval(np.polyfit(log_snr[last], found[last], order - 1), over)
        axis.plot(over, line, linewidth=2.5, label=f"order {order}")
    axis.set(title=f"{steps} steps", xlabel="log SNR", xlim=(-6, 9), ylim=(-0.1, 0.9))
axes[0].set_ylabel("x0 that the network predicts")
axes[0].legend()
figure.suptitle("What orders 1, 2 and 3 expect of the prediction over the next step")
plt.show()
