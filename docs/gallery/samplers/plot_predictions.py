"""
What a network predicts, and what its errors do
===============================================

A prediction of noise, of v or of a flow is turned into one of the data before each step, and its
error is multiplied on the way. An error of epsilon grows without bounds as the noise does, one of
v is never multiplied by more than 1.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule
from schedalg.parameterization import PARAMETERIZATIONS

schedule = Schedule.cosine(1000)
alpha, sigma = schedule.alpha, schedule.sigma

figure, axis = plt.subplots()
for name in ("epsilon", "score", "v", "flow", "edm", "x0"):
    factor = np.abs(PARAMETERIZATIONS[name].c_out(alpha, sigma)) * np.ones(len(schedule))
    axis.semilogy(schedule.to_log_snr(), factor, label=name)
axis.set(xlabel="log-SNR: clean on the left, noise on the right", ylim=(1e-3, 1e3), xlim=(10, -10))
axis.set_ylabel("error of x0 / error of the output")
axis.legend()
figure.suptitle("By how much the error of a network's output is multiplied, for what it predicts")
plt.show()
