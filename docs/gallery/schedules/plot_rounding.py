"""
Digits that rounding loses
==========================

The usual way to the β of a short loop is ``1 - ratio`` of two ᾱ, which come from ``cumprod``. The
relative error of that β, for 100 of 1000 steps, is shown for float32 and float64 beside this
library's, all against arithmetic in 50 digits.
"""

from decimal import Decimal, getcontext
from itertools import accumulate, pairwise
from operator import mul

import matplotlib.pyplot as plt
import numpy as np

from schedalg import Schedule

getcontext().prec = 50
base = Schedule.linear(1000)
betas = base.to_betas()
exact = [1, *list(accumulate((1 - Decimal(float(beta)) for beta in betas), mul))[::10]]
true = np.array([float(1 - after / before) for before, after in pairwise(exact)])
found = {"schedalg": Schedule.from_betas(betas)[::10].to_betas()}
for dtype in (np.float64, np.float32):
    kept = np.cumprod(1 - betas.astype(dtype))[::10]
    found[f"usual, {dtype.__name__}"] = 1 - kept / np.append(dtype(1), kept[:-1])

figure, axis = plt.subplots()
for (name, short), marker in zip(found.items(), "osv", strict=True):
    axis.semilogy(base.timesteps[::10], abs(short / true - 1) + 1e-17, marker, label=name)
axis.set(xlabel="timestep", ylabel="relative error of β", ylim=(5e-18, 1))
axis.legend(loc="center right")
figure.suptitle("Rounding errors of β in a loop of 100 steps (1e-17 is none)")
plt.show()
