"""`Pool`: samples that join and leave a batch at any time, each in the row of a plan of its own."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, device, integer_dtype, namespace
from schedalg.checks import (
    check_callable,
    check_memory,
    check_sample,
    integer,
    positive_integer,
    raise_stopped,
    shown,
)
from schedalg.forks import awaited_of
from schedalg.network.bounds import Clip, bounding
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model, called, check_input, check_keywords, read_output
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.plan.plan import Plan, as_plan
from schedalg.running.initial_noise import sizes_of
from schedalg.running.member import Member, check_fits, condition_of, start_of
from schedalg.running.noise import seed_of
from schedalg.running.preparation import raise_without_variance
from schedalg.running.state import begun
from schedalg.running.together import fitting, together


class Pool:
    """Samples that share the calls of one network, and begin and end at any time.

    Each has a plan, a seed and conditions of its own. In every step the network is called once for
    all that are in the pool. With a network that treats samples independently, a sample is to the
    last bit what it is alone, whatever joins and leaves:

        run(plan, model, x[None, ...], noise=[seed], **{name: c[None, ...] for each condition})

    The batch is as large as the number of samples in the pool. Threads may add and cancel samples
    while one of them takes steps.

    Args:
        model: The network, called as `model(x, timesteps, **conditions)`; None for those who call
            it themselves, with `input`, `timesteps` and `conditions`, and pass its output to
            `advance`.
        shape: That of one sample, without a batch dimension.
        capacity: How many samples may be in the pool.
        like: An array whose library, device and dtype the samples have. None: NumPy's float64.
        prediction: What the network's output means, as in `sample`.
        clip: The bounds of x0 predictions, as in `sample`. A function is called for each sample,
            with a batch of one.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, DDPM, Pool, Schedule
        >>> s = Schedule.linear(1000)
        >>> pool = Pool(lambda x, timesteps: np.tanh(x), shape=(3,), capacity=8)
        >>> slow = pool.add(DDPM().plan(s.subsample(steps=4)), seed=1)
        >>> fast = pool.add(DDIM().plan(s.subsample(steps=2)), seed=2)
        >>> [sorted(pool.step()) for _ in range(4)] == [[], [fast], [], [slow]]
        True
    """

    def __init__(
        self,
        model: Model | None,
        shape: Sequence[int],
        capacity: int,
        *,
        like: Array | None = None,
        prediction: Prediction | Parameterization | None = None,
        clip: Clip | None = None,
    ) -> None:
        if isinstance(model, AnyDenoiser):
            raise TypeError(
                "model must be a network, got a denoiser, which is for one schedule: give the "
                "network of it, with prediction= and clip="
            )
        if model is not None:
            check_callable("model", model)
        if like is not None:
            check_sample("like", like)
        if prediction is not None:
            parameterization(prediction)
        self.model = model
        self.shape = sizes_of(shape)
        self.capacity = positive_integer("capacity", capacity)
        self.like = np.empty(0) if like is None else like[:0, ...]
        self.prediction = prediction
        self.bound = bounding(clip)
        self._together = together(self.shape, self.like, self.bound)
        self._tickets = 0
        self._members: dict[int, Member] = {}
        self._finished: dict[int, Array] = {}
        self._batch: _Batch | None = None  # whose input was asked for, until it is advanced
        self._changed = False  # whether others are in the pool since then
        self._busy: int | None = None  # the thread of a step on its way, which calls the network
        # Held while samples join, leave or are taken on, and not while the network is called.
        self._lock = threading.RLock()
        awaited_of(self)

    def __copy__(self) -> "Pool":
        return deepcopy(self)  # neither is to take on the samples of the other

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock(), _busy=None)
        awaited_of(self)

    def _forked(self) -> None:
        """Forget a step that another thread has begun: the child of a fork is without it."""
        if self._busy != threading.get_ident():
            self._busy = None

    def __len__(self) -> int:
        """Return how many samples are in the pool."""
        return len(self._members)

    def add(
        self,
        plan: Plan,
        *,
        seed: int | None = None,
        x: Array | None = None,
        **conditions: Array | float,
    ) -> int:
        """Return the ticket of a sample that joins the pool, and is in the next call.

        Args:
            plan: The plan. It may differ from those of the others in everything but what the
                network is given: timesteps must be integers for all or fractional for all, and the
                network must predict the same thing.
            seed: From 0 to 2^128 - 1: of the sample's noise, and of x where none is given. None:
                for a plan without noise, with x.
            x: The sample at the noise level of the first row, of the pool's shape, without a batch
                dimension. It is copied. None: `initial_noise` of the seed, for a plan that starts
                at its noisiest point.
            **conditions: Keywords of the network, each an array for this sample alone, without a
                batch dimension, or a number. They must have the names, shapes and dtypes of those
                in the pool, with which they are stacked along the batch. They are copied.

        Raises:
            TypeError: An argument is of the wrong type or library.
            ValueError: The pool is full; the plan or the conditions do not fit those in the pool;
                x has another shape, dtype or device than the pool; the seed is missing or out of
                range; or the network's output would not determine what a row needs.
        """
        as_plan("plan", plan)
        if self.model is not None:
            check_keywords(self.model, conditions)
        self._check_room()
        seeds = None if seed is None else [seed_of("seed", seed)]
        start = start_of(plan, seeds, x, self.shape, self.like)
        run = begun(plan, start, self.prediction, self.bound, seeds, reuse=True)
        member = Member(
            plan, {name: condition_of(name, c, self.like) for name, c in conditions.items()}
        )
        with self._lock:
            self._check_room()
            if other := next(iter(self._members.values()), None):  # they fit one another
                check_fits(member, other)
            self._check_whole()
            self._tickets = ticket = self._tickets + 1
            if run.done:
                self._finished[ticket] = run.x[0, ...]
            else:
                self._together = fitting(self._together, run.x)
                self._together.join(ticket, run)
                self._members[ticket] = member
                self._changed = True
        return ticket

    def cancel(self, ticket: int) -> None:
        """Take a sample out of the pool.

        If the network is being called for it, its part of the output is left out.

        Args:
            ticket: What `add` returned for it.

        Raises:
            TypeError: The ticket is not an integer.
            ValueError: No such sample is in the pool: it is finished, was cancelled, or was never
                there.
        """
        number = integer("ticket", ticket)
        with self._lock:
            if number not in self._members:
                known = 0 < number <= self._tickets
                reason = "is finished or was cancelled" if known else "never was"
                raise ValueError(
                    f"ticket {shown(number)} is not in the pool: the sample {reason}; tickets from "
                    f"1 to {self._tickets} were given"
                )
            del self._members[number]
            self._together.leave(number)
            self._changed = True

    @property
    def input(self) -> Array:
        """What the network is to be given, (B, ...), for the samples that are in the pool now.

        These samples are the batch until `advance`, or until `input` is read when others are in
        the pool.

        Raises:
            ValueError: The pool is empty; or the array was read before, and its memory was freed.
        """
        with self._lock:
            batch = self._gathered() if self._batch is None or self._changed else self._batch
        check_memory("input", batch.input)
        return batch.input

    @property
    def timesteps(self) -> Array:
        """The timestep of each sample in `input`, (B,).

        Raises:
            ValueError: As `input`.
        """
        batch = self._given()
        check_memory("timesteps", batch.timesteps)
        return batch.timesteps

    @property
    def conditions(self) -> Mapping[str, Array]:
        """The conditions of the samples in `input`, by name, (B, ...) each.

        Raises:
            ValueError: As `input`.
        """
        batch = self._given()
        for name, condition in batch.conditions.items():
            check_memory(f"condition {name!r}", condition)
        return batch.conditions

    def advance(self, output: Array) -> dict[int, Array]:
        """Take samples through their next rows, and return those that are finished.

        Samples that joined after `input` was made are not among them, and wait for the next call.
        What belongs to samples that were cancelled since then is left out.

        Args:
            output: What the network returned for `input`, `timesteps` and `conditions`.

        Returns:
            x by ticket, of the pool's shape.

        Raises:
            TypeError: The output is not an array of the samples' library.
            ValueError: The pool is empty; the output has a wrong shape, dtype or device; a plan
                takes a learned variance, and the output has none; or the network calls this
                method while `step` calls the network. Nothing has changed then.
        """
        with self._alone("advance"):
            if self._batch is None and not self._members:
                raise ValueError("output is for no sample: the pool is empty")
            self._take(self._given(), output)
        return self._newly_finished()

    def step(self) -> dict[int, Array]:
        """Call the network once for all samples in the pool, and return those that are finished.

        An empty pool calls nothing. If the network raises, the pool is as it was before: the step
        can be tried again, or samples can be cancelled. The network may add and cancel samples, and
        must not step.

        Returns:
            x by ticket, of the pool's shape.

        Raises:
            TypeError: As `advance`.
            ValueError: As `advance`; or the pool has no network.
            Exception: What the network raises.
        """
        with self._alone("step"):
            self._step()
        return self._newly_finished()

    def drain(self) -> dict[int, Array]:
        """Step until the pool is empty, and return x of all samples that were in it, by ticket.

        If the network raises, the next step also returns the samples that had finished before.

        Raises:
            TypeError: As `step`.
            ValueError: As `step`.
            Exception: What the network raises.
        """
        with self._alone("drain"):
            while self._members:
                self._step()
        return self._newly_finished()

    def _check_room(self) -> None:
        """Raise if no sample can join.

        Raises:
            ValueError: The pool is full.
        """
        if len(self) >= self.capacity:
            raise ValueError(
                f"the pool is full: capacity is {self.capacity}, and {len(self)} samples are in it"
            )

    def _check_whole(self) -> None:
        """Raise if a step was interrupted when it had begun to change samples.

        Raises:
            ValueError: It was.
        """
        if self._together.torn:
            raise ValueError(
                "a step of the pool was interrupted while samples went through their rows, and "
                "some are ahead of others: make a new pool, and add the samples to it again"
            )

    def _given(self) -> "_Batch":
        """Return the batch whose input was asked for, or one of those that are in the pool now."""
        with self._lock:
            return self._batch or self._gathered()

    def _gathered(self) -> "_Batch":
        """Return the batch of all samples that are in the pool now, to be used by `advance`."""
        self._check_whole()
        tickets = self._together.tickets
        if len(tickets) > len(self._members):  # one was interrupted as it joined or left
            tickets = [ticket for ticket in tickets if ticket in self._members]
        if not tickets:
            raise ValueError("the pool is empty: add a sample first")
        each = [self._members[ticket].conditions for ticket in tickets]
        conditions = {
            name: namespace(one).stack([own[name] for own in each], axis=0)
            for name, one in each[0].items()
        }
        x, timesteps = self._together.input(tickets), self._together.timesteps(tickets)
        self._batch = _Batch(tickets, x, timesteps, conditions)
        self._changed = False
        return self._batch

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Allow one call that advances samples at a time.

        Raises:
            ValueError: Such a call is on its way already.
        """
        mine = False
        try:
            with self._lock:
                if self._busy is not None:
                    raise ValueError(
                        f"{name} was called within a step of the same pool, by its network, its "
                        "clip or another thread: one step at a time"
                    )
                self._busy, mine = threading.get_ident(), True
            yield
        finally:
            if mine:
                self._busy = None

    def _step(self) -> None:
        with self._lock:
            if not self._members:
                return
            if self.model is None:
                raise ValueError(
                    "the pool has no network: call yours, and pass its output to advance"
                )
            batch = self._gathered()
        try:
            self._take(batch, called(self.model, batch.input, batch.timesteps, batch.conditions))
        except BaseException as error:
            self._batch = None  # the network may have written to its input
            if isinstance(error, StopIteration):
                raise_stopped(error, "model or clip")
            raise

    def _take(self, batch: "_Batch", output: Array) -> None:
        """Take the samples of a batch through their rows."""
        check_input(batch.input, (len(batch.tickets), *self.shape), self.like.dtype)
        output, variance = read_output(output, batch.input)
        with self._lock:
            self._check_whole()
            kept = {i: ticket for i, ticket in enumerate(batch.tickets) if ticket in self._members}
            tickets = list(kept.values())
            if len(tickets) < len(batch.tickets):
                output, variance = _of(output, list(kept)), _of(variance, list(kept))
            if tickets and variance is None and self._together.takes_variance(tickets):
                raise_without_variance(batch.input)
            self._together = held = fitting(self._together, output, variance)
            ended = held.take(tickets, output, variance) if tickets else []
            self._batch = None
            for ticket in ended:
                self._finished[ticket] = held.leave(ticket)
                del self._members[ticket]
            held.torn = False

    def _newly_finished(self) -> dict[int, Array]:
        """Return the samples that have finished since the last call, by ticket."""
        with self._lock:
            finished, self._finished = self._finished, {}
        return finished


class _Batch(NamedTuple):
    """What the network is given, and for whom."""

    tickets: list[int]
    input: Array
    timesteps: Array
    conditions: dict[str, Array]


def _of(output: Array | None, places: list[int]) -> Array | None:
    """Return what an output holds of some samples."""
    if output is None or not places:
        return output
    xp, of = namespace(output), device(output)
    index = xp.asarray(places, dtype=integer_dtype(xp, of), device=of)
    return xp.take(output, index, axis=0)
