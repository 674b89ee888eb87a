"""`minimize`: the noise levels of a schedule moved until an objective is least."""

import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from schedalg.arrays import Array, device, namespace, requires_gradient, to_host
from schedalg.checks import (
    check_callable,
    described,
    flag,
    host_result,
    positive_integer,
    raise_stopped,
    shown,
)
from schedalg.plugins import imported
from schedalg.schedule import constructors, curve, double_double, interpolation, path
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.noise_levels import require_signal
from schedalg.schedule.schedule import Schedule, check_schedule

#: What is to be least: a number that a schedule has.
Objective: TypeAlias = Callable[[Schedule], Any]

#: Two points must be so far apart in log-SNR (in log t on a flow from pure noise).
_LEAST_GAP = 2e-6
#: From a clean origin, where timesteps follow from the noise, the first point may move so far in
#: log sigma.
_FURTHEST = math.log(1e4)
#: Whether SciPy searches: COBYQA holds a lock, behind which a search within it would wait for ever.
_SEARCHING = ContextVar("_SEARCHING", default=False)


def minimize(
    schedule: Schedule,
    objective: Objective,
    *,
    free_first: bool = False,
    free_last: bool = False,
    gradient: Literal["torch", "jax"] | None = None,
    max_calls: int = 1000,
) -> Schedule:
    """Return the schedule with its noise levels moved so that an objective is small.

    The noise levels lie on the curve of the base that the schedule was chosen from, and have the
    timesteps that the base has there. The variables are the relative lengths of the steps in
    log-SNR, so that noise levels never cross. (On a flow that starts from pure noise, in log t.)
    The result is a
    local minimum near the start, and its objective is never above the start's. The same call gives
    the same result.

    Args:
        schedule: The start, of N points.
        objective: A function of a schedule that returns one real number, such as
            `lambda s: sampler.plan(s).response(variances).w2`, `sampler.plan(s).error_bound()`, or
            a loss of samples.
        free_first: Whether the least noisy point moves too, within the curve. (Where timesteps
            follow from the noise: to the origin, or to a ten-thousandth of its sigma.)
        free_last: Whether the noisiest point moves too, to less noise.
        gradient: None: the objective is given schedules of NumPy arrays, and SciPy searches by its
            values alone (COBYQA). "torch" or "jax": it is given schedules of that library's arrays,
            and returns a number that can be differentiated by them; the search is by BFGS,
            and needs no SciPy.
        max_calls: How often the objective is called at most.

    Returns:
        A schedule of N points, on the arrays of the start.

    Raises:
        TypeError: An argument is of the wrong type, the start carries a gradient, or the objective
            returns no real number, or with `gradient` no number of that library.
        ValueError: The start has no point that may move; the objective is not finite there; with
            "torch", it does not depend on the schedule; the start has listed timesteps and ends in
            pure noise; `gradient` or `max_calls` is out of range; or, without a gradient, the
            objective of a search without one calls this.
        ImportError: SciPy, torch or JAX is needed and not installed.

    Example:
        >>> import numpy as np
        >>> from schedalg import DPMSolverPP, Schedule, minimize
        >>> sampler, spectrum = DPMSolverPP(order=2), 1 / np.arange(1, 65) ** 2
        >>> def distance(s):
        ...     return sampler.plan(s).response(spectrum).w2
        >>> start = Schedule.linear(1000).subsample(steps=5, spacing="log_snr")
        >>> best = minimize(start, distance)
        >>> round(distance(start), 3), round(distance(best), 3)
        (0.196, 0.076)
        >>> best.timesteps.round(1)
        array([  0. ,  23.5, 165. , 408.3, 999. ])

    Source: Xue et al., arXiv 2402.17376 (optimized time steps); Tong et al., arXiv 2405.15506
    (LD3).
    """
    check_schedule(schedule)
    check_callable("objective", objective)
    ends = (not flag("free_first", free_first), not flag("free_last", free_last))
    calls = positive_integer("max_calls", max_calls)
    if gradient is not None and not (isinstance(gradient, str) and gradient in _EVALUATIONS):
        raise ValueError(f"gradient must be None, 'torch' or 'jax'; got {shown(gradient)}")
    if requires_gradient(schedule.log_alpha_bar.high):
        raise TypeError(
            "schedule carries a gradient, or is traced, and minimize looks at its values: give one "
            "of plain numbers"
        )
    if len(schedule) <= sum(ends):
        raise ValueError(
            f"schedule has {len(schedule)} points, and none that may move: fewer than 3 with both "
            "ends fixed (see free_first and free_last)"
        )
    return _minimized(schedule, objective, ends, gradient, calls)


