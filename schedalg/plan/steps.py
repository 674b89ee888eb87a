"""The steps of a schedule as columns, in the order in which a sampler takes them.

They hold what a solver's formulas need: alpha and sigma at both ends of every step, and the change
of the log-SNR between them, without the cancellation that differences of rounded scales have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import (
    Array,
    Namespace,
    device,
    differs_from_0,
    flipped,
    known,
    namespace,
    requires_gradient,
    seen,
    to_host,
)
from schedalg.schedule import Schedule, check_schedule, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.schedule import scales_of

if TYPE_CHECKING:
    from schedalg.schedule import Point


@dataclass(frozen=True, eq=False)
class Steps:
    """Every step of a schedule, from the noisiest point to the origin: columns of N numbers.

    float64 NumPy arrays; where a gradient flows through the schedule, arrays of its own library.
    With lambda = log(alpha/sigma), half the log-SNR, a step from t to s has a length
    h = lambda_s - lambda_t > 0. It is infinite where the step leaves pure noise (zero terminal SNR)
    or arrives at clean data, and there `decay` is 0 and `rise` is 1.

    Attributes:
        xp: The arrays' namespace.
        alpha_t: Signal scale where the step starts.
        sigma_t: Noise scale where it starts.
        alpha_s: Signal scale where it arrives.
        sigma_s: Noise scale where it arrives.
        h: lambda_s - lambda_t.
        decay: e^-h = sqrt(SNR_t / SNR_s).
        rise: 1 - e^-h, accurate for short steps too.
        finite: Whether h is finite, a NumPy array.

    Example:
        >>> from schedalg import Schedule, Steps
        >>> steps = Steps.of(Schedule.linear(1000).subsample(steps=3))
        >>> steps.h.round(2), steps.finite
        (array([2.81, 1.88,  inf]), array([ True,  True, False]))
    """

    xp: Namespace
    alpha_t: Array
    sigma_t: Array
    alpha_s: Array
    sigma_s: Array
    finite: np.ndarray
    _change: path.SnrChange = field(repr=False)
    _infinite: tuple[int, int] = field(repr=False)

    @classmethod
    def of(cls, schedule: Schedule) -> "Steps":
        """Return the steps of a schedule as columns, noisiest first.

        Args:
            schedule: The path to walk.

        Raises:
            TypeError: `schedule` is not a schedule.
            ValueError: A point's alpha is below the smallest float: no step can arrive there.

        Example:
            >>> from schedalg import Schedule, Steps
            >>> Steps.of(Schedule.from_sigmas([1.0, 4.0])).decay
            array([0.25, 0.  ])
        """
        if type(schedule) is not Schedule:
            check_schedule(schedule)
        log_alpha_bar = column_log_alpha_bar(schedule)
        xp = namespace(log_alpha_bar.high)
        alpha, sigma = column_scales(schedule)
        n = int(alpha.shape[0]) - 1
        signal = differs_from_0(alpha)
        check_arrivals(schedule, signal[::-1])
        from_noise = int(n > 0 and not signal[0])
        to_clean = int(n > from_noise and schedule.starts_clean)
        finite = np.zeros(n, dtype=bool)
        finite[from_noise : n - to_clean] = True
        # Only the points that are neither clean nor pure noise, so that no infinity is computed.
        first = to_clean if n > from_noise + to_clean else n
        return cls(
            xp=xp,
            alpha_t=alpha[:-1],
            sigma_t=sigma[:-1],
            alpha_s=alpha[1:],
            sigma_s=sigma[1:],
            finite=finite,
            _change=path.SnrChange.between(xp, log_alpha_bar, slice(first, n + 1 - from_noise)),
            _infinite=(from_noise, to_clean),
        )

    # Computed when a formula asks for it: a table of Euler's needs no h, which takes longest.

    @cached_property
    def _drop_and_root(self) -> tuple[Array, Array]:
        return self._change.drop_and_root(self.xp)

    @cached_property
    def h(self) -> Array:
        """lambda_s - lambda_t."""
        drop, _ = self._drop_and_root
        return self._ended(-self._change.log(self.xp, drop) / 2, np.inf)

    @cached_property
    def decay(self) -> Array:
        """e^-h."""
        return self._ended(self._drop_and_root[1], 0.0)

    @cached_property
    def rise(self) -> Array:
        """1 - e^-h."""
        drop, root = self._drop_and_root
        return self._ended(drop / (1 + root), 1.0)

    def _ended(self, values: Array, end: float) -> Array:
        """Return a column of all steps from one of those of finite length, least noisy first."""
        if self.xp is np:
            column = np.empty(len(self.finite))
            column.fill(end)
            column[self.finite] = values[::-1]
            return column
        parts = [flipped(values)]
        for place, count in zip((0, 2), self._infinite, strict=True):
            if count:
                parts.insert(place, array_like(values, [end] * count))
        return self.xp.concat(parts)  # also of one: other strides, other last bits in some powers

    @cached_property
    def finite_h(self) -> Array:
        """The column h with 1 in place of infinity, for formulas whose result is not used there."""
        return self.where(self.finite, self.h, 1.0)

    def array(self, values: Any) -> Array:
        """Return NumPy numbers in the library and dtype and on the device of the columns."""
        return array_like(self.alpha_t, values)

    def gather(self, values: Array, index: np.ndarray) -> Array:
        """Return the entries, or the rows of a 2-D array, at the indices of a NumPy array."""
        if isinstance(values, np.ndarray):
            return values[index]
        return self.xp.take(values, self.xp.asarray(index, device=device(self.alpha_t)), axis=0)

    def root(self, values: Array) -> Array:
        """Return square roots, whose derivative at 0 is 0 rather than infinity."""
        positive = seen(values) > 0
        return self.where(positive, self.where(positive, values, 1.0) ** 0.5, 0.0)

    def where(self, selected: Array, values: Array, others: Any) -> Array:
        """Return `values` in the steps that a mask selects, and `others` elsewhere.

        The mask is NumPy's, or made of columns that are traced.
        """
        mask = selected
        if self.xp is not np:
            mask = self.xp.asarray(selected, device=device(self.alpha_t))
        return self.xp.where(mask[:, None] if values.ndim > 1 else mask, values, others)


def array_like(column: Array, values: Any) -> Array:
    """Return NumPy numbers as an array of a column's library, in its dtype, on its device."""
    return known(column).array_like(np.asarray(values), column)


