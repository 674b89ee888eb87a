"""What ways of fitting share: which plans and samples they take, and how they call the network."""

import math
from typing import NamedTuple

import numpy as np

from schedalg.arrays import Array, known, to_host
from schedalg.checks import described, positive_integer, raise_stopped
from schedalg.fitting.trajectories import Trajectories, check_noiseless
from schedalg.plan.columns import schedule_evaluations
from schedalg.plan.plan import Plan, as_plan
from schedalg.schedule import Point


class Split(NamedTuple):
    """Which samples are fitted, and which are held out.

    Attributes:
        fitted: The former.
        held: The latter, a quarter of all.
    """

    fitted: slice
    held: slice

    @classmethod
    def of(cls, x: Array, unknowns: int) -> "Split":
        """Return the split of samples to which so many numbers are fitted.

        Raises:
            ValueError: There are too few.
        """
        count, elements = x.shape[0], math.prod(x.shape[1:])
        held = max(count // 4, 1)
        if (count - held) * elements < unknowns:
            raise ValueError(
                f"trajectories hold {count} samples of {elements} elements, of which {held} are "
                f"held out: too few for {unknowns} unknowns"
            )
        return cls(slice(count - held), slice(count - held, None))

    def error(self, off: np.ndarray) -> float:
        """Return the mean square on the samples that are held out."""
        return float(np.mean(off[self.held] ** 2))


def predicted(trajectories: Trajectories, x: np.ndarray, point: Point) -> np.ndarray:
    """Return the network's x0 predictions for samples in float64, in float64.

    Raises:
        ValueError: One is NaN or infinite.
    """
    like = trajectories.states[0]
    try:
        x0 = wide(trajectories.denoise(known(like).array_like(x, like), point))
    except StopIteration as error:
        raise_stopped(error, "model or clip")
    if not np.isfinite(x0).all():
        raise ValueError(f"the prediction at timestep {point.timestep} is NaN or infinite")
    return x0


def wide(x: Array) -> np.ndarray:
    """Return the values of an array in float64."""
    return to_host(x).astype(np.float64, copy=False)


def checked_memories(plan: Plan, memories: object) -> int:
    """Return how many memories rows read; None is as many as the plan's.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is less than the plan's, or more than there are rows.
    """
    least = plan.b.shape[1]
    width = least if memories is None else positive_integer("memories", memories)
    if not least <= width <= max(len(plan), least):
        raise ValueError(
            f"memories must be from {least}, which the plan's rows read, to {len(plan)}, the "
            f"number of rows; got {width}"
        )
    return width


def check_fitted(plan: object, trajectories: object) -> None:
    """Raise unless the coefficients of a plan can be fitted to trajectories.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The trajectories are of another schedule; the plan draws noise, has stages, or
            uses x0 before it is bounded.
    """
    plan = as_plan("plan", plan)
    if not isinstance(trajectories, Trajectories):
        raise TypeError(f"trajectories must be Trajectories, got {described(trajectories)}")
    if not isinstance(plan.a, np.ndarray):
        raise ValueError("plan must be of numbers, and a gradient flows through this one")
    if plan.schedule != trajectories.schedule:
        raise ValueError(
            f"trajectories are of another schedule: {trajectories.schedule!r}, not "
            f"{plan.schedule!r}"
        )
    check_noiseless("plan", plan)
    points = schedule_evaluations(plan.schedule)
    if (
        plan.start[0] != 1
        or not np.array_equal(plan.step, np.arange(len(points.alpha)))
        or not np.array_equal(plan.alpha, points.alpha)
        or not np.array_equal(plan.sigma, points.sigma)
    ):
        raise ValueError(
            "plan must call the network once at each point of its schedule, the noisiest first: a "
            "plan with stages, such as Heun's, or a reversed one cannot be fitted"
        )
    if plan.u.any():
        raise ValueError("plan uses x0 before it is bounded, which cannot be fitted")
    if ((plan.q != 0) & (plan.sigma == 0)).any():
        raise ValueError("plan uses the slope at clean data, which cannot be fitted")
