"""`Family`: the plans that `tune` searches, each with a list of numbers."""

from dataclasses import dataclass

import numpy as np

from schedalg.arrays import to_host
from schedalg.fitting.gradient import PlanSlopes
from schedalg.plan.columns import Evaluations, schedule_evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import column_scales
from schedalg.schedule import Schedule, curve
from schedalg.schedule.slopes import scale_slopes, timestep_slopes
from schedalg.schedule.track import Track

#: A point moves by no more than this share of the way to its neighbour in a round.
_SHARE = 0.4


@dataclass(frozen=True)
class Family:
    """Plans like one, each with a list of numbers.

    The numbers are rho and the beta of every row, the noisiest first, and then the positions of the
    points that move, the least noisy first.

    Attributes:
        origin: The plan that the search begins with.
        width: How many predictions a row reads.
        track: Where points move: all but the noisiest, and but the least noisy if it is the first
            of its curve. None: none moves.
        rounded: Whether they have the timesteps of the curve's points.
    """

    origin: Plan
    width: int
    track: Track | None = None
    rounded: bool = False

    @classmethod
    def of(cls, plan: Plan, width: int, moving: bool, rounded: bool = False) -> "Family":
        """Return the plans that are like one.

        Raises:
            ValueError: The plan remembers something else than x0, or does not return a point; or
                points are to move where they cannot.
        """
        if not (plan.p == 1).all() or plan.q.any():
            raise ValueError(
                "plan must remember x0 predictions, as those of DDIM, DPMSolverPP and UniPC do"
            )
        gap = plan.b.sum(axis=1) + plan.a * plan.alpha - arrivals(plan.schedule)[0]
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
        if not moving:
            return cls(plan, width)
        if plan.alpha[0] == 0 and isinstance(schedule.timestep_rule, np.ndarray):
            raise ValueError(
                "the schedule of plan lists timesteps and ends in pure noise, which is infinitely "
                "far from other points in log-SNR: give noise_levels=False, or one without it"
            )
        first = bool(schedule[0].log_snr == curve.base_of(schedule)[0].log_snr)
        if len(schedule) <= 1 + first:
            return cls(plan, width)
        return cls(plan, width, Track.of(schedule, (first, True)), rounded)

    def rows(self) -> list[tuple[bool, int]]:
        """Return for each row whether rho is free, and the number of its beta."""
        count, clean = len(self.origin), float(to_host(self.origin.schedule.origin.sigma)) == 0
        return [(not (clean and k == count - 1), min(self.width, k + 1) - 1) for k in range(count)]

    def start(self, plan: Plan) -> np.ndarray:
        """Return the numbers of the plan that the search begins with."""
        numbers: list[float] = []
        sigma = arrivals(plan.schedule)[1]
        b = np.pad(plan.b, ((0, 0), (0, self.width - plan.b.shape[1])))
        for k, (free, betas) in enumerate(self.rows()):
            if free:
                numbers.append(plan.a[k] * plan.sigma[k] / sigma[k])
            numbers += b[k, 1 : 1 + betas].tolist()
        return np.array([*numbers, *self._inside()])

    def _inside(self) -> np.ndarray:
        """Return the positions of the points that move, where the search begins."""
        return np.zeros(0) if self.track is None else self.track.positions[self.track.inside]

    def first_rows(self) -> list[int]:
        """Return for each number the first row that it changes."""
        result = []
        for k, (free, betas) in enumerate(self.rows()):
            result += [k] * (free + betas)
        # The row before arrives at the point: the last one that moves is where row 1 begins.
        return [*result, *range(len(self._inside()) - 1, -1, -1)]

    def after(self, numbers: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the numbers after a step, in which no point passes where another one was."""
        moved: np.ndarray = numbers + step
        if self.track is not None:
            part = slice(len(numbers) - len(self._inside()), None)
            knots = np.concatenate([[self.track.low], numbers[part], [self.track.high]])
            room, here = _SHARE * np.diff(knots), knots[1:-1]
            moved[part] = np.clip(moved[part], here - room[:-1], here + room[1:])
        return moved

    def free(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers of which none is out of range: the track's in place of its positions."""
        if self.track is None:
            return numbers
        count = len(numbers) - len(self._inside())
        held = self.track._replace(positions=_positions(self.track, numbers))
        return np.concatenate([numbers[:count], held.start()])

    def from_free(self, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers for free ones, and their derivatives by these, (P, P)."""
        slopes = np.eye(len(free))
        if self.track is None:
            return free, slopes
        count = len(free) - len(self._inside())
        positions, moved = self.track.moved(free[count:])
        slopes[count:, count:] = moved[self.track.inside]
        return np.concatenate([free[:count], positions[self.track.inside]]), slopes

    def plan(self, numbers: np.ndarray) -> Plan:
        """Return the plan of some numbers.

        Raises:
            ValueError: Its points are not in order, or leave the curve.
        """
        schedule, evaluations = self._points(numbers)
        alpha, sigma = arrivals(schedule)
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

    def gradient(self, plan: Plan, slopes: PlanSlopes) -> np.ndarray:
        """Return the derivative of a loss by the numbers, from that by the columns of their plan.

        In a row from t to s, a is rho sigma_s/sigma_t, and the newest weight is alpha_s - a alpha_t
        minus the others.
        """
        newest = slopes.b[:, 0]
        of_a = slopes.a - newest * plan.alpha
        of_alpha, of_sigma = slopes.points[:, 0] - newest * plan.a, slopes.points[:, 1].copy()
        of_alpha[1:] += newest[:-1]
        sigma_s, result = arrivals(plan.schedule)[1], []
        for k, (free, betas) in enumerate(self.rows()):
            if free:
                result.append(of_a[k] * sigma_s[k] / plan.sigma[k])
                of_sigma[k] -= of_a[k] * plan.a[k] / plan.sigma[k]
                if k + 1 < len(plan):
                    of_sigma[k + 1] += of_a[k] * plan.a[k] / sigma_s[k]
            result += (slopes.b[k, 1 : 1 + betas] - newest[k]).tolist()
        if self.track is None:
            return np.array(result)
        schedule = plan.schedule
        alpha_slopes, sigma_slopes = scale_slopes(schedule.kind, plan.alpha, plan.sigma)
        of_log_snr = of_alpha * alpha_slopes + of_sigma * sigma_slopes
        if not self.rounded:
            of_log_snr = of_log_snr + slopes.points[:, 2] * timestep_slopes(schedule)[::-1]
        of_positions = of_log_snr[::-1] * self.track.log_snr_slopes(schedule)
        return np.array([*result, *of_positions[self.track.inside]])

    def asked(self) -> np.ndarray:
        """Return whether alpha and sigma of each row's point move, and whether its timestep."""
        result = np.zeros((len(self.origin), 2), dtype=bool)
        if self.track is not None:
            result[1 : len(result) - self.track.ends[0]] = True, not self.rounded
        return result

    def _points(self, numbers: np.ndarray) -> tuple[Schedule, Evaluations]:
        plan = self.origin
        if self.track is None:
            return plan.schedule, Evaluations(plan.timesteps, plan.alpha, plan.sigma)
        positions = _positions(self.track, numbers)
        schedule = self.track.schedule_at(positions, rounded=self.rounded)
        return schedule, schedule_evaluations(schedule)


def _positions(track: Track, numbers: np.ndarray) -> np.ndarray:
    """Return where all points are, of which some are the last of the numbers."""
    positions = track.positions.copy()
    own = positions[track.inside]
    own[:] = numbers[len(numbers) - len(own) :]
    return positions


def arrivals(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and sigma where each row arrives, the noisiest first."""
    alpha, sigma = map(to_host, column_scales(schedule))
    return alpha[1:], sigma[1:]
