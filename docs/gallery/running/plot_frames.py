"""
Frames at noise levels of their own
===================================

A video's frames can be sampled together, one after the other, or in between. Each picture is a
schedule matrix: its rows are calls of the network, its columns frames, and its colours the noise
level at which a frame is.
"""

import matplotlib.pyplot as plt
import numpy as np

from schedalg import DDIM, Schedule, frames

plan = DDIM().plan(Schedule.cosine(1000).subsample(steps=8))
offsets = {
    "all at once": [0] * 12,
    "pyramid": range(12),
    "blocks of four": np.repeat([0, 8, 16], 4),
}
offsets |= {"one by one": range(0, 96, 8)}

figure, axes = plt.subplots(1, 4, figsize=(9, 5))
for axis, (name, later) in zip(axes, offsets.items(), strict=True):
    matrix = frames(plan, list(later))
    levels = np.append(plan.sigma, 0.0)[np.maximum(matrix, 0)]  # after the last row: clean
    image = axis.imshow(levels, aspect="auto", cmap="cividis", vmin=0, vmax=1)
    axis.set(title=f"{name}: {len(matrix)}", xlabel="frame")
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.grid(visible=False)
axes[0].set_ylabel("call of the network")
figure.colorbar(image, ax=axes, label="sigma: 1 is noise, 0 is clean")
figure.suptitle("Four orders in which 12 frames are sampled, and their numbers of calls")
plt.show()
