"""`minimize`: the noise levels of a schedule moved until an objective is least."""

import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias

import numpy as np

from schedalg.arrays import Array, requires_gradient, to_host
from schedalg.checks import (
    check_callable,
    described,
    flag,
    host_result,
    positive_integer,
    raise_stopped,
    shown,
)
from schedalg.descent import descent
from schedalg.plugins import imported
from schedalg.schedule import curve
from schedalg.schedule.schedule import Schedule, check_schedule
from schedalg.schedule.track import Track

#: What is to be least: a number that a schedule has.
Objective: TypeAlias = Callable[[Schedule], Any]

#: Two points must be so far apart in log-SNR (in log t on a flow from pure noise).
_LEAST_GAP = 2e-6
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
    track = Track.of(schedule, ends)
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
            for _ in descent(search, start, *search(start), lambda: search.rounding):
                pass
    except _SpentError:
        pass
    finally:
        _SEARCHING.reset(searching)
    return search.best


class _SpentError(Exception):
    """The objective has been called as often as it may be."""


class _Search:
    """Calls an objective, counts the calls, and remembers the best schedule."""

    def __init__(
        self, track: Track, objective: Objective, gradient: str | None, calls: int
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
