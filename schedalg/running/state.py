"""`Run`: a plan on its way, which whoever calls the network holds in hand."""

import math
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, NoReturn

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    is_array,
    multiplier,
    namespace,
    requires_gradient,
    to_host,
    weighted,
    widened,
)
from schedalg.checks import check_memory, check_sample, described
from schedalg.network.bounds import Clip, bounded, bounding
from schedalg.network.model import check_input, read_output
from schedalg.network.reading import raise_undetermined, reading_of
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan, as_plan
from schedalg.running import snapshot
from schedalg.running.backend import Backend, Update
from schedalg.running.noise import NoiseSource
from schedalg.running.per_sample import EveryRow
from schedalg.running.plans import constant_plan
from schedalg.running.preparation import (
    Source,
    checked_backend,
    meaning_of,
    raise_without_variance,
    rows_for,
    source_for,
    started,
    timesteps_of,
)
from schedalg.running.reference import Functional
from schedalg.running.rows import Rows
from schedalg.schedule import Point


class Run:
    """A plan on its way: x, the memories and the next row. `begin` and `resume` make one.

    In each row, the network is given `run.input` and `run.timesteps`, and `run.advance` takes its
    output:

        while not run.done:
            run.advance(model(run.input, run.timesteps))

    Arrays that a run hands out are not written to later.

    Attributes:
        plan: The plan.
        meaning: What the network's output means.
        bound: The function that bounds x0, where the rows do not.
        rows: The plan multiplied out with the two.
        source: Where the noise comes from.
        row: The next row, from 0; the number of rows when the run is at its end.
        x: (B, ...), before that row.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, begin
        >>> run = begin(DDIM().plan(Schedule.linear(1000).subsample(steps=3)), np.ones((1, 2)))
        >>> while not run.done:
        ...     run.advance(np.tanh(run.input))
        >>> run.row, run.x.round(3)
        (3, array([[35.269, 35.269]]))
    """

    __slots__ = (
        "_after",
        "_dtype",
        "_end",
        "_input",
        "_last",
        "_learned",
        "_noisy",
        "_reuse",
        "_scaled",
        "_shape",
        "_timesteps",
        "_update",
        "_x0",
        "bound",
        "meaning",
        "plan",
        "row",
        "rows",
        "source",
        "x",
    )

    def __init__(
        self,
        plan: Plan,
        meaning: Parameterization,
        bound: Callable[[Array], Array] | None,
        rows: Rows,
        backend: Backend,
        x: Array,
        source: Source,
        *,
        reuse: bool,
        row: int | None = None,
        memories: tuple[Array, ...] = (),
    ) -> None:
        keys = None if callable(source) else source
        self.plan = plan
        self.meaning = meaning
        self.bound = bound
        self.rows = rows
        self.source = source
        self.row = row or 0
        self.x = x if row is not None else started(plan, rows, x, source, backend)
        self._end = rows.count
        self._noisy = rows.noisy
        self._learned = rows.learned
        self._scaled = not rows.numbers or rows.scaled
        self._reuse = reuse
        self._shape, self._dtype = x.shape, x.dtype
        self._timesteps = timesteps_of(plan, rows, x, backend)
        self._update: Update = backend.update(
            rows, self.x, keys if any(rows.noisy) else None, reuse=reuse
        )
        self._after: Any = self._update
        # `EveryRow.__call__` would ask in each row whether all samples are in it. (`Functional` is
        # what compilers trace, which cannot keep a method.)
        update = self._update
        if type(update).__call__ is EveryRow.__call__ and type(update) is not Functional:
            self._after = update.after  # type: ignore[attr-defined]
        if memories:
            self._update.restore(self.row, memories)
        self._input: Array | None = None
        self._last: tuple[int, Array, Array] | None = None
        self._x0: Array | None = None

    def __copy__(self) -> "Run":
        if self._after is _raise_interrupted:
            self._after()
        check_memory("x", self.x)
        # x of a run that writes to it again is its own.
        x = namespace(self.x).asarray(self.x, copy=True) if self._reuse else self.x
        other = Run(
            self.plan,
            self.meaning,
            self.bound,
            self.rows,
            checked_backend(self.plan, x),
            x,
            self.source,
            reuse=False,
            row=self.row,
            memories=tuple(self.memories()),
        )
        other._last, other._x0 = self._last, self._x0
        return other

    def __deepcopy__(self, memo: object) -> "Run":
        return copy(self)  # what it shares is not written to

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Run cannot be pickled: save its state(), and go on from it by resume()")

    @property
    def done(self) -> bool:
        """Whether the last row is done, and x is where the plan leads."""
        return self.row == self._end

    @property
    def input(self) -> Array:
        """What the network is to be given next, (B, ...): x, in the scale it was trained in.

        Raises:
            ValueError: The run is at its end; or the memory of x was freed.
        """
        if self._input is None:
            check_memory("x", self.x)  # which the user has in hand
        model_input = self.given()
        check_memory(
            "input", model_input
        )  # which was in the user's hands, if it is asked for again
        return model_input

    def given(self) -> Array:
        """Return `input` where nobody else has had x in hand: its memory is not looked at.

        Raises:
            ValueError: The run is at its end.
        """
        if self._input is None:
            if self.row == self._end:
                self._raise_ended()
            self._input = self._update.input(self.row, self.x) if self._scaled else self.x
        return self._input

    @property
    def timesteps(self) -> Array:
        """The timestep that the network is to be given next, for each sample, (B,).

        Raises:
            ValueError: The run is at its end.
        """
        if self.row == self._end:
            self._raise_ended()
        return self._timesteps[self.row]

    @property
    def point(self) -> Point:
        """The noise level at which the network is to be called next.

        Raises:
            ValueError: The run is at its end.
        """
        if self.row == self._end:
            self._raise_ended()
        k, like = self.row, widened(self.x[:0, ...])
        alpha, sigma = (multiplier(scale, like) for scale in self.plan._constant(scales_at, k))
        return Point(alpha, sigma, self.rows.timesteps[k])

    @property
    def x0(self) -> Array | None:
        """The x0 prediction of the last call, within its bounds, like x; None before the first.

        It is computed when it is asked for, from the network's output, which must not have been
        written to since.

        Raises:
            ValueError: The output does not determine x0, such as a noise prediction at zero SNR; or
                the memory of x or of the output was freed.
        """
        if self._x0 is None and self._last is not None:
            check_memory("x", self._last[1])
            check_memory("output", self._last[2])
            self._x0 = self._predicted(*self._last)
        return self._x0

    def advance(self, output: Array) -> None:
        """Take x through the next row.

        Args:
            output: What the network returned for `input` and `timesteps`: like x, or with twice its
                channels (axis 1), of which the second half is the learned variance.

        Raises:
            TypeError: The output is not an array of x's library.
            ValueError: The run is at its end; the output has a wrong shape, dtype or device; or the
                plan takes a learned variance, and there is none.
        """
        if self.row == self._end:
            self._raise_ended()
        k, x = self.row, self.x
        for given in (x, self._input):
            if given is not None:
                check_input(given, self._shape, self._dtype)
        output, variance = read_output(output, x, self.rows.timesteps[k])
        self.take(output, self.bounded(output), variance)

    def bounded(self, output: Array) -> Array | None:
        """Return the x0 prediction of the next row where a function bounds it, else None."""
        if self.bound is None:
            return None
        read = self.rows.rows[self.row].read or (0.0, 1.0)
        return bounded(self.bound, weighted(zip(read, (self.x, output), strict=True)))

    def take(self, output: Array, x0: Array | None, variance: Array | None) -> None:
        """Take x through the next row, with arrays that are known to be like x.

        Args:
            output: The network's output.
            x0: The bounded x0 prediction, if something outside of the rows bounds it.
            variance: The learned variance, if the network has one.
        """
        k, x, noise = self.row, self.x, None
        if self._noisy[k]:
            if self._learned and variance is None:
                raise_without_variance(x)
            if callable(self.source):
                noise = self.source(x)
        self._input = None
        if not self._reuse:
            self._last, self._x0 = (k, x, output), x0
        try:
            # In one statement, between whose two assignments there is no interrupt.
            self.x, self.row = self._after(k, x, output, x0, variance, noise), k + 1
        except (ValueError, TypeError):
            raise  # before a memory has changed
        except BaseException:
            if self.row == k and self.rows.depth:
                self._after = _raise_interrupted  # memories may be of row k, or of the one before
            raise

    @property
    def takes_variance(self) -> bool:
        """Whether the next row takes a learned variance."""
        return self._learned and self._noisy[self.row]

    def state(self) -> dict[str, Any]:
        """Return a snapshot of the run: arrays like x, NumPy arrays and integers; see `resume`.

        Returns:
            "x"; "memories", (m, B, ...), those of the last rows that later ones may read, the
            oldest first; "row"; "keys", the keys of the noise, (B, 2), uint64, if the plan has any;
            and "settings", uint8, a JSON text of what a run must agree in to go on: the plan, the
            prediction, the bounds, and the library and dtype of x.

        Raises:
            ValueError: The noise comes from a generator or a function, whose state is not known, or
                from traced seeds; or a gradient flows, which a snapshot cannot hold.

        Example:
            >>> import numpy as np
            >>> from schedalg import DDIM, Schedule, begin
            >>> run = begin(DDIM().plan(Schedule.linear(1000).subsample(steps=3)), np.ones((1, 2)))
            >>> sorted(run.state())
            ['memories', 'row', 'settings', 'x']
        """
        if requires_gradient(self.x) or not self.rows.numbers:
            raise ValueError(
                "a gradient flows through the run, or it is traced, and a snapshot cannot hold "
                "that: detach x, make the schedule from plain numbers, and take the state outside "
                "of what is traced"
            )
        known = self.source is None or isinstance(self.source, np.ndarray)
        if not known and any(self.rows.noisy[self.row :]):
            raise ValueError(
                "the noise comes from a generator or a function, or its seeds are traced, and what "
                "it will draw next is not known: give a seed, or a list of seeds"
            )
        if self._after is _raise_interrupted:
            self._after()
        check_memory("x", self.x)
        xp, memories = namespace(self.x), self.memories()
        bounds = self.bound or self.rows.clip
        state: dict[str, Any] = {
            "x": xp.asarray(self.x, copy=True),
            "memories": xp.stack(memories)
            if memories
            else xp.zeros_like(self.x[None, ...][:0, ...]),
            "row": self.row,
            "settings": snapshot.settings_of(self.plan, self.x, self.meaning, bounds),
        }
        if isinstance(self.source, np.ndarray):
            state["keys"] = self.source.copy()
        return state

    def memories(self) -> list[Array]:
        """Return what the rows before remembered and later rows may read, the oldest first."""
        rows, end = self.rows, self.row
        return [
            namespace(self.x).zeros_like(self.x)
            if rows.rows[k].memory is None
            else self._update.memory(k)
            for k in range(max(end - rows.depth, 0), end)
        ]

    def _predicted(self, k: int, x: Array, output: Array) -> Array:
        like = widened(x[:0, ...])
        weights = self.plan._constant(reading_weights_at, self.meaning, k)
        read = [multiplier(weight, like) for weight in weights]
        if not all(is_array(weight) or math.isfinite(weight) for weight in read):
            alpha, _ = self.plan._constant(scales_at, k)
            raise_undetermined(self.meaning, self.rows.timesteps[k], alpha)
        x0 = weighted(zip(read, (x, output), strict=True))
        clip = self.rows.clip
        return x0 if clip is None else namespace(x0).clip(x0, *clip)

    def _raise_ended(self) -> NoReturn:
        raise ValueError(f"the run is at its end: all {self._end} rows are done, and x is there")


