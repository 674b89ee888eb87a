"""`tune`: coefficients and noise levels of a plan, moved together until its results fit."""

from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import flag, positive_integer
from schedalg.fitting.samples import Split, check_fitted, checked_memories, predicted, wide
from schedalg.fitting.trajectories import Trajectories
from schedalg.plan.columns import Evaluations, schedule_evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import column_scales
from schedalg.schedule import Point, Schedule, curve
from schedalg.schedule.double_double import concat, single, take
from schedalg.schedule.interpolation import at_log_snr

#: A round that moves the error by a smaller share is the last one.
_LITTLE = 1e-3
#: A point moves by no more than this share of the way to its neighbour in a round.
_SHARE = 0.4
#: Where damping ends: the steps are rounding.
_MOST_DAMPING = 1e8
#: By how much a number is moved to see what changes, by the dtype of x; a 16th in half precision.
_STEPS = {"float64": 2.0**-26, "float32": 2.0**-11}
#: Rounds without progress on the samples that are held out, until the search stops.
_PATIENCE = 3


def tune(
    plan: Plan,
    trajectories: Trajectories,
    *,
    memories: int | None = None,
    noise_levels: bool = True,
    rounded: bool = False,
    rounds: int = 20,
) -> Plan:
    """Return the plan with coefficients and noise levels that bring its results to a teacher's.

    `fit` looks at one row after the other. `tune` looks at the final result only, and so it can
    also move the points. A row that takes x from t to s is

        x_s = alpha_s x0 + rho (sigma_s / sigma_t) (x - alpha_t x0) + Σ_j beta_j (x0_{k-j} - x0)

    with x0 the newest prediction, whose weight is one minus the others. So data that are one point
    are recovered exactly, whatever the numbers. The search is over rho and the beta of every row,
    and the log-SNR of every point but the noisiest (and but the least noisy, where it is the
    base's). The mean square of the distance to the teacher's results is made small by the method of
    Levenberg and Marquardt. Its derivatives are differences: each number is moved a little, and the
    rows after it are run again. So any network of any library will do, compiled or not.

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
        rounds: How many rounds the search has at most. In each, the network is called about (P/2 +
            2) K times with all samples, for P numbers and K rows.

    Returns:
        A plan, for a schedule of other points if `noise_levels`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: As `fit`; or the plan remembers something else than x0, or does not return a
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
    family = _Family.of(plan, width, moving, flag("rounded", rounded))
    start = family.start(plan)
    split = Split.of(trajectories.states[0], max(len(start), 1))
    search = _Search(family, trajectories, split)
    best = search.best(start, most) if len(start) else start
    return plan if best is start else family.plan(best)


@dataclass(frozen=True)
class _Family:
    """All plans that are searched, each with a list of numbers.

    The numbers are rho and the beta of every row, the noisiest first, and then the log-SNRs of the
    points that move, the least noisy first.

    Attributes:
        origin: The plan that the search begins with.
        width: How many predictions a row reads.
        track: The schedule on whose curve points move, between its first and its last; None: none
            moves.
        moving: How many points move: those before the noisiest.
        rounded: Whether they have the timesteps of the track's points.
    """

    origin: Plan
    width: int
    track: Schedule | None = None
    moving: int = 0
    rounded: bool = False

    @classmethod
    def of(cls, plan: Plan, width: int, moving: bool, rounded: bool = False) -> "_Family":
        """Return the plans that are like one.

        Raises:
            ValueError: The plan remembers something else than x0, or does not return a point; or
                points are to move where they cannot.
        """
        if not (plan.p == 1).all() or plan.q.any():
            raise ValueError(
                "plan must remember x0 predictions, as those of DDIM, DPMSolverPP and UniPC do"
            )
        gap = plan.b.sum(axis=1) + plan.a * plan.alpha - _arrivals(plan.schedule)[0]
        if not (abs(gap) <= 1e-9).all():
            row = int(np.argmax(abs(gap)))
            raise ValueError(
                f"plan does not return a point where the data are one: row {row} has b[{row}].sum()"
                f" + a[{row}] alpha[{row}] off by {gap[row]:.3g} from alpha where it arrives"
            )
        schedule = plan.schedule
        if rounded and not isinstance(schedule.timestep_rule, np.ndarray):
            raise ValueError(
                "rounded=True is for listed timesteps; those of plan follow from the noise level"
            )
        if not moving or len(schedule) == 1:
            return cls(plan, width)
        if plan.alpha[0] == 0 and isinstance(schedule.timestep_rule, np.ndarray):
            raise ValueError(
                "the schedule of plan lists timesteps and ends in pure noise, which is infinitely "
                "far from other points in log-SNR: give noise_levels=False, or one without it"
            )
        base = curve.base_of(schedule)
        ends = [to_host(each.log_alpha_bar.high)[-1] for each in (base, schedule)]
        track = base if ends[0] == ends[1] else schedule
        fixed = 1 + int(float(track[0].log_snr) == float(schedule[0].log_snr))
        return cls(plan, width, track, len(plan) - fixed, rounded)

    def rows(self) -> list[tuple[bool, int]]:
        """Return for each row whether rho is free, and the number of its beta."""
        count, clean = len(self.origin), float(to_host(self.origin.schedule.origin.sigma)) == 0
        return [(not (clean and k == count - 1), min(self.width, k + 1) - 1) for k in range(count)]

    def start(self, plan: Plan) -> np.ndarray:
        """Return the numbers of the plan that the search begins with."""
        numbers: list[float] = []
        sigma = _arrivals(plan.schedule)[1]
        b = np.pad(plan.b, ((0, 0), (0, self.width - plan.b.shape[1])))
        for k, (free, betas) in enumerate(self.rows()):
            if free:
                numbers.append(plan.a[k] * plan.sigma[k] / sigma[k])
            numbers += b[k, 1 : 1 + betas].tolist()
        points = plan.schedule.to_log_snr()[len(plan) - 1 - self.moving : -1]
        return np.array([*numbers, *points])

    def first_rows(self) -> list[int]:
        """Return for each number the first row that it changes."""
        result = []
        for k, (free, betas) in enumerate(self.rows()):
            result += [k] * (free + betas)
        # The row before arrives at the point: the last one that moves is where row 1 begins.
        return [*result, *range(self.moving - 1, -1, -1)]

    def after(self, numbers: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the numbers after a step, in which no point passes where another one was."""
        moved: np.ndarray = numbers + step
        if self.moving:
            knots = self._knots(numbers)
            room, here, part = -_SHARE * np.diff(knots), knots[1:-1], slice(-self.moving, None)
            moved[part] = np.clip(moved[part], here - room[1:], here + room[:-1])
        return moved

    def _knots(self, numbers: np.ndarray) -> np.ndarray:
        """Return the log-SNRs of the points that move, between those that hold them."""
        track = self.origin.schedule if self.track is None else self.track
        first, last = track.to_log_snr()[[0, -1]]
        return np.array([first, *numbers[len(numbers) - self.moving :], last])

    def plan(self, numbers: np.ndarray) -> Plan:
        """Return the plan of some numbers.

        Raises:
            ValueError: Its points are not in order, or leave the curve.
        """
        schedule, evaluations = self._points(numbers)
        alpha, sigma = _arrivals(schedule)
        rows = self.rows()
        a, b = self.origin.a.copy(), np.zeros((len(rows), self.width))
        at = 0
        for k, (free, betas) in enumerate(rows):
            if free:
                a[k] = numbers[at] * sigma[k] / evaluations.sigma[k]
            at += free
            b[k, 1 : 1 + betas] = numbers[at : at + betas]
            at += betas
        b[:, 0] = alpha - a * evaluations.alpha - b[:, 1:].sum(axis=1)
        return Plan.of(schedule, a=a, b=b, evaluations=evaluations)

    def _points(self, numbers: np.ndarray) -> tuple[Schedule, Evaluations]:
        plan, track = self.origin, self.track
        if track is None:
            return plan.schedule, Evaluations(plan.timesteps, plan.alpha, plan.sigma)
        knots = self._knots(numbers)
        if not (np.diff(knots) < 0).all():
            raise ValueError("points are not in order")
        if isinstance(track.timestep_rule, np.ndarray):
            schedule = at_log_snr(track, single(knots - knots[0]), rounded=self.rounded)
            schedule = schedule[[*range(len(knots) - len(plan), len(knots))]]
        else:
            ends, between = track.log_alpha_bar, Schedule.from_log_snr(knots).log_alpha_bar
            parts = take(ends, slice(2)), take(between, slice(2, -1)), take(ends, slice(-1, None))
            schedule = replace(track, log_alpha_bar=reduce(partial(concat, np), parts))
        return schedule, schedule_evaluations(schedule)


