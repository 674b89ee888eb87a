"""Named Runge-Kutta methods: the samplers of EDM and k-diffusion."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schedalg.samplers.fitted import ErrorCurve, checked_curve, fitted
from schedalg.samplers.runge_kutta import EULER, HEUN, MIDPOINT, RungeKutta, Tableau

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class Euler(RungeKutta):
    """Euler's method, of order 1: the same as DDIM, with EDM's churn as an option.

    One call of the network a step. The arguments are those of `RungeKutta`.

    Example:
        >>> from schedalg import DDIM, Euler, Schedule
        >>> s = Schedule.karras(10)
        >>> bool(abs(Euler().plan(s).a - DDIM().plan(s).a).max() < 1e-15)
        True

    Source: Karras et al., arXiv 2206.00364, algorithm 2 without lines 6 to 8.
    """

    tableau: Tableau = field(default=EULER, init=False)


@dataclass(frozen=True)
class EulerAncestral(RungeKutta):
    """Euler's method with ancestral noise: DDIM with eta, and DDPM at eta = 1.

    One call of the network a step. The arguments are those of `RungeKutta`, and one more.

    Args:
        variance: (schedule, errors), as `DDIM` takes it: each step also adds noise with the
            variance that is lost because the predicted x0 is a mean. None: no such noise.

    Raises:
        TypeError: As `RungeKutta`, or `variance` is not a schedule and numbers.
        ValueError: As `RungeKutta`; or `variance` has errors that are not those of x0 at each
            point, or comes with churn.

    Example:
        >>> from schedalg import DDPM, EulerAncestral, Schedule
        >>> s = Schedule.linear(1000).subsample(steps=10)
        >>> bool(abs(EulerAncestral().plan(s).c - DDPM().plan(s).c).max() < 1e-15)
        True

    Source: the ancestral sampler of k-diffusion; Song et al., arXiv 2010.02502, equation 16; Bao et
    al., arXiv 2201.06503 (the variance that is added).
    """

    tableau: Tableau = field(default=EULER, init=False)
    eta: float = 1.0
    variance: ErrorCurve | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance is None:
            return
        if self.s_churn:
            raise ValueError("variance and s_churn are two kinds of noise: give one of them")
        object.__setattr__(self, "variance", checked_curve("variance", self.variance))

    def plan(self, schedule: "Schedule") -> "Plan":
        """Return the table for a schedule.

        Raises:
            ValueError: A point is outside of the noise levels at which the errors are known.
        """
        plan = super().plan(schedule)
        return plan if self.variance is None else fitted(plan, self.variance)


@dataclass(frozen=True)
class Heun(RungeKutta):
    """Heun's method, of order 2: EDM's sampler, and the flow matching one on `Schedule.flow`.

    Two calls of the network a step, the second at the point where the step arrives. A step to clean
    data makes one call, unless the network is one of flow matching. The arguments are those of
    `RungeKutta`.

    Example:
        >>> from schedalg import Heun, Schedule
        >>> plan = Heun(s_churn=2.0, s_tmax=50.0).plan(Schedule.karras(4))
        >>> plan.model_calls
        7

    Source: Karras et al., arXiv 2206.00364, algorithms 1 and 2.
    """

    tableau: Tableau = field(default=HEUN, init=False)


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """The midpoint method, of order 2.

    Two calls of the network a step, the second in the middle of the step in tau, between points of
    the schedule. A step to clean data makes one call, unless the network is one of flow matching.
    The arguments are those of `RungeKutta`.

    Example:
        >>> from schedalg import Midpoint, Schedule
        >>> Midpoint().plan(Schedule.flow(2)).timesteps
        array([1.  , 0.75, 0.5 , 0.25])

    Source: Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, section II.1.
    """

    tableau: Tableau = field(default=MIDPOINT, init=False)
