"""`tune`: coefficients and noise levels of a plan, moved together until its results fit."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from schedalg.checks import flag, positive_integer
from schedalg.descent import descent
from schedalg.fitting.family import Family
from schedalg.fitting.gradient import Walk, slopes_of
from schedalg.fitting.samples import Split, check_fitted, checked_memories, predicted, wide
from schedalg.fitting.trajectories import Trajectories
from schedalg.plan.plan import Plan
from schedalg.schedule import Point

#: A round that moves the error by a smaller share is the last one.
_LITTLE = 1e-3
#: Where damping ends: the steps are rounding.
_MOST_DAMPING = 1e8
#: By how much a number is moved to see what changes, by the dtype of x; a 16th in half precision.
_STEPS = {"float64": 2.0**-26, "float32": 2.0**-11}
#: Rounds without progress on the samples that are held out, until the search stops.
_PATIENCE = 3
#: How many steps by the gradient are a round.
_STEPS_A_ROUND = 10
#: A step that is to lower the loss by a smaller share is the last, by the dtype of x.
_ROUNDING = {"float64": 2.0**-48}


def tune(
    plan: Plan,
    trajectories: Trajectories,
    *,
    memories: int | None = None,
    noise_levels: bool = True,
    rounded: bool = False,
    gradient: bool = False,
    rounds: int = 20,
) -> Plan:
    """Return the plan with coefficients and noise levels that bring its results to a teacher's.

    `fit` looks at one row after the other. `tune` looks at the final result only, and so it can
    also move the points. A row that takes x from t to s is

        x_s = alpha_s x0 + rho (sigma_s / sigma_t) (x - alpha_t x0) + Σ_j beta_j (x0_{k-j} - x0)

    with x0 the newest prediction, whose weight is one minus the others. So data that are one point
    are recovered exactly, whatever the numbers. The search is over rho and the beta of every row,
    and where every point lies on its curve, but for the noisiest (and for the least noisy, where it
    is the base's). The mean square of the distance to the teacher's results is made small in one of
    two ways:

    - By differences, with the method of Levenberg and Marquardt: each number is moved a little, and
      the rows after it are run again. So any network of any library will do, compiled or not.
    - With `gradient`, by the network's own gradient, with BFGS: the derivatives by all numbers at
      once, back from the last row to the first. The network is called again in each row, so that
      only one call's memory is held. This is for x in half precision, where differences are mostly
      rounding, and for plans of many rows.

    The last quarter of the samples is held out. The numbers that are best on it are returned, and
    the search ends when it gets no better there. If the start is best, it is returned.

    Args:
        plan: The plan to begin with: of a deterministic sampler with one call at each point that
            remembers x0 predictions, such as `DPMSolverPP(order=2)`; or what `fit` returned.
        trajectories: The teacher's states. The first and the last are used.
        memories: How many predictions each row reads, where there are so many before it. None: as
            many as the plan's rows.
        noise_levels: Whether the points move too. The network is then called at fractional
            timesteps, where those of the schedule are listed.
        rounded: Give each point that moved the timestep of the nearest point of the base, as
            `subsample(rounded=True)` does: for networks that take no fractions.
        gradient: Whether derivatives are those that torch or JAX follow back through the network.
            The samples are then of that library, and the network is differentiable: in x, and where
            noise levels move, in the timesteps that it is given.
        rounds: How many rounds the search has at most. In each, the network is called about (P/2 +
            2) K times with all samples, for P numbers and K rows. With `gradient`, a round is ten
            steps, each of which calls it about 2 K times and follows K of these calls back.

    Returns:
        A plan, for a schedule of other points if `noise_levels`.

    Raises:
        TypeError: An argument is of the wrong type; or with `gradient`, the samples are of a
            library that follows none.
        ValueError: As `fit`; or no gradient leads back through the network, or one is NaN or
            infinite; or the plan remembers something else than x0, or does not return a
            point where the data are one; or with `noise_levels`, the schedule lists timesteps and
            ends in pure noise; or with `rounded`, it lists none.

    Example:
        >>> import numpy as np
        >>> from schedalg import DPMSolverPP, Schedule, trajectories, tune
        >>> base = Schedule.linear(1000)
        >>> s = base.subsample(steps=3)
        >>> x = np.random.default_rng(0).standard_normal((16, 8))
        >>> made = trajectories(lambda x, t: np.tanh(x), s, x, DPMSolverPP().plan(base))
        >>> tuned = tune(DPMSolverPP().plan(s), made)
        >>> bool(tuned.schedule != s), len(tuned)
        (True, 3)

    Source: Shaul et al., arXiv 2403.01329; Frankel et al., arXiv 2502.17423; Wang et al., arXiv
    2505.21114; Marquardt, SIAM J. Appl. Math. 11 (1963).
    """
    check_fitted(plan, trajectories)
    width = checked_memories(plan, memories)
    moving = flag("noise_levels", noise_levels)
    most = positive_integer("rounds", rounds)
    if not len(plan):
        return plan
    family = Family.of(plan, width, moving, flag("rounded", rounded))
    start = family.start(plan)
    split = Split.of(trajectories.states[0], max(len(start), 1))
    search = _Search(family, trajectories, split, flag("gradient", gradient))
    best = search.best(start, most) if len(start) else start
    return plan if best is start else family.plan(best)


class _Search:
    """Looks for the numbers whose plan leads closest to a teacher's results."""

    def __init__(
        self, family: Family, trajectories: Trajectories, split: Split, gradient: bool = False
    ) -> None:
        self.family, self.trajectories, self.split = family, trajectories, split
        self.gradient = gradient
        first, last = trajectories.states[0], trajectories.states[-1]
        self.x, self.wanted = wide(first), wide(last)
        dtype = str(first.dtype).rpartition(".")[2]
        self.step, self.rounding = _STEPS.get(dtype, 2.0**-4), _ROUNDING.get(dtype, 2.0**-19)
        self.first_rows = family.first_rows()

    def best(self, numbers: np.ndarray, rounds: int) -> np.ndarray:
        """Return the numbers that are best on the samples that are held out.

        Raises:
            ValueError: A prediction of the start is NaN or infinite.
        """
        walk = self.walk(self.family.plan(numbers))
        best, least, waited = numbers, self.held(walk), 0
        steps, search = 1, self.by_differences
        if self.gradient:
            steps, search = _STEPS_A_ROUND, self.by_gradient
        for lower, found in islice(search(numbers, walk), rounds * steps):
            held = self.held(found)
            waited = 0 if held < least else waited + 1
            if held < least:
                best, least = lower, held
            if waited == _PATIENCE * steps:
                break
        return best

    def by_differences(self, numbers: np.ndarray, walk: Walk) -> Iterator[tuple[np.ndarray, Walk]]:
        """Yield better and better numbers and their walk, by Levenberg's and Marquardt's method."""
        damping = 1e-3
        while True:
            loss, slope, bend = self.slopes(numbers, walk)
            found = None
            while found is None and damping < _MOST_DAMPING:
                damped = bend + np.diag(damping * bend.diagonal() + np.finfo(float).tiny)
                step = -np.linalg.solve(damped, slope)
                found = self.accepted(self.family.after(numbers, step), loss)
                damping *= 10 if found is None else 0.1
            if found is None:
                return
            numbers, walk = found
            yield found
            if damping < 1 and self.loss(walk) > (1 - _LITTLE) * loss:
                return

    def by_gradient(self, numbers: np.ndarray, walk: Walk) -> Iterator[tuple[np.ndarray, Walk]]:
        """Yield better and better numbers and their walk, by the gradient of the network."""
        last = numbers, walk

        def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal last
            numbers, slopes = self.family.from_free(free)
            found = self.accepted(numbers, np.inf)
            if found is None:
                return np.inf, np.zeros_like(free)
            last = found
            try:
                return self.loss(found[1]), self.gradient_at(*found) @ slopes
            except ValueError:  # a derivative that is infinite there
                return np.inf, np.zeros_like(free)

        free = self.family.free(numbers)
        slope = self.gradient_at(numbers, walk) @ self.family.from_free(free)[1]
        for _ in descent(loss, free, self.loss(walk), slope, lambda: self.rounding):
            yield last

    def gradient_at(self, numbers: np.ndarray, walk: Walk) -> np.ndarray:
        """Return the gradient of the loss."""
        plan, off = self.family.plan(numbers), walk.x[-1] - self.wanted
        slope = np.zeros_like(off)
        slope[self.split.fitted] = 2 * off[self.split.fitted] / len(self.missed(walk))
        slopes = slopes_of(plan, self.trajectories, walk, slope, self.family.asked())
        return self.family.gradient(plan, slopes)

    def walk(self, plan: Plan, first: int = 0, like: Walk | None = None) -> Walk:
        """Return the samples' way through a plan, which is that of `like` up to row `first`.

        Raises:
            ValueError: A prediction is NaN or infinite.
        """
        x = [self.x] if like is None else like.x[: first + 1]
        x0 = [] if like is None else like.x0[: first + 1]
        for k in range(first, len(plan)):
            if len(x0) == k:
                point = Point(float(plan.alpha[k]), float(plan.sigma[k]), plan.timesteps[k].item())
                x0.append(predicted(self.trajectories, x[k], point))
            after = plan.a[k] * x[k]
            for back in range(min(plan.b.shape[1], k + 1)):
                after = after + plan.b[k, back] * x0[k - back]
            x.append(after)
        return Walk(x, x0)

    def slopes(self, numbers: np.ndarray, walk: Walk) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the loss, half its gradient, and the product of the Jacobian with itself."""
        missed = self.missed(walk)
        jacobian, one = np.empty((len(missed), len(numbers))), np.eye(len(numbers))
        for i, first in enumerate(self.first_rows):
            moved = self.family.after(numbers, self.step * one[i])
            after = self.walk(self.family.plan(moved), first, walk)
            jacobian[:, i] = (self.missed(after) - missed) / (moved[i] - numbers[i])
        count = len(missed)
        return self.loss(walk), jacobian.T @ missed / count, jacobian.T @ jacobian / count

    def accepted(self, numbers: np.ndarray, loss: float) -> tuple[np.ndarray, Walk] | None:
        """Return numbers and their walk if the loss is smaller, else None."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                walk = self.walk(self.family.plan(numbers))
                smaller = self.loss(walk) < loss
        except ValueError:  # points in another order, or x out of range
            return None
        return (numbers, walk) if smaller else None

    def missed(self, walk: Walk) -> np.ndarray:
        """Return how far the results of the fitted samples are from the wanted ones."""
        return np.ravel((walk.x[-1] - self.wanted)[self.split.fitted])

    def loss(self, walk: Walk) -> float:
        """Return the mean square of that."""
        return float(np.mean(self.missed(walk) ** 2))

    def held(self, walk: Walk) -> float:
        """Return the same of the samples that are held out."""
        return self.split.error(walk.x[-1] - self.wanted)
