"""`FrameRun`: a run in which each frame of x is at a row of its own."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from schedalg.arrays import Array, compiling, device, namespace, to_host, weighted
from schedalg.checks import check_like, check_memory, check_sample, integer, real_number
from schedalg.network.bounds import Clip
from schedalg.network.model import read_output
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan
from schedalg.running.backend import Update, backend_for
from schedalg.running.finished_frames import clean_scale, timesteps_of_frames
from schedalg.running.frame_noise import FrameNoise
from schedalg.running.frame_prediction import predicted
from schedalg.running.matrix import NOT_STARTED, check_starts, walks
from schedalg.running.noise import NoiseSource
from schedalg.running.snapshot import read_integers, read_memories
from schedalg.running.state import Run, begin, resume
from schedalg.schedule.timesteps import timestep_dtype


class FrameRun:
    """A run in which each frame of x is at a row of its own, and the caller calls the network.

    x is (B, T, ...): B samples of T frames. In each sweep the network is called once, with a
    timestep for every frame, and `advance` takes each frame through its own row:

        r = FrameRun(plan, x, frames(plan, range(T)), noise=seeds)
        while not r.done:
            r.advance(model(r.input, r.timesteps))

    Where all offsets are 0, this is `begin(plan, x, ...)`, to the same bits. A frame that has not
    started is given to the network as its first row would be, and one that is finished as clean
    data; what the network returns for these is not used.

    Noise is that of the ordinary run. The seed is a sample's, and a frame is given its own part of
    what the sample would be given in its row, whenever it gets there. So a frame draws the same
    noise whatever the offsets. Frames are counted from the beginning of the run, those that have
    left included (see `shift`), so that a frame that joins draws what it would draw in a longer x.

    Args:
        plan: The plan.
        x: (B, T, ...): each frame at the noise level of the row that it starts with. It is not
            written to.
        matrix: The schedule matrix, (sweeps, T): see `frames`. Each frame waits (-1), goes through
            consecutive rows to the last one, and stays finished.
        prediction: What the network's output means, as in `sample`.
        clip: The bounds of the x0 prediction, as in `sample`; a function only where all frames are
            at the same rows.
        noise: Where noise comes from, as in `sample`: a seed, one for each sample, ...
        clean_timestep: The timestep that the network is given for finished frames. None: that of
            the schedule's origin; where this has none, the least timestep of the base that
            the schedule was chosen from. If timesteps follow from the noise: theirs at clean data,
            or, where that is infinite, the plan's last one.

    Attributes:
        plan: The plan.
        x: (B, T, ...), before the next sweep.
        sweep: The number of sweeps so far.
        first: The number of frames that have left.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value; the matrix is not of x's frames, or a frame skips
            rows, or starts with one that takes what rows before it remembered; or the plan can only
            be run for all frames at once: a gradient flows through its schedule.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, FrameRun, Schedule, frames, run
        >>> plan = DDPM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> x = np.ones((2, 3, 4))
        >>> r = FrameRun(plan, x, frames(plan, [0, 1, 2]), noise=7)
        >>> while not r.done:
        ...     r.advance(np.tanh(r.input))
        >>> alone = run(plan, lambda x, timesteps: np.tanh(x), x, noise=7)
        >>> r.sweep, bool(np.allclose(r.x, alone, rtol=1e-12))
        (7, True)

    Source: Chen et al., "Diffusion Forcing", arXiv 2407.01392.
    """

    _together: Run | None

    def __init__(
        self,
        plan: Plan,
        x: Array,
        matrix: np.ndarray,
        *,
        prediction: Prediction | Parameterization | None = None,
        clip: Clip | None = None,
        noise: NoiseSource = None,
        clean_timestep: float | None = None,
    ) -> None:
        if compiling(x):
            raise ValueError(
                "x is traced by a compiler, and a FrameRun cannot be part of a compiled function: "
                "compile the network alone"
            )
        run = begin(plan, x, prediction=prediction, clip=clip, noise=noise)
        self._hold(run, clean_timestep)
        self._wait, self._row = walks(len(plan), matrix, x.shape[1])
        if self._wait.any() or self._row.any():
            self._prepare_apart(run)
            check_starts(plan, run.rows, self._wait, self._row)
            starts = self._row == 0
            self.x = run.x if starts.all() else _chosen(starts, run.x, x)
            none = [namespace(x).zeros_like(x)] * run.rows.depth
            self._update = self._updating(self.x, self._row, none)
            self._together = None

    def __copy__(self) -> "FrameRun":
        return deepcopy(self)  # neither is to write to what the other remembers

    def _hold(self, run: Run, clean_timestep: float | None) -> None:
        """Hold an ordinary run, which this is as long as all frames are at one row."""
        if run.x.ndim < 2 or run.x.shape[1] == 0:
            raise ValueError(f"x must have frames, shape (B, T, ...); got {tuple(run.x.shape)}")
        self.plan = run.plan
        self.x = run.x
        self.sweep = 0
        self.first = 0
        self._meaning, self._rows = run.meaning, run.rows
        self._noise = FrameNoise(run.plan, run.rows, run.source)
        self._together = run
        self._input: Array | None = None
        self._torn = False
        self._last: tuple[np.ndarray, np.ndarray, Array, Array] | None = None
        self._x0: Array | None = None
        self._clean_timestep = (
            None if clean_timestep is None else real_number("clean_timestep", clean_timestep)
        )
        if self._clean_timestep is not None:
            timesteps_of_frames(self.plan, self._clean_timestep)  # raises if they do not fit

    @property
    def row(self) -> np.ndarray:
        """The row of each frame in the next sweep, (T,): -1 where it waits, K where it is finished.

        K is the number of rows, `len(plan)`.
        """
        return np.where(self._wait > 0, NOT_STARTED, self._row)

    @property
    def done(self) -> bool:
        """Whether all frames are finished."""
        return bool((self._row == len(self.plan)).all())

    @property
    def input(self) -> Array:
        """What the network is to be given next, (B, T, ...): x, in the scale it was trained in.

        Raises:
            ValueError: All frames are finished; or the memory of x was freed.
        """
        self._check_not_done()
        if self._together is not None:
            return self._together.input
        if self._input is None:
            check_memory("x", self.x)
            x, clean = self.x, self._row == len(self.plan)
            scaled = self._update.input(self._each(self._at), self._flat(x))
            self._input = namespace(x).reshape(scaled, x.shape)
            if clean.any() and (self._scale != 1 or self._rows.scaled):
                self._input = _chosen(clean, weighted([(self._scale, x)]), self._input)
        else:
            check_memory("input", self._input)  # which was in the user's hands
        return self._input

    @property
    def timesteps(self) -> Array:
        """The timestep that the network is to be given next for each frame, (B, T).

        Raises:
            ValueError: All frames are finished.
        """
        self._check_not_done()
        x = self.x
        xp, shape = namespace(x), tuple(x.shape[:2])
        if self._together is not None:
            of_samples = xp.reshape(self._together.timesteps, (-1, 1))
            return xp.tile(of_samples, (1, shape[1]))
        values = self._timesteps[self._row]
        dtype = timestep_dtype(x, values[0].item())
        return xp.asarray(np.tile(values, (shape[0], 1)), dtype=dtype, device=device(x))

    @property
    def x0(self) -> Array | None:
        """The x0 prediction of the last sweep, within its bounds, like x.

        That of a frame which was finished before is x; a frame that waits is predicted, too, from
        what the network returned for it. None before the first sweep, and after frames have left
        until the next one. It is computed when it is asked for, from the network's output, which
        must not have been written to since.

        Raises:
            ValueError: The output does not determine x0, such as a noise prediction at zero SNR; or
                the memory of x or of the output was freed.
        """
        if self._together is not None:
            return self._together.x0
        if self._x0 is None and self._last is not None:
            finished, k, x, output = self._last
            check_memory("x", x)
            check_memory("output", output)
            x0 = predicted(self.plan, self._meaning, self._rows.clip, k, x, output)
            self._x0 = _chosen(finished, x, x0) if finished.any() else x0
        return self._x0

    def advance(self, output: Array) -> None:
        """Take each frame through its row of this sweep, if it is at one.

        Args:
            output: What the network returned for `input` and `timesteps`: like x; or, as in
                `Run.advance`, with a learned variance as the second half of axis 1.

        Raises:
            TypeError: The output is not an array of x's library.
            ValueError: All frames are finished; the output has a wrong shape, dtype or device; or
                the plan takes a learned variance, and there is none.
        """
        self._check_not_done()
        row, wait, sweep = self._row + self._going, np.maximum(self._wait - 1, 0), self.sweep + 1
        # All that changes does so at once: there is no interrupt between its parts.
        if (run := self._together) is not None:
            k = run.row
            try:
                run.advance(output)
            finally:
                if run.row != k:
                    x = run.x
                    self.x, self._row, self._wait, self.sweep = x, row, wait, sweep
            return
        prediction, variance = read_output(output, self.x)
        last = self._row == len(self.plan), self._at, self.x, prediction
        try:
            x = self._after(prediction, variance)
            changed = {"x": x, "sweep": sweep, "_row": row, "_wait": wait}
            changed |= {"_last": last, "_x0": None, "_input": None}
            vars(self).update(changed)
        except (ValueError, TypeError):
            raise  # before a memory has changed
        except BaseException:
            self._torn = self.sweep != sweep and self._rows.depth > 0
            raise

    def shift(self, x: Array | None = None, *, offset: int = 0) -> Array:
        """Let the first frames leave, which are finished, and as many of noise join at the end.

        Args:
            x: (B, n, ...), the frames that join, at the noise level of the first row. None: one
                frame, of the noise that `initial_noise` of the sample's seed has there: if the run
                began with `initial_noise(plan.schedule, (B, T, ...), seeds)` and `noise=seeds`, the
                frames are those of a longer x.
            offset: The number of sweeps by which the new frames start later than the next one.

        Returns:
            (B, n, ...): the frames that leave.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: x has a wrong shape, dtype or device, or is not given and the noise has no
                seeds; one of the first frames is not finished; or the offset is below 0.

        Example:
            >>> import numpy as np
            >>> from schedalg import DDIM, FrameRun, Schedule, frames, initial_noise
            >>> plan = DDIM().plan(Schedule.linear(1000).subsample(steps=2))
            >>> x = initial_noise(plan.schedule, (1, 2, 3), 7)
            >>> r, film = FrameRun(plan, x, frames(plan, [0, 1]), noise=7), []
            >>> while len(film) < 4:
            ...     r.advance(np.tanh(r.input))
            ...     if r.row[0] == len(plan):
            ...         film.append(r.shift())
            >>> r.sweep, r.row, r.first
            (5, array([1, 0]), 4)
        """
        if (wait := integer("offset", offset)) < 0:
            raise ValueError(f"offset is {wait}: a frame starts 0 or more sweeps later")
        count = 1
        if x is not None:
            check_sample("x", x)
            count = max(x.shape[1], 1) if x.ndim > 1 else 1
            check_like("x", x, self.x[:, :count, ...], "frames of the run")
        for t in range(count):
            if self._row[t] < len(self.plan):
                raise ValueError(
                    f"x has frame {t} at row {self.row[t]} of {len(self.plan)}: only a finished "
                    "frame leaves"
                )
        self._check_whole()
        check_memory("the run's x", self.x)
        left = self.x[:, :count, ...]
        numbers = self.first + self.x.shape[1] + np.arange(count)
        new = self._noise.begun(self._noise.initial(left, numbers) if x is None else x, numbers)
        if self._together is not None:
            self._prepare_apart(self._together)
            memories = [self.x] * self._rows.depth  # of finished frames: nothing reads them
        else:
            memories = self._memories()
        x, none = _joined(self.x, new), namespace(new).zeros_like(new)
        row = np.append(self._row[count:], np.zeros(count, dtype=np.int64))
        waits = np.append(self._wait[count:], np.full(count, wait))
        update = self._updating(x, row, [_joined(memory, none) for memory in memories])
        changed = {"x": x, "first": self.first + count, "_row": row, "_wait": waits}
        changed |= {"_update": update, "_together": None, "_input": None}
        changed |= {"_last": None, "_x0": None}
        vars(self).update(changed)  # at once, as in `advance`
        return left

    def state(self) -> dict[str, Any]:
        """Return a snapshot of the run: arrays like x, NumPy arrays and numbers; see `resume`.

        Returns:
            What `Run.state` returns, and "sweep", "first" and, if it was given, "clean_timestep".
            Where frames are at rows of their own, "row" is that of each, (T,), "wait" the number of
            sweeps before it starts, (T,), and "memories" are (m, B, T, ...).

        Raises:
            ValueError: As `Run.state`.
        """
        self._check_whole()
        own: dict[str, Any] = {"sweep": self.sweep, "first": self.first}
        if self._clean_timestep is not None:
            own["clean_timestep"] = self._clean_timestep
        if self._together is not None:
            return self._together.state() | own
        plan, rows, backend = self.plan, self._rows, backend_for(self.x)
        run = Run(
            plan, self._meaning, None, rows, backend, self.x, self._noise.source, reuse=False, row=0
        )
        if rows.depth:
            own["memories"] = namespace(self.x).stack(self._memories())
        return run.state() | own | {"row": self._row.copy(), "wait": self._wait.copy()}

    @classmethod
    def resume(
        cls,
        plan: Plan,
        state: Mapping[str, Any],
        *,
        prediction: Prediction | Parameterization | None = None,
        clip: Clip | None = None,
    ) -> "FrameRun":
        """Return the run that `state` is a snapshot of, at the row where it was.

        It continues with the same results, to the last bit.

        Args:
            plan: The plan of the run, or one equal to it.
            state: What `FrameRun.state` returned; it may have been saved and loaded.
            prediction: None, or what the run began with, as in `schedalg.resume`.
            clip: None, or what the run began with, as in `schedalg.resume`.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The state is of another plan, prediction, bounds, library or dtype, or is
                not a whole state.

        Example:
            >>> import numpy as np
            >>> from schedalg import DDPM, FrameRun, Schedule, frames
            >>> plan = DDPM().plan(Schedule.linear(1000).subsample(steps=5))
            >>> r = FrameRun(plan, np.ones((1, 3, 2)), frames(plan, [0, 1, 2]), noise=7)
            >>> r.advance(np.tanh(r.input))
            >>> later = FrameRun.resume(plan, r.state())
            >>> for each in (r, later):
            ...     while not each.done:
            ...         each.advance(np.tanh(each.input))
            >>> bool((r.x == later.x).all())
            True
        """
        whole = state
        if apart := isinstance(state, Mapping) and "wait" in state and "x" in state:
            check_sample("state['x']", state["x"])
            whole = {**state, "row": 0, "memories": state["x"][None, ...][:0, ...]}
        held = cls.__new__(cls)
        held._hold(
            resume(plan, whole, prediction=prediction, clip=clip), state.get("clean_timestep")
        )
        if lacking := [name for name in ("sweep", "first", "row", "memories") if name not in state]:
            raise ValueError(f"state lacks {lacking}")
        held.sweep = int(read_integers(state, "sweep", (), 2**62))
        held.first = int(read_integers(state, "first", (), 2**62))
        shape = (held.x.shape[1],) if apart else ()
        row = read_integers(state, "row", shape, len(plan))
        held._row = np.full(held.x.shape[1], row)
        held._wait = np.zeros_like(held._row)
        if apart and held._together is not None:
            held._wait = read_integers(state, "wait", shape, 2**62)
            held._prepare_apart(held._together)
            memories = read_memories(state["memories"], held._rows.depth, held.x)
            held._update = held._updating(held.x, held._row, memories)
            held._together = None
        return held

    def _prepare_apart(self, run: Run) -> None:
        """Make what is needed where frames leave the ordinary run, to be at rows of their own.

        Raises:
            ValueError: They cannot.
        """
        _check_apart(run)
        self._scale = clean_scale(run)
        self._timesteps = timesteps_of_frames(run.plan, self._clean_timestep)

    @property
    def _going(self) -> np.ndarray:
        """Whether each frame goes through a row in this sweep."""
        going: np.ndarray = (self._wait == 0) & (self._row < len(self.plan))
        return going

    @property
    def _at(self) -> np.ndarray:
        """The row of each frame, where one that is finished stays at its last."""
        rows: np.ndarray = np.minimum(self._row, len(self.plan) - 1)
        return rows

    def _each(self, k: np.ndarray) -> np.ndarray:
        """Return the row of every frame of every sample, (B T,)."""
        return np.tile(k, self.x.shape[0])

    def _flat(self, array: Array) -> Array:
        """Return an array (B, T, ...) as samples, (B T, ...)."""
        batch, count, *rest = array.shape
        return namespace(array).reshape(array, (batch * count, *rest))

    def _updating(self, x: Array, row: np.ndarray, memories: Sequence[Array]) -> Update:
        """Return what takes frames on from their rows, after rows that remembered these."""
        update = backend_for(x).update(self._rows, self._flat(x), None, reuse=False)
        if memories:
            update.restore(self._each(row), [self._flat(memory) for memory in memories])
        return update

    def _memories(self) -> list[Array]:
        """Return what the rows before those of the frames remembered, like x, the oldest first."""
        rows = [np.maximum(self._row - back, 0) for back in range(self._rows.depth, 0, -1)]
        memories = [self._update.memory(self._each(k)) for k in rows]
        return [namespace(memory).reshape(memory, self.x.shape) for memory in memories]

    def _after(self, output: Array, variance: Array | None) -> Array:
        """Return x after this sweep."""
        check_memory("x", self.x)  # which was the network's input, where rows do not scale it
        x, going = self.x, self._going
        numbers = self.first + np.arange(len(going))
        noise = self._noise.of_rows(x, self._at, going, numbers, variance is not None)
        after = self._update(
            self._each(self._at),
            self._flat(x),
            self._flat(output),
            None,
            None if variance is None else self._flat(variance),
            None if noise is None else self._flat(noise),
        )
        after = namespace(x).reshape(after, x.shape)
        return after if going.all() else _chosen(going, after, x)

    def _check_not_done(self) -> None:
        self._check_whole()
        if self.done:
            raise ValueError("the run is at its end: all frames are finished, and x is there")

    def _check_whole(self) -> None:
        if self._torn:
            raise ValueError(
                "the run was interrupted in the midst of a sweep, and what rows have remembered is "
                "lost: begin again, or resume a state() from before"
            )


def _check_apart(run: Run) -> None:
    """Raise unless the frames of a run can be at different rows.

    Raises:
        ValueError: They cannot.
    """
    plan = run.plan
    if not len(plan):
        raise ValueError("plan has no rows for a frame to go through")
    if not run.rows.numbers:
        raise ValueError(
            "plan is of a schedule that a gradient flows through, and can only be run for all "
            "frames at once: make the schedule from plain numbers"
        )
    if run.bound is not None:
        raise ValueError(
            "clip is a function, which takes the x0 prediction of all frames at once: where frames "
            "are at rows of their own, give (low, high)"
        )
    if run.source is not None and not (callable(run.source) or isinstance(run.source, np.ndarray)):
        raise ValueError("noise holds seeds that are traced, which frames cannot be given parts of")
    ends = to_host(plan.alpha)[[0, -1]], to_host(plan.sigma)[[0, -1]]
    if ends[0][1] * ends[1][0] < ends[0][0] * ends[1][1]:
        raise ValueError(
            "plan leads from data to noise, and frames walk from noise to data: run it for all "
            "frames at once"
        )


def _chosen(frames: np.ndarray, x: Array, other: Array) -> Array:
    """Return x for some frames, (T,), and another array for all others."""
    xp = namespace(x)
    mask = xp.asarray(frames, device=device(x))
    return xp.where(xp.reshape(mask, (1, -1) + (1,) * (x.ndim - 2)), x, other)


def _joined(x: Array, new: Array) -> Array:
    """Return frames without the first ones, in whose place new ones are at the end."""
    return namespace(x).concat([x[:, new.shape[1] :, ...], new], axis=1)
