"""Sampling one schedule, one call of the network at a time.

A `Table` is a value, and so is the `State` of a run: a step takes a state and returns the next one.
A row is taken by a `Run` that goes on at it, from the memories in the state and the x of the call,
which a pipeline may have changed since the row before.
"""

import math
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, device, namespace, to_host, weighted
from schedalg.checks import check_like
from schedalg.interop.diffusers.methods import LatePNDM
from schedalg.network.bounds import Clamp
from schedalg.network.denoiser import Denoiser
from schedalg.network.reading import raise_undetermined, reading_of
from schedalg.plan.plan import Plan, check_plan
from schedalg.running.reference import Functional, ReferenceBackend
from schedalg.running.rows import Bounded, Rows, rows_of
from schedalg.running.state import Run
from schedalg.samplers import LCM, PNDM, TCD
from schedalg.samplers.protocols import StepSampler
from schedalg.schedule import Point, Schedule


class State(NamedTuple):
    """The state of a run.

    Attributes:
        table: The table that it runs.
        row: The next row.
        memory: What the rows before remembered and later ones may read, the oldest first; or the
            state of a sampler without a table.
    """

    table: "Table"
    row: int
    memory: Any


class Table:
    """The rows of a sampler on a schedule, each with one call of the network.

    Where the schedule has fewer points than the order of the sampler, that is its order: as in
    diffusers, a pipeline can leave fewer steps than the method uses.

    Args:
        schedule: The schedule.
        sampler: A sampler with a table; or one without that calls the network once a step, where
            the step starts.
        prediction: What the network predicts.
        clip: The bounds of x0.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, or the sampler does not fit the schedule.
    """

    def __init__(self, schedule: Schedule, sampler: Any, prediction: Any, clip: Any) -> None:
        self.schedule = schedule
        self.sampler = sampler
        self.prediction = prediction
        self.clip = clip
        self.denoise = Denoiser(_nothing, schedule, prediction, clip=clip)
        self.planned = callable(getattr(sampler, "plan", None))
        if self.planned:
            plan = check_plan(_fitting(sampler, schedule).plan(schedule), schedule)
            if plan.start != (1.0, 0.0):
                raise ValueError(
                    f"{sampler!r} changes x before its first call, which a pipeline cannot do"
                )
        else:
            plan = _plain(schedule)
        self.plan = plan
        self.timesteps = plan.timesteps
        reading = reading_of(self.denoise.parameterization, schedule, plan.alpha, plan.sigma)
        self.c_in, self.c_x, self.c_out = (to_host(column).tolist() for column in reading[:3])
        self._rows: dict[tuple[Any, ...], Rows] = {}
        self.row_timesteps: list[int | float] = self.timesteps.tolist()

    def __len__(self) -> int:
        return len(self.row_timesteps)

    @property
    def order(self) -> int:
        """The number of calls in each step but the first and the last.

        A pipeline that leaves k steps out begins at row k times the order. (PNDM has one call more
        in its first step, and order 1.)
        """
        if isinstance(self.sampler, PNDM) or len(self) == 0:
            return 1
        calls = np.bincount(self.plan.step)
        return int(calls[1:-1].max() if len(calls) > 2 else calls.max())

    def from_row(self, row: int) -> "Table":
        """Return the table of a run that starts at this row.

        Raises:
            ValueError: The row is in the middle of a step, or the sampler goes back to higher noise
                levels, or starts with other calls than those that follow here.
        """
        if row == 0:
            return self
        step, repeated = int(self.plan.step[row]), False
        sampler = self.sampler
        if int(self.plan.step[-1]) + 1 != len(self.schedule):
            raise ValueError(
                f"a run of {sampler!r} cannot start at row {row}: it goes back to noise levels "
                "where it was before"
            )
        if isinstance(sampler, PNDM):
            repeated = row == 1
            step, sampler = step + repeated, LatePNDM(repeated=repeated)
        elif self.plan.step[row - 1] == step:
            raise ValueError(
                f"a run cannot start at row {row} of {sampler!r}, in the middle of a step"
            )
        rest = self.schedule[: len(self.schedule) - step]
        table = Table(rest, sampler, self.prediction, self.clip)
        if table.row_timesteps != self.row_timesteps[row:]:
            raise ValueError(
                f"a run of {sampler!r} cannot start at row {row}: it would call the network at "
                f"{table.row_timesteps}, and the pipeline at {self.row_timesteps[row:]}"
            )
        return table

    def starts_step(self, row: int) -> bool:
        """Return whether a step starts with this row."""
        return row == 0 or self.plan.step[row - 1] != self.plan.step[row]

    def start(self) -> State:
        """Return the state of a new run."""
        return State(self, 0, ())

    def input(self, row: int, x: Array) -> Array:
        """Return the model input of a row."""
        c_in = self.c_in[row]
        return x if c_in == 1 else weighted([(c_in, x)])

    def step(
        self,
        state: State,
        x: Array,
        output: Array,
        draw: Callable[[Array], Array],
        x0: Array | None = None,
    ) -> tuple[Array, Array, State]:
        """Return x after the next row, the x0 prediction there, and the state of the run then.

        Args:
            state: The state of the run.
            x: x before the row.
            output: The network's output.
            draw: Returns standard normal noise like x. It is called if the row has noise.
            x0: The x0 prediction, in place of that from the output.
        """
        k = state.row
        if x0 is None:
            output, variance, x0 = self._predicted(k, x, output)
        else:
            check_like("pred_original_sample", x0, x)
            if self.planned and np.asarray(to_host(self.plan.u)).any():
                raise ValueError(f"pred_original_sample= does not go with {self.sampler!r}")
            output, variance = x0, None
        if not self.planned:
            after, state = self._plain_step(state, x, x0, draw)
            return after, x0, state
        clip = self.denoise.clip
        ready = output is x0 or not isinstance(clip, Clamp | None)
        bounded: Bounded = clip if isinstance(clip, Clamp | None) and not ready else "given"
        run = Run(
            self.plan,
            self.denoise.parameterization,
            None,
            self._rows_for(x, bounded),
            _ONE_ROW,
            x,
            draw,
            reuse=False,
            row=k,
            memories=state.memory,
        )
        run.take(output, x0 if ready else None, variance)
        return run.x, x0, State(self, k + 1, tuple(run.memories()))

    def _rows_for(self, x: Array, bounded: Bounded) -> Rows:
        """Return the rows for arrays like x, which are the same in every step."""
        key = type(x), x.dtype, str(device(x)), bounded == "given"
        found = self._rows.get(key)
        if found is None:
            found = rows_of(self.plan, x, self.denoise.parameterization, bounded)
            if isinstance(self.plan.a, np.ndarray):  # else a gradient flows through them, once
                self._rows[key] = found
        return found

    def _predicted(self, k: int, x: Array, output: Array) -> tuple[Array, Array | None, Array]:
        """Return the output of row k, the learned variance or None, and the x0 prediction."""
        if not (math.isfinite(self.c_x[k]) and math.isfinite(self.c_out[k])):
            alpha = float(self.plan.alpha[k])
            raise_undetermined(self.denoise.parameterization, self.row_timesteps[k], alpha)
        output, variance = _split(output, x)
        check_like("model_output", output, x)
        x0 = self.denoise.bounded(weighted([(self.c_x[k], x), (self.c_out[k], output)]))
        return output, variance, x0

    @property
    def ends_at_x0(self) -> bool:
        """Whether the result of the last row is what pipelines take for the x0 prediction there.

        Those of distilled networks decode it in place of x.
        """
        return isinstance(self.sampler, LCM | TCD)

    def _plain_step(
        self, state: State, x: Array, x0: Array, draw: Callable[[Array], Array]
    ) -> tuple[Array, State]:
        """Return x and the state after a step of a sampler without a table."""
        k, n = state.row, len(self.schedule)
        t = self.schedule[n - 1 - k]
        s = self.schedule[n - 2 - k] if k < n - 1 else self.schedule.origin
        sampler: StepSampler[Any] = self.sampler
        memory = state.memory if k else (sampler.init(x, self.schedule),)

        def denoise(at_x: Array, at: Point, /) -> Array:
            if at_x is not x or at is not t:
                raise ValueError(
                    f"{type(sampler).__name__} calls the network elsewhere than at the start of a "
                    "step, and has no table: a pipeline cannot run it"
                )
            return x0

        after, next_state = sampler.step(x, t, s, denoise, draw, memory[0])
        return after, State(self, k + 1, (next_state,))


