"""`Trajectories`: where a teacher takes samples, at the points of a schedule with fewer steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedalg.arrays import Array, host_number, to_host
from schedalg.checks import check_like, check_sample, described
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser, check_denoiser
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.columns import host_start
from schedalg.plan.plan import Plan, as_plan
from schedalg.running import execution
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.schedule import Schedule, check_schedule


@dataclass(frozen=True, eq=False)
class Trajectories:
    """What `fit` learns from: the states that a plan should reach, and the network it calls.

    `trajectories` makes them. States from elsewhere, such as those that a server has logged, can be
    given here.

    Args:
        schedule: The points, N of them.
        states: N + 1 arrays (n, ...), n samples each: at the noisiest point, at the others in their
            order, and at the origin.
        denoise: The network, as a `Denoiser` of the schedule.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: There are not N + 1 states, they differ in shape, dtype or device, one is NaN or
            infinite, or the denoiser is for another schedule.

    Example:
        >>> import numpy as np
        >>> from schedalg import Denoiser, Schedule, Trajectories
        >>> s = Schedule.from_sigmas([1.0, 4.0])
        >>> denoise = Denoiser(lambda x, sigma: 0 * x, s, "x0")
        >>> len(Trajectories(s, [np.ones((3, 2)) * c for c in (4.0, 1.0, 0.0)], denoise).states)
        3
    """

    schedule: Schedule
    states: Sequence[Array]
    denoise: AnyDenoiser

    def __post_init__(self) -> None:
        check_schedule(self.schedule)
        check_denoiser("denoise", self.denoise)
        if self.denoise.schedule != self.schedule:
            raise ValueError(
                f"denoise is for another schedule: {self.denoise.schedule!r}, not {self.schedule!r}"
            )
        if not isinstance(self.states, tuple | list):
            raise TypeError(f"states must be a list of arrays, got {described(self.states)}")
        if len(self.states) != len(self.schedule) + 1:
            raise ValueError(
                f"states must be {len(self.schedule) + 1}, one at each of the {len(self.schedule)} "
                f"points and one at the origin; got {len(self.states)}"
            )
        for k, state in enumerate(self.states):
            check_sample(f"states[{k}]", state)
            check_like(f"states[{k}]", state, self.states[0], "states[0]")
            _check_finite(f"states[{k}]", state)
        object.__setattr__(self, "states", tuple(self.states))


def trajectories(
    model: Model | AnyDenoiser,
    schedule: Schedule,
    x: Array,
    teacher: Plan,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    **model_kwargs: Any,
) -> Trajectories:
    """Return the states of samples at the points of a schedule, on a teacher's way through them.

    The teacher is a plan of many steps: of the schedule that the points were chosen from, or of
    `schedule.refine(10)`, which has ten steps in place of one.

    Args:
        model: The network, as `sample` takes it. It is called with all samples at once.
        schedule: The points.
        x: (n, ...), at the last point: noise of seeds that no quality is measured on.
        teacher: A plan without noise, whose steps arrive at every point of the schedule.
        prediction: As in `sample`.
        clip: As in `sample`.
        **model_kwargs: Passed to the network in every call.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The teacher draws noise, does not arrive at a point, or does not start at the
            last one; x, or what the network returns, is NaN or infinite; or an argument is one that
            `sample` refuses.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, trajectories
        >>> base = Schedule.linear(1000)
        >>> few = base.subsample(timesteps=[199, 599, 999])
        >>> x = np.random.default_rng(0).standard_normal((4, 2))
        >>> made = trajectories(lambda x, t: np.tanh(x), few, x, DDIM().plan(base))
        >>> len(made.states), bool((made.states[0] == x).all())
        (4, True)
    """
    check_schedule(schedule)
    check_sample("x", x)
    _check_finite("x", x)
    arrivals = _arrivals(schedule, teacher)
    options = NetworkOptions(prediction, clip, True, model_kwargs)
    denoise = denoiser_for(model, schedule, options._replace(check_finite=False))
    run, call = execution.prepared(teacher, model, x, options, None, reuse=False)
    states = [x, *(at.x for i, at in enumerate(execution.steps(run, call)) if i in arrivals)]
    return Trajectories(schedule, tuple(states), denoise)


def _arrivals(schedule: Schedule, teacher: object) -> set[int]:
    """Return the steps after which a teacher is at the points of a schedule and at its origin.

    Raises:
        TypeError: The teacher is not a Plan.
        ValueError: It draws noise, or does not walk through every point.
    """
    teacher = as_plan("teacher", teacher)
    check_noiseless("teacher", teacher)
    path, count = teacher.schedule, len(np.unique(teacher.step))
    if path.kind != schedule.kind:
        raise ValueError(f"teacher is for a {path.kind} schedule, and schedule is {schedule.kind}")
    if count != len(path):
        raise ValueError(
            f"teacher has {count} steps for {len(path)} points: it must arrive once at every point"
        )
    wanted, reached = (_log_snr(each)[::-1] for each in (schedule, path))
    with np.errstate(invalid="ignore"):  # where both are infinite
        apart = abs(wanted[:, None] - reached)
    same = (apart <= _CLOSE) | (wanted[:, None] == reached)
    if not same.any(axis=1).all():
        k = int(np.argmin(same.any(axis=1)))
        where = "the origin" if k == len(schedule) else f"point {len(schedule) - 1 - k}"
        raise ValueError(
            f"teacher does not arrive at {where} of schedule, where the log-SNR is {wanted[k]:.6g}"
        )
    places = same.argmax(axis=1)
    if len(schedule) and places[0] != 0:
        raise ValueError(
            f"teacher starts at timestep {path.timesteps[-1]}, and schedule at timestep "
            f"{schedule.timesteps[-1]}"
        )
    return {place - 1 for place in places[1:].tolist()}


#: Log-SNRs that differ by less are of one point.
_CLOSE = 1e-9


def _log_snr(schedule: Schedule) -> np.ndarray:
    """Return the log-SNR at the origin and at every point."""
    origin = schedule.origin.log_snr
    return np.append(host_number(origin), to_host(schedule.to_log_snr()).astype(np.float64))


def _check_finite(name: str, x: Array) -> None:
    finite = np.isfinite(to_host(x)).all(axis=tuple(range(1, x.ndim)))
    if not finite.all():
        raise ValueError(f"{name}[{int(np.argmin(finite))}] holds NaN or infinity")


def check_noiseless(name: str, plan: Plan) -> None:
    """Raise if a plan draws noise.

    Raises:
        ValueError: It does.
    """
    if to_host(plan.c).any() or host_start(plan.start)[1] or plan.log_variance is not None:
        raise ValueError(
            f"{name} draws noise: it must be a plan of a deterministic sampler, such as "
            "DPMSolverPP(order=2)"
        )
