"""`fit`: the coefficients of a plan that lead closest to a teacher's states."""

from typing import NamedTuple

import numpy as np

from schedalg.arrays import to_host
from schedalg.fitting.samples import Split, check_fitted, checked_memories, predicted, wide
from schedalg.fitting.trajectories import Trajectories
from schedalg.plan.columns import Evaluations
from schedalg.plan.plan import Plan
from schedalg.running.sampling import run
from schedalg.schedule import Point

#: In directions in which the samples differ by less than this part of their size, nothing is
#: learned: it is rounding.
_ROUNDED = 1e-12
#: The same for samples that are not in float64.
_ROUNDED_SINGLE = 1e-5


def fit(plan: Plan, trajectories: Trajectories, *, memories: int | None = None) -> Plan:
    """Return the plan with the coefficients that lead closest to a teacher's states.

    Row after row, the coefficients in

        x_s = a x_t + Σ_j b_j memory_{k-j}

    are those of least squares: x_s is the teacher's state at s, x_t and the memories are what the
    fitted rows before have led to. So a row also corrects the errors of the rows before it. Two
    things are not changed. The first is what the plan does to data that are one point: the sum of
    the predictions in `plan.weights()` stays alpha_end - x alpha_start, and a step to clean data
    removes all noise. The second are directions in which samples hardly differ, such as the
    difference of two equal memories: along these, the coefficients stay as they were.

    The last quarter of the samples is not fitted, but held out: a row that is not better on it
    keeps its coefficients, and if the result of all rows is not closer to the teacher's on it (in
    the mean square), the plan itself is returned. The network is called at the plan's own noise
    levels. The linear algebra is NumPy's, in float64, whatever the library of the states.

    Args:
        plan: The plan to begin with, of a deterministic sampler with one call at each point, such
            as `DPMSolverPP(order=2)`, `DDIM()` or `DEIS()`.
        trajectories: The teacher's states at the points of the plan's schedule, and the network.
        memories: How many memories each row reads, where there are so many before it. None: as many
            as the plan's rows.

    Returns:
        A plan for the same schedule: a value like any other, which `to_dict` writes.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The trajectories are of another schedule; there are too few samples for the
            coefficients; the plan draws noise, has stages, or uses x0 before it is bounded;
            `memories` is out of range; or a prediction is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, DPMSolverPP, Schedule, fit, trajectories
        >>> s = Schedule.linear(1000).subsample(steps=5)
        >>> x = np.random.default_rng(0).standard_normal((16, 8))
        >>> teacher = DPMSolverPP(order=2).plan(s)
        >>> made = trajectories(lambda x, t: np.tanh(x), s, x, teacher)
        >>> fitted = fit(DDIM().plan(s), made, memories=2)
        >>> bool(np.allclose(fitted.b, teacher.b) and np.allclose(fitted.a, teacher.a))
        True

    Source: Duan et al., arXiv 2305.14677.
    """
    check_fitted(plan, trajectories)
    width = checked_memories(plan, memories)
    if not len(plan):
        return plan
    states = trajectories.states
    split = Split.of(states[0], min(width, len(plan)))
    rounded = _ROUNDED if str(states[0].dtype).endswith("float64") else _ROUNDED_SINGLE
    to_clean = float(to_host(plan.schedule.origin.sigma)) == 0
    noise_left = plan.weights().x * float(plan.sigma[0])  # none, unless the plan is an odd one
    a, b = plan.a.copy(), np.zeros((len(plan), width))
    b[:, : plan.b.shape[1]] = plan.b
    x = _Term(wide(states[0]), float(plan.alpha[0]), float(plan.sigma[0]))
    terms: list[_Term] = []
    for k in range(len(plan)):
        terms = [_memory(plan, k, x, trajectories), *terms[: width - 1]]
        count = len(terms)
        read = [x, *terms]
        row = np.array([a[k], *b[k, :count]])
        laws = np.array([[term.signal for term in read], [term.noise for term in read]])
        amounts = laws @ row
        if to_clean and k == len(plan) - 1:
            amounts[1] = noise_left
        else:
            laws, amounts = laws[:1], amounts[:1]
        row = _fitted(row, read, wide(states[k + 1]), laws, amounts, split, rounded)
        a[k], b[k, :count] = row[0], row[1:]
        x = _sum(row, read)
    fitted = Plan.of(
        plan.schedule,
        a=a,
        b=b,
        memory=(plan.p, plan.q),
        evaluations=Evaluations(plan.timesteps, plan.alpha, plan.sigma),
    )
    before, after = (
        split.error(wide(run(each, trajectories.denoise, states[0])) - wide(states[-1]))
        for each in (plan, fitted)
    )
    return fitted if after < before else plan


class _Term(NamedTuple):
    """x, or a memory, as a row reads it.

    Attributes:
        values: (n, ...), float64.
        signal: Where all data are one point, the values are signal x0 + noise z; and x at the
            start is alpha x0 + sigma z.
        noise: See `signal`.
    """

    values: np.ndarray
    signal: float
    noise: float


def _fitted(
    row: np.ndarray,
    read: list[_Term],
    wanted: np.ndarray,
    laws: np.ndarray,
    amounts: np.ndarray,
    split: Split,
    rounded: float,
) -> np.ndarray:
    """Return the coefficients of a row that lead closest to the wanted states.

    Args:
        row: The coefficients to begin with, (d,).
        read: What they multiply.
        wanted: (n, ...).
        laws: (L, d), what the coefficients must keep: laws row = amounts.
        amounts: (L,).
        split: The samples to fit.
        rounded: See `_ROUNDED`.
    """
    table = np.stack([term.values for term in read], axis=-1)
    columns = table[split.fitted].reshape(-1, len(read))
    scales = np.sqrt(np.mean(columns**2, axis=0))
    scales[scales == 0] = 1.0
    row = row + np.linalg.lstsq(laws / scales, amounts - laws @ row)[0] / scales
    missed = wanted - table @ row
    free = _unlimited(laws / scales) / scales[:, None]
    change, *_ = np.linalg.lstsq(columns @ free, missed[split.fitted].reshape(-1), rounded)
    better = row + free @ change
    is_better = split.error(wanted - table @ better) < split.error(missed)
    return better if is_better else row


def _unlimited(laws: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis, (d, f), of what changes no product with the laws, (L, d)."""
    sizes = np.sqrt(np.sum(laws**2, axis=1))
    laws = laws[sizes > 0] / sizes[sizes > 0, None]
    _, values, basis = np.linalg.svd(laws)
    return basis[int(np.count_nonzero(values > _ROUNDED)) :].T


def _memory(plan: Plan, k: int, x: _Term, trajectories: Trajectories) -> _Term:
    """Return what row k remembers."""
    alpha, sigma, p, q = (float(column[k]) for column in (plan.alpha, plan.sigma, plan.p, plan.q))
    x0 = predicted(trajectories, x.values, Point(alpha, sigma, plan.timesteps[k].item()))
    if q == 0:
        return _Term(p * x0, p, 0.0)
    noise = (x.values - alpha * x0) / sigma
    return _Term(p * x0 + q * noise, p + q * (x.signal - alpha) / sigma, q * x.noise / sigma)


def _sum(row: np.ndarray, read: list[_Term]) -> _Term:
    """Return x after a row."""
    values = sum(weight * term.values for weight, term in zip(row, read, strict=True))
    signal, noise = (
        float(row @ np.array([getattr(term, name) for term in read]))
        for name in ("signal", "noise")
    )
    return _Term(np.asarray(values), signal, noise)
