"""Points by dynamic programming: the cheapest way from the noisiest to the least noisy one."""

import numpy as np


def cheapest(costs: np.ndarray, count: int) -> np.ndarray:
    """Return the rising indices of `count` points, the first and the last among them.

    With V[1, 0] = 0 at the first point and V[k, j] = min over i < j of V[k - 1, i] + C[i, j], the
    least sum of costs is V[count, n - 1]. Of equal sums, the one with the lower index is taken.

    Args:
        costs: (n, n); C[i, j], read where i < j alone, is the cost of the step from j to i.
        count: Number of points, from 2 to n.

    Raises:
        ValueError: Sums of costs are above the largest float.
    """
    n = len(costs)
    if count == n:
        return np.arange(n)
    upper = np.where(np.triu(np.ones((n, n), dtype=bool), 1), costs, np.inf)
    value = np.full(n, np.inf)
    value[0] = 0.0
    befores = []
    for _ in range(count - 1):
        with np.errstate(over="ignore", invalid="ignore"):
            sums = value[:, None] + upper
        wrong = np.isfinite(value)[:, None] & np.isfinite(upper) & ~np.isfinite(sums)
        if wrong.any():
            i, j = np.argwhere(wrong)[0].tolist()
            raise ValueError(
                f"cost[{i}, {j}] is {float(upper[i, j])!r}: a sum with it leaves float64; "
                "divide all costs by one number"
            )
        befores.append(np.argmin(sums, axis=0))
        value = np.min(sums, axis=0)
    chosen = [n - 1]
    for before in reversed(befores):
        chosen.append(int(before[chosen[-1]]))
    return np.array(chosen[::-1])
