"""Points chosen by where a teacher went: costs of steps, and roll-outs that end there."""

import numpy as np

from schedalg.checks import described
from schedalg.fitting.samples import predicted, wide
from schedalg.fitting.trajectories import Trajectories
from schedalg.schedule import Schedule
from schedalg.schedule.costs import ddim_steps, distances
from schedalg.schedule.selection import checked_count


def trajectory_costs(trajectories: Trajectories) -> np.ndarray:
    """Return how far a DDIM step from each of a teacher's states lands from each later one.

    It calls the network once at each point, and returns `schedule.trajectory_costs(states,
    predictions)`, which takes states and predictions from elsewhere.

    Args:
        trajectories: The teacher's states at N points, and the network: 16 samples are usually
            enough.

    Returns:
        (N, N), float64 NumPy: C[i, j] of the step from point j down to point i, as `choose` takes
        it.

    Raises:
        TypeError: `trajectories` is not a Trajectories.
        ValueError: A prediction is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, choose, trajectories, trajectory_costs
        >>> base = Schedule.linear(1000).subsample(steps=20, spacing="log_snr")
        >>> x = np.random.default_rng(0).standard_normal((4, 2))
        >>> teacher = trajectories(lambda x, t: 0.5 * np.tanh(x), base, x, DDIM().plan(base))
        >>> len(choose(base, 5, trajectory_costs(teacher)))
        5

    Source: Chen et al., arXiv 2405.11326 (GITS).
    """
    _check(trajectories)
    schedule, states = trajectories.schedule, [wide(x) for x in trajectories.states[-2::-1]]
    predictions = [predicted(trajectories, x, t) for x, t in zip(states, schedule, strict=True)]
    return schedule.trajectory_costs(np.stack(states), np.stack(predictions))


def choose_by_rollout(trajectories: Trajectories, steps: int) -> Schedule:
    """Return the points through which DDIM ends up near a teacher, found by DDIM's own roll-outs.

    By dynamic programming: for each point and each number of steps k, the path to this point is
    stored whose state is nearest to the teacher's. Longer paths continue from its own state, with
    the errors so far. (`choose` with `trajectory_costs` starts each step from the teacher's state.)
    The network is called (N - steps + 1) (steps - 2) + 1 times.

    Args:
        trajectories: The teacher's states at the N points to choose from, and the network.
        steps: The number of points to keep, from 2 to N; the least and the most noisy are kept.

    Returns:
        A schedule of `steps` points.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `steps` is out of range; or a prediction is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, choose_by_rollout, trajectories
        >>> base = Schedule.linear(1000).subsample(steps=20, spacing="log_snr")
        >>> x = np.random.default_rng(0).standard_normal((4, 2))
        >>> teacher = trajectories(lambda x, t: 0.5 * np.tanh(x), base, x, DDIM().plan(base))
        >>> len(choose_by_rollout(teacher, 5))
        5

    Source: Pei et al., arXiv 2503.21774 (OSS).
    """
    _check(trajectories)
    schedule = trajectories.schedule
    count = checked_count(steps, len(schedule))
    targets, points = [wide(x) for x in trajectories.states[-2::-1]], list(schedule)
    of_x, of_x0 = ddim_steps(schedule)
    reached = {len(points) - 1: targets[-1]}
    befores: list[dict[int, int]] = []
    for left in range(count - 2, -1, -1):
        least: dict[int, float] = {}
        nearest: dict[int, np.ndarray] = {}
        before: dict[int, int] = {}
        for j, x in reached.items():
            x0 = predicted(trajectories, x, points[j])
            # What is left to do needs as many points; the last step goes to the first of them.
            for i in range(left, j) if left else range(1):
                landed = of_x[i, j] * x + of_x0[i, j] * x0
                off = float(distances(_flat(landed), _flat(targets[i])))
                if off < least.get(i, np.inf):
                    least[i], nearest[i], before[i] = off, landed, j
        reached = nearest
        befores.append(before)
    chosen = [0]
    for before in reversed(befores):
        chosen.append(before[chosen[-1]])
    return schedule[chosen]


def _check(trajectories: object) -> None:
    if not isinstance(trajectories, Trajectories):
        raise TypeError(f"trajectories must be Trajectories, got {described(trajectories)}")


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)