@curve.computed_on_host
def _minimized(
    schedule: Schedule,
    objective: Objective,
    ends: tuple[bool, bool],
    gradient: str | None,
    calls: int,
) -> Schedule:
    if gradient is None and _SEARCHING.get():
        raise ValueError(
            "objective calls minimize, which cannot be within a search by values alone: use "
            "gradient='torch' or 'jax' in one of the two"
        )
    track = _Track.of(schedule, ends)
    if not track.high > track.low:
        raise ValueError(
            "schedule has one point, which is the least noisy one of its curve: it cannot move to "
            "more noise or to less"
        )
    search = _Search(track, objective, gradient, calls)
    searching = _SEARCHING.set(_SEARCHING.get() or gradient is None)
    try:
        start = search.begin()
        if gradient is None:
            optimize = imported("scipy.optimize", "minimize without gradient=", "scipy")
            optimize.minimize(
                lambda free: search(free)[0],
                start,
                method="COBYQA",
                options={"maxfev": max(calls, 2), "initial_tr_radius": 0.5},
            )
        else:
            _descend(search, start)
    except _SpentError:
        pass
    finally:
        _SEARCHING.reset(searching)
    return search.best


class _Track(NamedTuple):
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
    def of(cls, schedule: Schedule, ends: tuple[bool, bool]) -> "_Track":
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

    def start(self) -> np.ndarray:
        """Return the free parameters of the start: logarithms of gaps, minus that of the first."""
        inside = self.positions[slice(int(self.ends[0]), -1 if self.ends[1] else None)]
        gaps = np.diff(np.concatenate([[self.low], inside, [self.high]]))
        # An end that is free and where it can go no further is moved a little at first.
        logs = np.log(np.maximum(gaps, 1e-3 * (self.high - self.low) / len(gaps)))
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

    def schedule_at(self, positions: np.ndarray) -> Schedule:
        """Return the schedule with its points at positions on the curve."""
        cls = type(self.schedule)
        if self.by_time:
            made = constructors.from_flow_times(cls, np.minimum(np.exp(positions), 1.0))
        else:
            made = constructors.from_log_snr(cls, -positions)
        column = path.inner(made.log_alpha_bar)
        return interpolation.at_levels(self.schedule, column, self.ends, rounded=False)

    def differentiable(self, schedule: Schedule, leaf: Array, values: Array) -> Schedule:
        """Return a schedule on the library of an array, differentiable by that array.

        Args:
            schedule: The schedule, on NumPy arrays.
            leaf: (N,), the positions of its points.
            values: The same, without a gradient.
        """
        held, xp = curve.on_library_of(schedule, leaf), namespace(leaf)
        variance = path.sigmas_squared(np, path.inner(schedule.log_alpha_bar))
        # d log ᾱ / d log-SNR is 1 - ᾱ.
        slopes = -variance
        if self.by_time:
            # d log-SNR / d log t is -2 / (1 - t). Pure noise is where it is, or moves from there.
            rest = path.alpha_sigma(np, path.inner(schedule.log_alpha_bar), "flow")[0]
            slopes = np.where(rest > 0, -2 * variance / np.where(rest > 0, rest, 1.0), 0.0)
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


class _SpentError(Exception):
    """The objective has been called as often as it may be."""