def column_log_alpha_bar(schedule: Schedule) -> DoubleDouble:
    """Return the levels that tables are made of: the schedule's own where a gradient flows."""
    high = schedule.log_alpha_bar.high
    if isinstance(high, np.ndarray) or requires_gradient(high):
        return schedule.log_alpha_bar
    high, low = (to_host(part).astype(np.float64, copy=False) for part in schedule.log_alpha_bar)
    return DoubleDouble(high, low)


def column_scales(schedule: Schedule) -> tuple[Array, Array]:
    """Return alpha and sigma at every point, noisiest first, and at the origin, for a table."""
    if isinstance(schedule.log_alpha_bar.high, np.ndarray):
        alpha, sigma = scales_of(schedule)
        # What is handed out can be written to through its address.
        return alpha[::-1].copy(), sigma[::-1].copy()
    log_alpha_bar = column_log_alpha_bar(schedule)
    xp = namespace(log_alpha_bar.high)
    alpha, sigma = path.alpha_sigma(xp, log_alpha_bar, schedule.kind)
    return flipped(alpha), flipped(sigma)


def step_change(t: "Point", s: "Point") -> tuple[Any, Any]:
    """Return 1 - SNR_t/SNR_s and sqrt(SNR_t/SNR_s) of one step, in (0, 1] and [0, 1).

    Both are exact to a few ulp, also for short steps, and do not depend on the scale of x.

    Args:
        t: The point that the step leaves.
        s: The point that it reaches, which must not be clean.
    """
    if t.level is None or s.level is None:
        root = (t.alpha / s.alpha) * (s.sigma / t.sigma)
        return max((1 - root) * (1 + root), 0.0), root
    if isinstance(t.level.high, float):
        drop = float(path.snr_drop(np, t.level, s.level))
        return drop, float(path.snr_root(np, t.level, s.level))
    xp, dtype = namespace(t.level.high), t.alpha.dtype
    return (
        xp.astype(path.snr_drop(xp, t.level, s.level), dtype),
        xp.astype(path.snr_root(xp, t.level, s.level), dtype),
    )


def check_arrivals(schedule: Schedule, signal: Sequence[bool] | np.ndarray) -> None:
    """Raise if a step would arrive at a point that float64 cannot distinguish from pure noise.

    Args:
        schedule: The path to walk.
        signal: Whether alpha is above 0 at the origin and at each point.

    Raises:
        ValueError: alpha is 0 at the origin, or at a point before the last.
    """
    if np.count_nonzero(signal[:-1]) == len(signal) - 1:
        return
    k = list(signal).index(False) - 1
    where = f"point {k} (timestep {schedule.timesteps[k]})" if k >= 0 else "the origin"
    raise ValueError(
        f"{where} has an alpha below the smallest float: no step can arrive there; start from "
        f"schedule[:{max(k, 0)}]"
    )
