"""
Three scales of the same noise
==============================

Variance-preserving networks, variance-exploding ones and flows scale x in other ways, but their
noise levels can be the same. ``as_vp``, ``as_ve`` and ``as_flow`` change alpha and sigma, and
leave their ratio alone.
"""

import matplotlib.pyplot as plt

from schedalg import Schedule

base = Schedule.cosine(1000)

figure, axes = plt.subplots(1, 3, figsize=(9, 3.6))
scales = {"as_vp": base.as_vp(), "as_ve": base.as_ve(), "as_flow": base.as_flow()}
for axis, (name, schedule) in zip(axes, scales.items(), strict=True):
    axis.plot(schedule.to_log_snr(), schedule.alpha, "-", label="alpha, of the data")
    axis.plot(schedule.to_log_snr(), schedule.sigma, "--", label="sigma, of the noise")
    axis.set(title=f"{name}()", xlabel="log-SNR", ylim=(-0.1, 3 if name == "as_ve" else 1.1))
    axis.set_xlim(8, -8)
axes[0].legend(loc="center left")
figure.suptitle("x = alpha · data + sigma · noise, in three scales with the same SNR")
plt.show()
