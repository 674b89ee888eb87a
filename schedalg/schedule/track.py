"""`Track`: where the points of a schedule can move, as numbers that a search is free to change."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from schedalg.arrays import Array, device, namespace
from schedalg.schedule import at_noise, constructors, curve, double_double, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.noise_levels import require_signal
from schedalg.schedule.schedule import Schedule

#: From a clean origin, where timesteps follow from the noise, the first point may move so far in
#: log sigma.
_FURTHEST = math.log(1e4)


class Track(NamedTuple):
    """Where levels may lie, as numbers that rise with the noise: minus log-SNR, or log t.

    Attributes:
        schedule: The start.
        positions: (N,), where its points are.
        low: Where the first may be at least.
        high: Where the last may be at most.
        ends: Whether the first and the last are fixed.
        by_time: Whether they are log t.
    """

    schedule: Schedule
    positions: np.ndarray
    low: float
    high: float
    ends: tuple[bool, bool]
    by_time: bool

    @classmethod
    def of(cls, schedule: Schedule, ends: tuple[bool, bool]) -> "Track":
        """Return where the points of a schedule can move, if its ends are fixed or not.

        Raises:
            ValueError: It has listed timesteps and ends in pure noise.
        """
        points = path.inner(schedule.log_alpha_bar)
        listed = isinstance(schedule.timestep_rule, np.ndarray)
        if listed:
            require_signal(schedule)
        by_time = not np.isfinite(points.high[-1])
        where = _log_times if by_time else _minus_log_snr
        positions = where(points)
        low = positions[0]
        if not ends[0]:
            origin = double_double.take(schedule.log_alpha_bar, slice(1))
            first = double_double.take(curve.knots(schedule)[0], slice(1)) if listed else origin
            clean = first.high[0] == 0
            low = low - (1 if by_time else 2) * _FURTHEST if clean else min(low, where(first)[0])
            if origin.high[0] < 0:
                low = max(low, where(origin)[0])
        return cls(schedule, positions, float(low), float(positions[-1]), ends, by_time)

    @property
    def inside(self) -> slice:
        """Which points move."""
        return slice(int(self.ends[0]), -1 if self.ends[1] else None)

    def start(self) -> np.ndarray:
        """Return the free parameters of the start: logarithms of gaps, minus that of the first."""
        knots = np.concatenate([[self.low], self.positions[self.inside], [self.high]])
        # An end that is free and where it can go no further is moved a little at first.
        least = 1e-3 * (self.high - self.low) / (len(knots) - 1)
        logs = np.log(np.maximum(np.diff(knots), least))
        return np.asarray(logs[1:] - logs[0])

    def moved(self, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the points for free parameters, and their derivatives by these.

        Returns:
            (N,) and (N, M).
        """
        logs = np.append(0.0, free)
        shares = np.exp(logs - logs.max())
        shares /= shares.sum()
        length, reached = self.high - self.low, np.cumsum(shares)[:-1]
        # d(sum of the first k shares) / d log_j = share_j ([j < k] - that sum).
        before = np.tri(len(reached), len(shares))
        slopes = length * shares * (before - reached[:, None])
        inside, fixed = self.low + length * reached, [int(end) for end in self.ends]
        positions = np.concatenate(
            [self.positions[: fixed[0]], inside, self.positions[len(self.positions) - fixed[1] :]]
        )
        return positions, np.pad(slopes[:, 1:], ((fixed[0], fixed[1]), (0, 0)))

    def schedule_at(self, positions: np.ndarray, *, rounded: bool = False) -> Schedule:
        """Return the schedule with its points at positions, on the curve.

        Args:
            positions: (N,).
            rounded: As in `subsample`.

        Raises:
            ValueError: Two are the same in float64.
        """
        cls = type(self.schedule)
        if self.by_time:
            made = constructors.from_flow_times(cls, np.minimum(np.exp(positions), 1.0))
        else:
            made = constructors.from_log_snr(cls, -positions)
        levels = path.inner(made.log_alpha_bar)
        return at_noise.at_levels(self.schedule, levels, self.ends, rounded=rounded)

    def log_snr_slopes(self, schedule: Schedule) -> np.ndarray:
        """Return the derivative of each point's log-SNR by its position, (N,).

        0 at pure noise, which is where it is, or moves from there.
        """
        points = path.inner(schedule.log_alpha_bar)
        if not self.by_time:
            return np.full(len(points.high), -1.0)
        # log-SNR is 2 log((1 - t) / t).
        rest = path.alpha_sigma(np, points, "flow")[0]
        return np.where(rest > 0, -2 / np.where(rest > 0, rest, 1.0), 0.0)

    def differentiable(self, schedule: Schedule, leaf: Array, values: Array) -> Schedule:
        """Return a schedule on the library of an array, differentiable by that array.

        Args:
            schedule: The schedule, on NumPy arrays.
            leaf: (N,), the positions of its points.
            values: The same, without a gradient.
        """
        held, xp = curve.on_library_of(schedule, leaf), namespace(leaf)
        # d log ᾱ / d log-SNR is 1 - ᾱ.
        variance = path.sigmas_squared(np, path.inner(schedule.log_alpha_bar))
        slopes = variance * self.log_snr_slopes(schedule)
        high, low = held.log_alpha_bar
        change = xp.asarray(slopes, dtype=leaf.dtype, device=device(leaf)) * (leaf - values)
        # The change is 0, and has the derivative that log ᾱ has.
        change = xp.concat([xp.zeros_like(change[:1]), change])
        change = xp.astype(change, high.dtype, copy=False)
        return replace(held, log_alpha_bar=DoubleDouble(high + change, low))


def _minus_log_snr(points: DoubleDouble) -> np.ndarray:
    return np.asarray(-path.log_snr(np, points))


def _log_times(points: DoubleDouble) -> np.ndarray:
    return np.asarray(np.log(path.alpha_sigma(np, points, "flow")[1]))
