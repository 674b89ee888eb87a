"""The x0 prediction of frames that are at rows of their own."""

import numpy as np

from schedalg.arrays import Array, namespace, to_host
from schedalg.network.reading import raise_undetermined, reading_of
from schedalg.parameterization import Parameterization
from schedalg.plan.plan import Plan
from schedalg.running.per_sample import rounded, summed


def predicted(
    plan: Plan,
    meaning: Parameterization,
    clip: tuple[float, float] | None,
    k: np.ndarray,
    x: Array,
    output: Array,
) -> Array:
    """Return c_x x + c_out output, with the coefficients of each frame's row, within its bounds.

    Args:
        plan: The plan, of numbers.
        meaning: What the network's output means.
        clip: The bounds of x0.
        k: (T,), the row of each frame.
        x: (B, T, ...), the frames before their rows.
        output: What the network returned for them.

    Raises:
        ValueError: The output does not determine x0 in a row.
    """
    reading = reading_of(meaning, plan.schedule, plan.alpha, plan.sigma)
    weights = [to_host(column)[k] for column in (reading.c_x, reading.c_out)]
    for t, each in enumerate(zip(*weights, strict=True)):
        if not np.isfinite(each).all():
            row = int(k[t])
            alpha = float(to_host(plan.alpha)[row])
            raise_undetermined(meaning, plan.timesteps[row].item(), alpha)
    batch, count, *rest = x.shape
    xp, shape = namespace(x), (batch * count, *rest)
    flat = [xp.reshape(each, shape) for each in (x, output)]
    of_frames = [np.tile(each, batch) for each in weights]
    x0 = rounded(summed(list(zip(of_frames, flat, strict=True))), flat[0])
    x0 = x0 if clip is None else xp.clip(x0, *clip)
    return xp.reshape(x0, x.shape)