def _arrivals(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and sigma where each row arrives, the noisiest first."""
    alpha, sigma = map(to_host, column_scales(schedule))
    return alpha[-2::-1], sigma[-2::-1]


class _Walk(NamedTuple):
    """All samples on their way through a plan.

    Attributes:
        x: Before each row, and after the last one.
        x0: The prediction of each row.
    """

    x: list[np.ndarray]
    x0: list[np.ndarray]


class _Search:
    """Looks for the numbers whose plan leads closest to a teacher's results."""

    def __init__(self, family: _Family, trajectories: Trajectories, split: Split) -> None:
        self.family, self.trajectories, self.split = family, trajectories, split
        first, last = trajectories.states[0], trajectories.states[-1]
        self.x, self.wanted = wide(first), wide(last)
        self.step = _STEPS.get(str(first.dtype).rpartition(".")[2], 2.0**-4)
        self.first_rows = family.first_rows()

    def best(self, numbers: np.ndarray, rounds: int) -> np.ndarray:
        """Return the numbers that are best on the samples that are held out.

        Raises:
            ValueError: A prediction of the start is NaN or infinite.
        """
        walk = self.walk(self.family.plan(numbers))
        best, least, waited, damping = numbers, self.held(walk), 0, 1e-3
        for _ in range(rounds):
            loss, slope, bend = self.slopes(numbers, walk)
            found = None
            while found is None and damping < _MOST_DAMPING:
                damped = bend + np.diag(damping * bend.diagonal() + np.finfo(float).tiny)
                step = -np.linalg.solve(damped, slope)
                found = self.accepted(self.family.after(numbers, step), loss)
                damping *= 10 if found is None else 0.1
            if found is None:
                break
            numbers, walk = found
            held = self.held(walk)
            waited = 0 if held < least else waited + 1
            if held < least:
                best, least = numbers, held
            if waited == _PATIENCE or (damping < 1 and self.loss(walk) > (1 - _LITTLE) * loss):
                break
        return best

    def walk(self, plan: Plan, first: int = 0, like: _Walk | None = None) -> _Walk:
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
        return _Walk(x, x0)

    def slopes(self, numbers: np.ndarray, walk: _Walk) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the loss, half its gradient, and the product of the Jacobian with itself."""
        missed = self.missed(walk)
        jacobian = np.empty((len(missed), len(numbers)))
        for i, first in enumerate(self.first_rows):
            moved = numbers.copy()
            moved[i] += self.step
            after = self.walk(self.family.plan(moved), first, walk)
            jacobian[:, i] = (self.missed(after) - missed) / self.step
        count = len(missed)
        return self.loss(walk), jacobian.T @ missed / count, jacobian.T @ jacobian / count

    def accepted(self, numbers: np.ndarray, loss: float) -> tuple[np.ndarray, _Walk] | None:
        """Return numbers and their walk if the loss is smaller, else None."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                walk = self.walk(self.family.plan(numbers))
                smaller = self.loss(walk) < loss
        except ValueError:  # points in another order, or x out of range
            return None
        return (numbers, walk) if smaller else None

    def missed(self, walk: _Walk) -> np.ndarray:
        """Return how far the results of the fitted samples are from the wanted ones."""
        return np.ravel((walk.x[-1] - self.wanted)[self.split.fitted])

    def loss(self, walk: _Walk) -> float:
        """Return the mean square of that."""
        return float(np.mean(self.missed(walk) ** 2))

    def held(self, walk: _Walk) -> float:
        """Return the same of the samples that are held out."""
        return self.split.error(walk.x[-1] - self.wanted)
