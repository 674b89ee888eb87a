"""The contract between samplers and the loop that runs them: four protocols, and nothing else.

A sampler is what `sample` takes: a `TableSampler` or a `StepSampler`. Neither is a base class.
"""

from typing import Any, Protocol, TypeAlias, TypeVar

from schedalg.arrays import Array
from schedalg.plan.plan import Plan
from schedalg.schedule import Point, Schedule

State = TypeVar("State")


class Denoise(Protocol):
    """The network as a sampler calls it."""

    def __call__(self, x: Array, t: Point, /) -> Array:
        """Return the prediction of x0, given x at the noise level of point t."""
        ...


class Noise(Protocol):
    """A source of noise."""

    def __call__(self, x: Array, /) -> Array:
        """Return a new standard normal draw of x's shape, dtype and library."""
        ...


class StepSampler(Protocol[State]):
    """A sampler that takes one step at a time: any class with these two methods.

    A sampler must not store anything on itself between steps. Then one object can serve any number
    of runs and threads at the same time.
    """

    def init(self, x: Array, schedule: Schedule) -> State:
        """Return the state for the first step; None if steps need no state.

        Args:
            x: The noisy start, (B, ...).
            schedule: The path to walk, from its last point to its origin.
        """
        ...

    def step(
        self,
        x: Array,
        t: Point,
        s: Point,
        denoise: Denoise,
        noise: Noise,
        state: State,
    ) -> tuple[Array, State]:
        """Return x at point s, and the state for the next step.

        Args:
            x: x at point t.
            t: The point that the step leaves.
            s: The point that it reaches, less noisy.
            denoise: The network; it may be called any number of times.
            noise: Returns new noise. It must not be called if the coefficient of the noise is 0.
            state: What `init` or the step before returned.
        """
        ...


class TableSampler(Protocol):
    """A sampler whose steps are a table of numbers, a `Plan`: any class with this one method."""

    def plan(self, schedule: Schedule, /) -> Plan:
        """Return the table that walks a schedule from its last point to its origin."""
        ...


#: What `sample` takes: a sampler whose steps are a table, or one that takes one step at a time.
Sampler: TypeAlias = TableSampler | StepSampler[Any]
