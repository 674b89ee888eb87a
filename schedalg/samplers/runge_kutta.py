"""Explicit Runge-Kutta methods, with EDM's churn or with ancestral noise.

A step goes from tau_t to tau_e in the coordinates of `schedalg.samplers.straight`:

    x_l = x_t + (tau_e - tau_t) Σ_j A_lj slope_j        stage l, at tau_t + c_l (tau_e - tau_t)
    x_e = x_t + (tau_e - tau_t) Σ_j b_j slope_j

A row of the table goes from one stage to the next, by the difference of their equations. So no copy
of x_t is needed in later stages, and x_t is not recovered by a division. (Over hundreds of steps in
float32, the rounding error is up to twice that with a copy.) With churn, a step starts above the
schedule's noise level; with ancestral noise, it ends below. The noise that makes up the difference
is added in the row before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, holds, namespace, requires_gradient, to_host
from schedalg.checks import flag, number_or_infinity, positive_integer, real_number
from schedalg.plan.columns import Evaluations
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.options import checked_eta
from schedalg.samplers.straight import scales, slope, timestep_at_clean, timesteps_between
from schedalg.schedule.slopes import differentiable_timesteps, timesteps_at

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class Tableau:
    """The coefficients of an explicit Runge-Kutta method (Butcher's).

    Args:
        A: Lower triangle: row l has the coefficients of the l slopes before stage l.
        b: Weights of the slopes, with sum 1.
        order: The order of the method.

    Raises:
        TypeError: A coefficient is not a number.
        ValueError: The shape is not that of an explicit method, b does not sum to 1, or a stage
            lies outside the step.

    Example:
        >>> from schedalg import Tableau
        >>> Tableau(A=[[], [0.5]], b=[0, 1], order=2).c
        (0.0, 0.5)
    """

    A: Sequence[Sequence[float]]
    b: Sequence[float]
    order: int
    #: Position of each stage, as a share of the step.
    c: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name, values in (("A", self.A), ("b", self.b)):
            if not isinstance(values, Sequence) or isinstance(values, str):
                raise TypeError(f"{name} must be a list, got {type(values).__name__}")
        for i, row in enumerate(self.A):
            if not isinstance(row, Sequence) or isinstance(row, str):
                raise TypeError(f"A[{i}] must be a list of numbers, got {type(row).__name__}")
        rows = tuple(
            tuple(real_number(f"A[{i}][{j}]", value) for j, value in enumerate(row))
            for i, row in enumerate(self.A)
        )
        b = tuple(real_number(f"b[{j}]", value) for j, value in enumerate(self.b))
        if not b or len(rows) != len(b) or any(len(row) != i for i, row in enumerate(rows)):
            raise ValueError(
                "A must have a row for each of b, the first empty and each one longer; got rows of "
                f"length {[len(row) for row in rows]} and {len(b)} weights"
            )
        if not abs(sum(b) - 1) <= 1e-12:
            raise ValueError(f"b must sum to 1, got {sum(b)!r}")
        object.__setattr__(self, "order", positive_integer("order", self.order))
        c = tuple(_snapped(sum(row)) for row in rows)
        for i, place in enumerate(c):
            if not 0 <= place <= 1:
                raise ValueError(f"A[{i}] sums to {place!r}: a stage must lie in the step, [0, 1]")
        for name, value in (("A", rows), ("b", b), ("c", c)):
            object.__setattr__(self, name, value)


def _snapped(place: float) -> float:
    """Return 0 or 1 if a number is that up to rounding, else the number."""
    return float(round(place)) if abs(place) < 2 and abs(place - round(place)) < 1e-12 else place


EULER = Tableau([[]], [1.0], order=1)
HEUN = Tableau([[], [1.0]], [0.5, 0.5], order=2)
MIDPOINT = Tableau([[], [0.5]], [0.0, 1.0], order=2)
CLASSIC = Tableau([[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], order=4)


@dataclass(frozen=True)
class RungeKutta:
    """Any explicit Runge-Kutta method, from its tableau, such as `Euler`, `Heun` and `Midpoint`.

    As many calls a step as the tableau has stages. If the network is not one of flow matching, a
    step from pure noise or to clean data has one call and order 1: it is DDIM's. A network of flow
    matching has a slope at both ends, and is called at clean data, t = 0, if the tableau has a
    stage there. (If the schedule lists its timesteps, that of clean data is not known, and the last
    step is DDIM's.)

    Stages within a step lie between the points of the schedule. There a network of continuous noise
    gets its noise level, and any other a timestep between two of those that the schedule was chosen
    from, in proportion to the log-SNR (and beyond the outermost points theirs); stages at the ends
    of steps are at points of the schedule unless there is noise.

    Args:
        tableau: The method.
        eta: Ancestral noise, in [0, 1]: each step goes down to sigma/alpha = sigma_down, and back
            up by noise of sigma_up = eta sigma_s sqrt(1 - SNR_t/SNR_s).
        s_churn: EDM's churn: each step first adds noise that raises sigma/alpha by a factor of 1 +
            min(s_churn / N, sqrt(2) - 1).
        s_tmin: Lowest sigma/alpha at which churn is used.
        s_tmax: Highest sigma/alpha at which churn is used.
        s_noise: Standard deviation of the noise of churn, at least 0.
        clean_stages: Whether the step to clean data has all stages, where the network is one of
            flow matching. False: it is DDIM's, as in diffusers. Use False where x0 is predicted or
            bounded, or comes from a denoiser made from a function: x0 does not determine the slope
            at clean data.

    Raises:
        TypeError: `tableau` is not a `Tableau`, `clean_stages` is not True or False, or another
            argument is not a number.
        ValueError: An argument is out of range, or both `eta` and `s_churn` are given.

    Example:
        >>> from schedalg import RungeKutta, Schedule, Tableau
        >>> ralston = Tableau(A=[[], [2 / 3]], b=[1 / 4, 3 / 4], order=2)
        >>> plan = RungeKutta(ralston).plan(Schedule.karras(4))
        >>> plan.model_calls
        7

    Source: Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, section II.1;
    churn: Karras et al., arXiv 2206.00364, algorithm 2; ancestral steps: Song et al., arXiv
    2010.02502, equation 16, as in k-diffusion.
    """

    tableau: Tableau
    eta: float = 0.0
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    clean_stages: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.tableau, Tableau):
            raise TypeError(f"tableau must be a Tableau, got {type(self.tableau).__name__}")
        object.__setattr__(self, "eta", checked_eta(self.eta))
        for name in ("s_churn", "s_tmin", "s_noise"):
            number = real_number(name, getattr(self, name))
            if not 0 <= number <= 1e9:
                raise ValueError(f"{name} must be between 0 and 1e9, got {number!r}")
            object.__setattr__(self, name, number)
        object.__setattr__(self, "clean_stages", flag("clean_stages", self.clean_stages))
        s_tmax = number_or_infinity("s_tmax", self.s_tmax)
        if s_tmax < self.s_tmin:
            raise ValueError(f"s_tmax must be at least s_tmin, {self.s_tmin!r}; got {s_tmax!r}")
        object.__setattr__(self, "s_tmax", s_tmax)
        if self.eta and self.s_churn:
            raise ValueError("eta and s_churn are two kinds of noise: give one of them")

    def plan(self, schedule: "Schedule") -> Plan:
        """Return the table for a schedule."""
        steps = Steps.of(schedule)
        span = self._span(schedule, steps)
        count = len(self.tableau.b)
        # A step has all stages if tau is finite at its start, and the slope is known at its end.
        staged = np.full(len(schedule), count > 1)
        if schedule.network_kind != "flow":
            staged &= holds(steps.alpha_t > 0)
        if not self.clean_stages or timestep_at_clean(schedule) is None:
            staged &= holds(span.rho_end > 0, unseen=steps.finite)
        stages = self._stages(schedule, steps, span, staged)
        rows = np.flatnonzero(np.stack([staged | (k == 0) for k in range(count)], axis=1))
        step, stage = rows // count, rows % count

        def column(values: Sequence[Array]) -> Array:
            """Return a column of the plan from one column for each stage, (N,) or (N, m)."""
            stacked = steps.xp.stack(list(values), axis=1)
            flat = steps.xp.reshape(stacked, (-1, *stacked.shape[2:]))
            return steps.gather(flat, rows)

        alpha, sigma = column([s.alpha for s in stages]), column([s.sigma for s in stages])
        clean = holds(steps.sigma_s == 0, unseen=~steps.finite)
        timesteps = self._timesteps(schedule, alpha, sigma, step, stage, span.raised, clean)
        width = count if staged.any() else 1
        return Plan.of(
            schedule,
            a=column([s.a for s in stages]),
            b=column([s.b for s in stages])[:, :width],
            c=column([s.c for s in stages]),
            memory=slope(schedule, staged[step]),
            evaluations=Evaluations(timesteps, alpha, sigma),
            step=step,
            start=span.start,
        )

    def _span(self, schedule: "Schedule", steps: Steps) -> "_Span":
        """Return where each step starts and ends, and the noise that is added after it."""
        xp, n = steps.xp, len(schedule)
        signal = holds(steps.alpha_t > 0)
        rho_t = steps.sigma_t / steps.where(signal, steps.alpha_t, 1.0)
        rho_s = steps.sigma_s / steps.alpha_s
        raised: np.ndarray = np.zeros(n)
        if self.s_churn:
            churned = signal & (to_host(rho_t) >= self.s_tmin) & (to_host(rho_t) <= self.s_tmax)
            raised = min(self.s_churn / max(n, 1), math.sqrt(2) - 1) * churned
        gamma = steps.array(raised)
        alpha, sigma = scales(schedule.kind, steps.array(np.ones(n)), rho_t * (1 + gamma))
        alpha = steps.where(raised > 0, alpha, steps.alpha_t)
        sigma = steps.where(raised > 0, sigma, steps.sigma_t)
        # The step ends at k times the noise level at s; 1 - k is computed without cancellation.
        k = ((1 - self.eta**2) + self.eta**2 * steps.decay**2) ** 0.5
        fresh = self.eta**2 * steps.rise * (1 + steps.decay)  # 1 - k²
        fall = (gamma + steps.rise + steps.decay * fresh / (1 + k)) / (1 + gamma)
        after = xp.concat([gamma[1:], steps.array(np.zeros(min(n, 1)))])
        alpha_end = xp.concat([alpha[1:], steps.alpha_s[n - 1 :]])
        churn = self.s_noise**2 * after * (2 + after)
        start = (1.0, 0.0)
        if raised.any() and raised[0] > 0:
            scale = alpha[0] / steps.alpha_t[0]
            noise = self.s_noise * alpha[0] * rho_t[0] * (gamma[0] * (2 + gamma[0])) ** 0.5
            start = (scale, noise)
        return _Span(
            raised=raised > 0,
            alpha=alpha,
            sigma=sigma,
            rho_end=k * rho_s,
            fall=fall,
            alpha_end=alpha_end,
            noise=alpha_end * rho_s * steps.root(fresh + churn),
            start=start,
        )

    def _stages(
        self, schedule: "Schedule", steps: Steps, span: "_Span", staged: np.ndarray
    ) -> "list[_Stage]":
        """Return the columns of each stage, for all steps. DDIM steps use only those of stage 0."""
        xp, flow = steps.xp, schedule.network_kind == "flow"
        tableau, count = self.tableau, len(self.tableau.b)
        unit = span.alpha + span.sigma if flow else steps.where(staged, span.alpha, 1.0)
        tau = span.sigma / unit
        change = -span.fall * tau / (1 + span.rho_end if flow else 1.0)
        places = []
        for c in tableau.c:
            if c == 0:
                alpha, sigma = span.alpha, span.sigma
            elif c == 1 and self.eta == 0:
                alpha, sigma = steps.alpha_s, steps.sigma_s
            elif c == 1:
                alpha, sigma = scales(schedule.kind, xp.ones_like(tau), span.rho_end)
            else:
                noise = tau + c * change
                # A sum, since change is negative: 1 - noise loses digits near pure noise.
                signal = span.alpha / unit - c * change if flow else xp.ones_like(noise)
                alpha, sigma = scales(schedule.kind, signal, noise)
            places.append(
                (steps.where(staged, alpha, span.alpha), steps.where(staged, sigma, span.sigma))
            )
        units = [
            alpha + sigma if flow else steps.where(staged, alpha, 1.0) for alpha, sigma in places
        ]
        units.append(span.alpha_end * (1 + span.rho_end if flow else 1.0))
        weights = [np.array([*row, *[0.0] * (count - len(row))]) for row in (*tableau.A, tableau.b)]
        stages = []
        for k, (alpha, sigma) in enumerate(places):
            # Newest first: entry j belongs to the slope of stage k - j.
            added = np.zeros(count)
            added[: k + 1] = (weights[k + 1] - weights[k])[k::-1]
            slopes = (units[k + 1] * change)[:, None] * steps.array(added)[None, :]
            ddim = (span.alpha_end * span.fall)[:, None] * steps.array(np.eye(1, count))
            ratio = span.alpha_end * span.rho_end / span.sigma
            last = k == count - 1
            stages.append(
                _Stage(
                    alpha=alpha,
                    sigma=sigma,
                    a=steps.where(staged, units[k + 1] / units[k], ratio),
                    b=steps.where(staged, slopes, ddim),
                    c=span.noise if last else steps.where(staged, 0.0 * span.noise, span.noise),
                )
            )
        return stages

    def _timesteps(
        self,
        schedule: "Schedule",
        alpha: Array,
        sigma: Array,
        step: np.ndarray,
        stage: np.ndarray,
        raised: np.ndarray,
        clean: np.ndarray,
    ) -> Any:
        """Return the timestep of each row: a point's own, or an interpolated one between points."""
        own = schedule.timesteps[::-1]
        origin = timestep_at_clean(schedule) if clean.any() else schedule.origin.timestep
        xp = namespace(own)
        end = xp.asarray([np.nan if origin is None else origin])
        reached = xp.concat([own[1:], end])
        place = np.array(self.tableau.c)[stage]
        at_start = (place == 0) & ~raised[step]
        at_end = (place == 1) & ((self.eta == 0) | clean[step])
        index = xp.asarray(step)
        timesteps = xp.where(xp.asarray(at_start), xp.take(own, index), xp.take(reached, index))
        between = ~(at_start | at_end)
        if between.any():
            timesteps = np.where(between, 0.0, to_host(timesteps))
            timesteps[between] = timesteps_between(
                schedule, to_host(alpha)[between], to_host(sigma)[between]
            )
        if between.any() or requires_gradient(differentiable_timesteps(schedule)):
            return timesteps_at(schedule, timesteps, alpha, sigma)
        return timesteps


class _Span(NamedTuple):
    """Where each step starts and ends, and its noise: columns of N numbers.

    Attributes:
        raised: Whether churn raises sigma/alpha at the start, a NumPy array.
        alpha: Signal scale at the start, after churn, in the scale of the schedule.
        sigma: Noise scale at the start, after churn.
        rho_end: sigma/alpha at the end, before noise is added.
        fall: 1 - rho_end / rho, with rho at the start, after churn.
        alpha_end: Signal scale after noise is added: at the start of the next step, or the origin.
        noise: Coefficient of the noise added after the step.
        start: Churn before the first step, as (scale, noise).
    """

    raised: np.ndarray
    alpha: Array
    sigma: Array
    rho_end: Array
    fall: Array
    alpha_end: Array
    noise: Array
    start: tuple[Any, Any]


class _Stage(NamedTuple):
    """The columns of a plan in the rows of one stage."""

    alpha: Array
    sigma: Array
    a: Array
    b: Array
    c: Array
