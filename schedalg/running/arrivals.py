"""Which noise a row of a plan adds: that of the noise level where it arrives.

Noise from a seed is a function of the seed, of a level and a visit, and of the place in the sample
(see `philox`). The level is that of x after the row, by its log-SNR, rounded to 2^-20: not its
last bits, which differ between processors and between ways to the same level. The visit counts
how often a plan was at that level before. So a path that is walked in parts draws what it draws
when it is walked at once. (Points whose log-SNRs are within 2^-20 of one another share a level. A
walk in parts that cuts between two of them may repeat a draw.)

Where the levels are traced by a compiler and have no values yet, a row's number stands in place of
its level. So such a path is to be walked at once, or each part with a seed of its own.
"""

import math
from collections import Counter

import numpy as np

from schedalg.arrays import has_values, is_array, to_host
from schedalg.plan.columns import host_start
from schedalg.plan.plan import Plan

#: The words of clean data and of pure noise, which no finite log-SNR has.
CLEAN, PURE_NOISE = 2**63 - 1, -(2**63)


def level_word(log_snr: float) -> int:
    """Return the word of a noise level, 2^20 log-SNR rounded to an integer.

    Example:
        >>> level_word(0.5), level_word(-math.inf) == PURE_NOISE
        (524288, True)
    """
    if math.isinf(log_snr):
        return CLEAN if log_snr > 0 else PURE_NOISE
    return round(2**20 * log_snr)


def arrivals(plan: Plan) -> tuple[tuple[int, int], np.ndarray]:
    """Return the level and the visit of the noise before the first row, and of every row's.

    Returns:
        (level, visit) of what `plan.start` adds, which is at the level of the first row; and an
        int64 array (K, 2). Row k arrives where row k + 1 calls the network, and the last one at
        the schedule's origin. Of traced levels, (-1, 0) and (k, 0).

    Example:
        >>> from schedalg import DDPM, Schedule
        >>> start, rows = arrivals(DDPM().plan(Schedule.from_sigmas([1.0, math.e])))
        >>> start, rows.tolist()[0]
        ((-2097152, 0), [0, 0])
    """
    if not has_values(plan.alpha) or not has_values(plan.sigma):
        numbers = np.arange(len(plan), dtype=np.int64)
        return (-1, 0), np.stack([numbers, 0 * numbers], axis=1)
    signal, noise = to_host(plan.alpha), to_host(plan.sigma)
    with np.errstate(divide="ignore"):
        log_snr = 2 * (np.log(signal) - np.log(noise))
    levels = [level_word(value) for value in log_snr.tolist()]
    origin = plan.schedule.origin.log_snr
    levels.append(level_word(float(to_host(origin) if is_array(origin) else origin)))
    if not len(plan):
        return (levels[0], 0), np.zeros((0, 2), dtype=np.int64)
    visits = Counter(levels[:1] if host_start(plan.start)[1] else [])
    words = []
    for level in levels[1:]:
        words.append((level, visits[level]))
        visits[level] += 1
    return (levels[0], 0), np.array(words, dtype=np.int64)