class _Search:
    """Calls an objective, counts the calls, and remembers the best schedule."""

    def __init__(
        self, track: _Track, objective: Objective, gradient: str | None, calls: int
    ) -> None:
        self.track = track
        self.objective = objective
        self.calls = calls
        self.evaluate = self._value if gradient is None else _EVALUATIONS[gradient](self)
        self.best = track.schedule
        self.least = self.most = math.inf
        self.rounding = 0.0

    def begin(self) -> np.ndarray:
        """Look at the start, and return its free parameters.

        Raises:
            ValueError: The objective is not finite there.
        """
        self.calls -= 1
        value, _ = self.evaluate(self.track.schedule, self.track.positions)
        if not math.isfinite(value):
            raise ValueError(
                f"objective is {value!r} at the start, schedule: it must be finite there"
            )
        self.least = self.most = value
        return self.track.start()

    def __call__(self, free: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective at free parameters, and its slope (0 without a gradient).

        What is not finite, or has points too close, is worse than all before.
        """
        positions, slopes = self.track.moved(np.asarray(free, dtype=np.float64))
        free_low = [] if self.track.ends[0] else [self.track.low]
        if not (np.diff(np.append(free_low, positions)) > _LEAST_GAP).all():
            return self._refused(slopes)
        if self.calls == 0:
            raise _SpentError
        self.calls -= 1
        moved = self.track.schedule_at(positions)
        value, slope = self.evaluate(moved, positions)
        free_slope = slope @ slopes
        if not (math.isfinite(value) and np.isfinite(free_slope).all()):
            return self._refused(slopes)
        if value < self.least:
            self.best, self.least = moved, value
        self.most = max(self.most, value)
        return value, free_slope

    def _refused(self, slopes: np.ndarray) -> tuple[float, np.ndarray]:
        return self.most + abs(self.most) + 1.0, np.zeros(slopes.shape[1])

    def _value(self, schedule: Schedule, positions: np.ndarray) -> tuple[float, np.ndarray]:
        return _number(self.called(schedule)), np.zeros(len(positions))

    def called(self, schedule: Schedule) -> Any:
        """Return what the objective returns."""
        try:
            return self.objective(schedule)
        except StopIteration as error:
            raise_stopped(error, "objective")


def _rounding(value: Array) -> float:
    """Return the relative change of a library's number that may be rounding alone."""
    return 16 * float(np.finfo(to_host(value).dtype).eps)


def _number(value: Any) -> float:
    """Return a real number that an objective returned.

    Raises:
        TypeError: It is not a real number, or requires a gradient.
    """
    if isinstance(value, str):
        raise TypeError(f"objective must return one real number, got {shown(value)}")
    found = host_result("what objective returns", value)
    if found.shape != () or found.dtype.kind not in "iuf":
        raise TypeError(f"objective must return one real number, got {described(value)}")
    return float(found)


def _by_torch(search: _Search) -> Callable[[Schedule, np.ndarray], tuple[float, np.ndarray]]:
    torch = imported("torch", "gradient='torch'", "torch")

    def evaluate(schedule: Schedule, positions: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(positions, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            value = search.called(search.track.differentiable(schedule, leaf, leaf.detach()))
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"objective must return a tensor with gradient='torch', got {described(value)}"
            )
        if not value.requires_grad:
            raise ValueError(
                "objective returns a tensor that no gradient leads back from to the schedule: it "
                "is computed without it, detached, or under torch.no_grad()"
            )
        number, search.rounding = _number(value.detach()), _rounding(value.detach())
        (slope,) = torch.autograd.grad(value, leaf, allow_unused=True)
        if slope is None:
            raise ValueError("objective does not depend on the noise levels of the schedule")
        return number, to_host(slope).astype(np.float64)

    return evaluate


def _by_jax(search: _Search) -> Callable[[Schedule, np.ndarray], tuple[float, np.ndarray]]:
    jax = imported("jax", "gradient='jax'", "jax")

    def evaluate(schedule: Schedule, positions: np.ndarray) -> tuple[float, np.ndarray]:
        at = jax.numpy.asarray(positions)

        def value_of(leaf: Array) -> Any:
            value = search.called(search.track.differentiable(schedule, leaf, at))
            if not isinstance(value, jax.Array) or value.shape != () or value.dtype.kind != "f":
                raise TypeError(
                    "objective must return one real number of JAX with gradient='jax', got "
                    f"{described(value)}"
                )
            return value

        value, slope = jax.value_and_grad(value_of)(at)
        search.rounding = _rounding(value)
        return _number(value), to_host(slope).astype(np.float64)

    return evaluate


_EVALUATIONS = {"torch": _by_torch, "jax": _by_jax}


def _descend(search: _Search, x: np.ndarray) -> None:
    """Go down from x by BFGS, with steps halved until the value falls.

    Source: Nocedal and Wright, Numerical Optimization, algorithms 3.1 and 6.1.
    """
    value, slope = search(x)
    if not slope.any():
        return
    one = np.eye(len(x))
    inverse = one * (0.25 / np.abs(slope).max())
    first = True
    while True:
        step = -inverse @ slope
        step /= max(1.0, float(np.abs(step).max()))
        fall = float(step @ slope)
        if fall > -search.rounding * abs(value):
            return
        size = 1.0
        while True:
            after, slope_after = search(x + size * step)
            if after <= value + 1e-4 * size * fall:
                break
            size /= 2
            if size < 1e-9:
                return
        change, turn = size * step, slope_after - slope
        x, value, slope = x + change, after, slope_after
        bend = float(change @ turn)
        if bend > 1e-12 * float(np.linalg.norm(change) * np.linalg.norm(turn)):
            if first:
                inverse, first = one * (bend / float(turn @ turn)), False
            left = one - np.outer(change, turn) / bend
            inverse = left @ inverse @ left.T + np.outer(change, change) / bend