class _OneRow(ReferenceBackend):
    """Takes a run through one row, by operations that return new arrays: a state is a value.

    Pipelines have timesteps of their own.
    """

    def timesteps(self, values: np.ndarray, x: Array) -> tuple[Array, ...]:
        """Return nothing."""
        return ()

    def update(self, rows: Rows, x: Array, keys: np.ndarray | None, *, reuse: bool) -> Functional:
        """Return what takes x through a row."""
        return Functional(rows, keys)


_ONE_ROW = _OneRow()


def _fitting(sampler: Any, schedule: Schedule) -> Any:
    """Return the sampler, its order lowered to the number of points if that is less."""
    order, most = getattr(sampler, "order", None), max(len(schedule), 1)
    if is_dataclass(sampler) and isinstance(order, int) and order > most:
        return replace(sampler, order=most)  # type: ignore[type-var]
    return sampler


def _plain(schedule: Schedule) -> Plan:
    """Return a plan that calls the network at each point; its coefficients are not used."""
    n = len(schedule)
    return Plan.of(schedule, a=np.zeros(n), b=np.ones(n))


def _nothing(x: Array, timesteps: Array) -> Array:
    raise AssertionError("the pipeline calls the network")


def _split(output: Any, x: Array) -> tuple[Any, Any]:
    """Return the prediction, and the learned variance if there are twice the channels of x."""
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) == x.ndim > 1 and shape[1] == 2 * x.shape[1] > 0:
        namespace(output, x)
        return output[:, : x.shape[1], ...], output[:, x.shape[1] :, ...]
    return output, None
