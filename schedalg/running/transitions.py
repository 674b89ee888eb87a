"""What a row of a plan draws from: its mean and standard deviation, and the density of a draw."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, device, namespace, real_dtype, summed, weighted, widened
from schedalg.checks import check_like, described, flag, raise_stopped, shown
from schedalg.network.bounds import Clip, bounded, bounding
from schedalg.network.model import read_output
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan
from schedalg.running.preparation import meaning_of, raise_without_variance, rows_for
from schedalg.running.reference import Functional, deviation
from schedalg.running.row_arguments import checked_plan, checked_row
from schedalg.running.rows import Row, Rows

_HALF_LOG_2_PI = math.log(2 * math.pi) / 2


class Transition(NamedTuple):
    """The normal distribution that x after a row is drawn from: N(mean, std²), element by element.

    Half precision is in float32 here.

    Attributes:
        mean: (B, ...), what x would be if the row drew no noise.
        std: The coefficient of the noise, with as many dimensions as the mean: of size 1 where it
            is one number, (B, 1, ...) for samples at rows of their own, and like the mean where the
            variance is learned.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, transition
        >>> plan, x = DDPM().plan(Schedule.linear(1000).subsample(steps=5)), np.ones((1, 2))
        >>> mean, std = transition(plan, 0, x, np.tanh(x))
        >>> mean.shape, std.shape, bool(std[0, 0] == plan.c[0])
        ((1, 2), (1, 1), True)
    """

    mean: Array
    std: Array


def transition(
    plan: Plan,
    row: int | Sequence[int] | Array,
    x: Array,
    output: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    memories: Sequence[Array] = (),
) -> Transition:
    """Return the mean and the standard deviation of x after a row, given x before it.

    x after row k of a plan is mean + std z, with z standard normal, and

        mean = a x + Σ_j b_j memory_{k-j},    std = c,

    or std = c exp(l / 2) where the variance is learned. Gradients flow to x, to the output and to
    the memories. The operations are the same with a gradient and without, so that equal arguments
    give equal bits; and those of NumPy's runs, which return the mean where the noise is 0.

    Args:
        plan: The plan.
        row: The row; or integers (B,), the row of each sample, in any order.
        x: (B, ...), before the row; see `Run.x`.
        output: What the network returned in that row: like x, or with twice its channels (axis 1),
            of which the second half is the learned variance.
        prediction: What the output means, as in `sample`.
        clip: The bounds of the x0 prediction, as in `sample`.
        memories: For samplers that remember (DPM-Solver++ of order 2 and 3, SA-Solver,
            Runge-Kutta methods with stages): what the rows before remembered, as `Run.memories()`
            returned it before the row, the oldest first. For samples at rows of their own, as many
            as the one at the latest row needs; those that an earlier one lacks are not read.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A row is out of range or adds no noise; an array is not like x; memories are
            missing; or the plan takes a learned variance, and there is none.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, transition
        >>> plan = DDIM(eta=1.0).plan(Schedule.linear(1000).subsample(steps=5))
        >>> x = np.ones((2, 3))
        >>> mean, std = transition(plan, [3, 0], x, 0 * x, prediction="x0")
        >>> std.shape, bool((std[:, 0] == plan.c[[3, 0]]).all())
        ((2, 1), True)

    Source: Black et al., arXiv 2305.13301.
    """
    return _drawn(plan, row, x, output, prediction, clip, memories)[0]


def log_prob(
    plan: Plan,
    row: int | Sequence[int] | Array,
    x: Array,
    output: Array,
    after: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    memories: Sequence[Array] = (),
    per_element: bool = False,
) -> Array:
    """Return the log-density of x after a row, given x before it, in nats.

    It is log N(after; mean, std²), with the mean and std of `transition`. The ratio of a new policy
    to an old one is `exp(new - old)`, and exactly 1 where their outputs are the same.

    Args:
        plan: As in `transition`.
        row: As in `transition`.
        x: As in `transition`.
        output: As in `transition`.
        after: (B, ...), x after the row: the x of the next one.
        prediction: As in `transition`.
        clip: As in `transition`.
        memories: As in `transition`.
        per_element: Return the log-density of each element, (B, ...), in place of their sum.

    Returns:
        (B,), summed over the elements of a sample. It is computed from x, the output and x after
        the row in float64, where the library and the device have it, but for the mean, which has
        the bits of a run: in float32, a sum over many elements loses the digits that a ratio needs.

    Raises:
        TypeError: As `transition`.
        ValueError: As `transition`.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, begin, log_prob
        >>> plan = DDPM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> r = begin(plan, np.ones((1, 2)), noise=7)
        >>> x, output = r.x, np.tanh(r.input)
        >>> r.advance(output)
        >>> log_prob(plan, 0, x, output, r.x).round(2)
        array([-4.62])

    Source: Black et al., arXiv 2305.13301; Liu et al., arXiv 2505.05470.
    """
    per_element = flag("per_element", per_element)
    (mean, std), exactly = _drawn(plan, row, x, output, prediction, clip, memories)
    check_like("after", after, x)
    xp = namespace(mean)
    std, log_std = exactly()  # over many elements, what float32 rounds in one number adds up
    z = (xp.astype(after, log_std.dtype) - xp.astype(mean, log_std.dtype)) / std
    if per_element:
        return -0.5 * (z * z) - log_std - _HALF_LOG_2_PI
    count = math.prod(mean.shape[1:])
    alike = count // max(1, math.prod(std.shape[1:]))  # elements that share a number of std
    return -0.5 * summed(z * z) - alike * summed(log_std) - count * _HALF_LOG_2_PI


def _drawn(
    plan: Plan,
    row: int | Sequence[int] | Array,
    x: Array,
    output: Array,
    prediction: Prediction | Parameterization | None,
    clip: Clip | None,
    memories: Sequence[Array],
) -> tuple[Transition, Callable[[], tuple[Array, Array]]]:
    """Return what a row draws from, and what returns its std; see `transition` and `_exactly`."""
    plan = checked_plan(plan, x)
    k = checked_row(plan, row, x)
    meaning, bound = meaning_of(plan, prediction), bounding(clip)
    rows, outside = rows_for(plan, meaning, bound, x)
    _require_noise(rows, k)
    output, variance = read_output(output, x, rows.timesteps[k] if isinstance(k, int) else None)
    learned = rows.learned
    if learned and variance is None:
        raise_without_variance(x)
    held = _checked_memories(memories, rows, k, x)
    x, output = widened(x), widened(output)
    row_of = _row_at(rows, k, x)
    x0 = None
    if outside is not None:
        read = row_of.read or (0.0, 1.0)
        try:
            x0 = bounded(outside, weighted(zip(read, (x, output), strict=True)))
        except StopIteration as error:
            raise_stopped(error, "clip")
    update = Functional(rows.without_noise, None)
    if held:
        update.restore(k, held)
    mean = update(k, x, output, x0, None, None)
    variance = variance if learned else None
    std = _broadcast(deviation(row_of, variance), x)
    return Transition(mean, std), partial(_exactly, rows, k, std, variance)


def _exactly(
    rows: Rows, k: int | np.ndarray, std: Array, variance: Array | None
) -> tuple[Array, Array]:
    """Return std and its logarithm in float64, where the library and the device have it.

    Args:
        rows: The rows.
        k: The row, or that of each sample, (B,).
        std: What follows in x's type.
        variance: The learned variance, if the row takes one.
    """
    xp, to = namespace(std), device(std)
    wide = real_dtype(xp, to)
    each = [rows.rows[at] for at in ([k] if isinstance(k, int) else k.tolist())]
    if not all(isinstance(row.noise, float) for row in each):  # a gradient flows to the numbers
        std = xp.astype(std, wide)
        return std, xp.log(std)

    def column(values: Iterable[float]) -> Array:
        made = xp.asarray(list(values), dtype=wide, device=to)
        return xp.reshape(made, (-1,) + (1,) * (std.ndim - 1))

    noise, log_noise = (
        column(row.noise for row in each),
        column(math.log(row.noise) for row in each),
    )
    if variance is None:
        return noise, log_noise
    middle, half = map(column, zip(*(row.log_variance for row in each), strict=True))
    log_std = log_noise + (middle + half * xp.astype(variance, wide)) / 2
    return xp.exp(log_std), log_std


def _require_noise(rows: Rows, k: int | np.ndarray) -> None:
    """Raise unless the rows add noise, so that what is after them has a density."""
    noisy = rows.noisy
    each = [k] if isinstance(k, int) else k.tolist()
    silent = [i for i, at in enumerate(each) if not noisy[at]]
    if not silent:
        return
    name, at = ("row" if isinstance(k, int) else f"row[{silent[0]}]"), each[silent[0]]
    found = [at for at, draws in enumerate(noisy) if draws]
    rule = f"rows that add noise are {shown(found)}" if found else "no row of this plan adds noise"
    raise ValueError(
        f"{name} is {at}, which adds no noise: x after it is a single point, and has no density; "
        f"{rule}"
    )


def _checked_memories(memories: object, rows: Rows, k: int | np.ndarray, x: Array) -> list[Array]:
    """Return the memories in the precision that rows are computed in.

    Raises:
        TypeError: They are not arrays of x's library.
        ValueError: There are too few or too many, or one is not like x.
    """
    if not isinstance(memories, Sequence) or isinstance(memories, str | bytes):
        raise TypeError(f"memories must be a list of arrays like x, got {described(memories)}")
    needed = min(rows.depth, k if isinstance(k, int) else int(k.max()))
    if len(memories) != needed:
        raise ValueError(
            f"memories must hold {needed} arrays, what the rows before remembered, the oldest "
            f"first, as Run.memories() returns them; got {len(memories)}"
        )
    for i, memory in enumerate(memories):
        check_like(f"memories[{i}]", memory, x)
    return [widened(memory) for memory in memories]


def _row_at(rows: Rows, k: int | np.ndarray, x: Array) -> Row:
    """Return row k; for samples at rows of their own, one whose numbers are columns of theirs."""
    if isinstance(k, int):
        return rows.rows[k]
    of_samples = [rows.rows[each] for each in k.tolist()]

    def column(values: Sequence[float]) -> Array:
        held = namespace(x).asarray(values, dtype=x.dtype, device=device(x))
        return namespace(x).reshape(held, (-1,) + (1,) * (x.ndim - 1))

    def pair(values: Sequence[Any]) -> Any:
        return None if values[0] is None else tuple(map(column, zip(*values, strict=True)))

    made: Row = of_samples[0]._replace(
        noise=column([row.noise for row in of_samples]),
        read=pair([row.read for row in of_samples]),
        log_variance=pair([row.log_variance for row in of_samples]),
    )
    return made


def _broadcast(std: Any, x: Array) -> Array:
    """Return a standard deviation as an array with as many dimensions as x."""
    xp = namespace(x)
    if isinstance(std, float):
        return xp.full((1,) * x.ndim, std, dtype=x.dtype, device=device(x))
    return std if std.ndim == x.ndim else xp.reshape(std, (1,) * x.ndim)
