"""`trajectory`, where a fine sampler takes x; `choose_by_rollout`, coarse steps that end there."""

from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, to_host, weighted
from schedalg.checks import check_sample, described, raise_stopped
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.plans import plan_of
from schedalg.running.sampling import sample_steps
from schedalg.samplers import DDIM
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.costs import checked_trajectory, ddim_steps, distances
from schedalg.schedule.spacing import checked_count


class Trajectory(NamedTuple):
    """Where a sampler takes x, at each point of a schedule, the least noisy first.

    Attributes:
        states: x at each point, (N, B, ...), NumPy.
        predictions: The x0 predictions there, (N, B, ...), NumPy.
    """

    states: np.ndarray
    predictions: np.ndarray


def trajectory(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    x: Array,
    sampler: Sampler | Plan | None = None,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    progress: bool = False,
    **model_kwargs: Any,
) -> Trajectory:
    """Return the states and the predictions of a run through all points of a schedule.

    A teacher for `schedule.trajectory_costs` and `choose_by_rollout`: 16 samples and 100 points are
    usually enough.

    Args:
        model: As in `sample`.
        schedule: The points, N of them.
        x: (B, ...), as in `sample`.
        sampler: One that calls the network once at each point and draws no noise, such as
            `DPMSolverPP()`. None: `DDIM()`.
        prediction: As in `sample`.
        clip: As in `sample`.
        progress: As in `sample`.
        **model_kwargs: Passed to the network in every call.

    Returns:
        `(states, predictions)`, on the host in the dtype of x.

    Raises:
        TypeError: As `sample`.
        ValueError: As `sample`; or the schedule has no points, the sampler has no plan, draws noise
            or calls the network elsewhere than once at each point.
        ImportError: As `sample`.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, choose, trajectory
        >>> base = Schedule.linear(1000).subsample(steps=20, spacing="log_snr")
        >>> x = np.random.default_rng(0).standard_normal((4, 2))
        >>> teacher = trajectory(lambda x, t: 0.5 * np.tanh(x), base, x)
        >>> len(choose(base, 5, base.trajectory_costs(*teacher)))
        5
    """
    check_schedule(schedule)
    check_sample("x", x)
    if len(schedule) == 0:
        raise ValueError("schedule has no points, and so no trajectory")
    method = DDIM() if sampler is None else sampler
    plan = plan_of(schedule, method)
    if plan is None:
        raise ValueError(f"sampler has no plan: {described(method)} cannot be looked at")
    if not np.array_equal(plan.timesteps, schedule.timesteps[::-1]):
        raise ValueError(
            f"sampler calls the network {len(plan)} times, and not once at each of the schedule's "
            f"{len(schedule)} points: take one such as DDIM() or DPMSolverPP()"
        )
    if to_host(plan.c).any() or to_host(plan.start[1]).any():
        raise ValueError("sampler draws noise: a trajectory is of one that draws none")
    steps = sample_steps(
        model, schedule, plan, x,
        prediction=prediction, clip=clip, progress=progress, previews=True, **model_kwargs,
    )  # fmt: skip
    states, predictions = [np.array(to_host(x))], []
    for reached, x0 in steps:
        states.append(np.array(to_host(reached)))
        predictions.append(np.array(to_host(x0)))
    return Trajectory(np.stack(states[-2::-1]), np.stack(predictions[::-1]))


def choose_by_rollout(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    steps: int,
    x: Array,
    teacher: Trajectory | Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    **model_kwargs: Any,
) -> Schedule:
    """Return so many points through which DDIM ends up near a teacher, found by its own roll-outs.

    By dynamic programming: of the ways to a point in k steps, the one is kept whose state is
    nearest to the teacher's there, and goes on from its own state, with all that it has done wrong.
    (`choose` with `trajectory_costs` starts each step from the teacher's.) The network is called
    about N (steps - 2) times.

    Args:
        model: As in `sample`.
        schedule: The schedule to choose from, of N points. The least and the most noisy are kept.
        steps: The number of points to keep, from 2 to N.
        x: (B, ...), what the teacher started from, in the library of the network.
        teacher: What `trajectory` returned, or its states alone: (N, B, ...), the least noisy
            first.
        prediction: As in `sample`.
        clip: As in `sample`.
        **model_kwargs: Passed to the network in every call.

    Returns:
        A schedule of so many points.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `steps` is out of range; the teacher has not a state of x's shape for each
            point, or started from another x; or as `sample`.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, choose_by_rollout, trajectory
        >>> base = Schedule.linear(1000).subsample(steps=20, spacing="log_snr")
        >>> x = np.random.default_rng(0).standard_normal((4, 2))
        >>> def model(x, t):
        ...     return 0.5 * np.tanh(x)
        >>> teacher = trajectory(model, base, x)
        >>> len(choose_by_rollout(model, base, 5, x, teacher))
        5

    Source: Pei et al., arXiv 2503.21774 (OSS).
    """
    check_schedule(schedule)
    check_sample("x", x)
    n = len(schedule)
    count = checked_count(steps, n)
    states = teacher.states if isinstance(teacher, Trajectory) else teacher
    targets = checked_trajectory("teacher", states, n)
    _check_start(targets, np.shape(states), x)
    options = NetworkOptions(prediction, clip, False, model_kwargs)
    denoise = denoiser_for(model, schedule, options)
    of_x, of_x0 = ddim_steps(schedule)
    reached: dict[int, Array] = {n - 1: x}
    befores: list[dict[int, int]] = []
    for left in range(count - 2, -1, -1):
        least: dict[int, float] = {}
        nearest: dict[int, Array] = {}
        before: dict[int, int] = {}
        for j, state in reached.items():
            try:
                x0 = denoise(state, schedule[j])
            except StopIteration as error:
                raise_stopped(error, "model or clip")
            # What is left to do needs as many points; the last step goes to the first of them.
            for i in range(left, j) if left else range(1):
                landed = weighted([(float(of_x[i, j]), state), (float(of_x0[i, j]), x0)])
                off = float(distances(_flat(landed), targets[i]))
                if off < least.get(i, np.inf):
                    least[i], nearest[i], before[i] = off, landed, j
        reached = nearest
        befores.append(before)
    chosen = [0]
    for before in reversed(befores):
        chosen.append(before[chosen[-1]])
    return schedule[chosen]


def _flat(x: Array) -> np.ndarray:
    host = to_host(x)
    return host.reshape(len(host), -1).astype(np.float64)


def _check_start(targets: np.ndarray, shape: tuple[int, ...], x: Array) -> None:
    if shape[1:] != tuple(x.shape):
        raise ValueError(f"teacher has states of shape {shape[1:]}, and x is {tuple(x.shape)}")
    if not np.allclose(targets[-1], _flat(x), rtol=1e-3, atol=1e-3):
        raise ValueError("teacher started from another x: give the one that it started from")