def _raise_interrupted(*arguments: object) -> NoReturn:
    """Take the place of what takes x through rows, where a row was interrupted.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        "the run was interrupted in the midst of a row, and what rows have remembered is lost: "
        "begin again, or resume a state() from before"
    )


def begin(
    plan: Plan,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
) -> Run:
    """Return a run at the first row of a plan, for a loop of one's own.

    With `while not r.done: r.advance(model(r.input, r.timesteps))`, `r.x` is what
    `run(plan, model, x, ...)` returns.

    Args:
        plan: The plan.
        x: (B, ...), at the noise level of the first row. It is not written to.
        prediction: What the network's output means, as in `sample`.
        clip: The bounds of the x0 prediction, as in `sample`.
        noise: Where a stochastic sampler's noise comes from, as in `sample`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, or the output does not determine what a row
            needs.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, begin, run
        >>> plan, x = DDPM().plan(Schedule.linear(1000).subsample(steps=5)), np.ones((1, 2))
        >>> r = begin(plan, x, noise=7)
        >>> while not r.done:
        ...     r.advance(np.tanh(r.input))
        >>> bool((r.x == run(plan, lambda x, timesteps: np.tanh(x), x, noise=7)).all())
        True
    """
    as_plan("plan", plan)
    return begun(plan, x, prediction, bounding(clip), noise, reuse=False)


def begun(
    plan: Plan,
    x: Array,
    prediction: Prediction | Parameterization | None,
    bound: Callable[[Array], Array] | None,
    noise: NoiseSource,
    *,
    reuse: bool,
) -> Run:
    """Return a run at the first row.

    Args:
        plan: As in `begin`.
        x: As in `begin`.
        prediction: As in `begin`.
        bound: The bounds of the x0 prediction as a function, or None; see `bounding`.
        noise: As in `begin`.
        reuse: Whether the run may write to its x in later rows.

    Raises:
        TypeError: As `begin`.
        ValueError: As `begin`.
    """
    backend = checked_backend(plan, x)
    if compiling(x):
        plan = constant_plan(plan)
    meaning = meaning_of(plan, prediction)
    rows, outside = rows_for(plan, meaning, bound, x)
    source = source_for(plan, rows, x, noise)
    return Run(plan, meaning, outside, rows, backend, x, source, reuse=reuse)


def resume(
    plan: Plan,
    state: Mapping[str, Any],
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
) -> Run:
    """Return the run that `Run.state` was taken of, at the row where it was.

    It continues with the same results, to the last bit.

    The state may have been saved and loaded: by `numpy.savez`, or as tensors by safetensors. Its
    "x" and "memories" must be of the library and dtype that they were of; the rest may be arrays of
    any library.

    Args:
        plan: The plan of the run, or one equal to it.
        state: What `Run.state` returned.
        prediction: None, or the one that the run began with. A `Parameterization` of one's own is
            not in the state, and must be given again.
        clip: None, or the one that the run began with. A function is not in the state, and must be
            given again.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The state is of another plan, prediction, bounds, library or dtype, or is not a
            whole state.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, begin, resume
        >>> plan = DDPM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> run = begin(plan, np.ones((1, 2)), noise=7)
        >>> run.advance(np.tanh(run.input))
        >>> later = resume(plan, run.state())
        >>> for each in (run, later):
        ...     while not each.done:
        ...         each.advance(np.tanh(each.input))
        >>> bool((run.x == later.x).all())
        True
    """
    as_plan("plan", plan)
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be what Run.state() returned, got {described(state)}")
    if lacking := [name for name in snapshot.NEEDED if name not in state]:
        raise ValueError(f"state lacks {lacking}")
    x = state["x"]
    check_sample("state['x']", x)
    backend = checked_backend(plan, x)
    settings = snapshot.read_settings(state["settings"], plan, x)
    meaning = snapshot.read_meaning(settings["prediction"], prediction)
    bound = snapshot.read_bound(settings["clip"], clip)
    rows, outside = rows_for(plan, meaning, bound, x)
    row = snapshot.read_row(state["row"], len(plan))
    memories = snapshot.read_memories(state["memories"], min(rows.depth, row), x)
    source = snapshot.read_keys(state["keys"], x) if "keys" in state else None
    if source is None and any(rows.noisy[row:]):
        raise ValueError("state lacks ['keys'], and the plan has noise in the rows to come")
    return Run(
        plan, meaning, outside, rows, backend, x, source, reuse=False, row=row, memories=memories
    )


def scales_at(plan: Plan, k: int) -> tuple[Any, Any]:
    """Return alpha and sigma where row k calls the network: numbers, unless a gradient flows."""
    return entry(plan.alpha, k), entry(plan.sigma, k)


def reading_weights_at(plan: Plan, meaning: Parameterization, k: int) -> tuple[Any, Any]:
    """Return c_x and c_out of row k: x0 = c_x x + c_out output."""
    reading = reading_of(meaning, plan.schedule, plan.alpha, plan.sigma)
    return entry(reading.c_x, k), entry(reading.c_out, k)


def entry(column: Array, k: int) -> Any:
    """Return an entry of a column: a number, unless a gradient flows."""
    value = column[(k, ...)]
    return value if requires_gradient(value) else float(to_host(value))
