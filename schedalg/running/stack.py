"""Samples in one memory, each at a row of a plan of its own, which are advanced in one pass."""

import heapq
import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, device, known, namespace
from schedalg.parameterization import Parameterization
from schedalg.plan.plan import Plan
from schedalg.running.backend import backend_for
from schedalg.running.noise import keyed_normal
from schedalg.running.philox import STEP
from schedalg.running.rows import COLUMNS, Rows
from schedalg.running.state import Run
from schedalg.schedule.timesteps import timestep_dtype

_NOISE, _NEXT_C_IN = map(COLUMNS.index, ("noise", "next_c_in"))


class Held(NamedTuple):
    """What a sample's run was begun with."""

    plan: Plan
    meaning: Parameterization
    rows: Rows
    keys: np.ndarray | None


class Stack(ABC):
    """Samples that are at rows of plans of their own. Subclasses hold their x and memories.

    From `join` to `leave`, a sample has a place: its index on the first axis of all arrays here.
    The other axis is as long as the longest plan.

    Args:
        shape: That of a sample.
        like: An array of the samples' library, device and dtype.
        clip: The bounds of x0 predictions, or None.

    Attributes:
        room: How many places there are.
        held: What the run of each place was begun with.
        row: The next row of each place, (room,).
        timesteps_of: The timesteps of the rows, (room, K).
        draws: The counter words of each row's noise, (room, K, 3).
        keys: The keys of the noise, (room, 2).
        ahead: Places, and the network's next input for them, if it was computed together with x.
    """

    def __init__(
        self, shape: tuple[int, ...], like: Array, clip: tuple[float, float] | None
    ) -> None:
        self.shape = shape
        self.size = math.prod(shape)
        self.like = like
        self.clip = clip
        self.room = 0
        self.places: dict[int, int] = {}  # by ticket
        self.free: list[int] = []  # a heap
        self.held: dict[int, Held] = {}
        self.row, self.ends = (np.zeros(0, np.int64) for _ in range(2))
        self.keys = np.zeros((0, 2), np.uint64)
        self.draws = np.zeros((0, 0, 3), np.int64)
        self.timesteps_of = np.zeros((0, 0))
        self.timestep: Any = None  # the dtype of timesteps
        self.c_in, self.deviations = (np.zeros((0, 0)) for _ in range(2))
        self.learned: set[int] = set()  # places whose plans take a learned variance
        self.ahead: tuple[np.ndarray, Array] | None = None
        self.torn = False
        self._batch: tuple[list[int], np.ndarray] = [], np.zeros(0, np.int64)  # asked for last

    @property
    def tickets(self) -> list[int]:
        """All samples, by their places."""
        return sorted(self.places, key=self.places.__getitem__)

    def join(self, ticket: int, run: Run) -> None:
        """Take over a sample from its run."""
        rows, timesteps = run.rows, run.plan.timesteps
        if not self.free:
            self.free = list(range(self.room, 2 * self.room + 1))
        place, count = self.free[0], len(timesteps)
        room = self.room if place < self.room else 2 * place + 1
        self.timestep = timestep_dtype(self.like, timesteps[0].item())
        self.draws = grown(self.draws, room, count)
        known = self.timesteps_of if self.places else self.timesteps_of.astype(timesteps.dtype)
        self.timesteps_of = grown(known, room, count)
        self.c_in, self.deviations = (
            grown(each, room, count) for each in (self.c_in, self.deviations)
        )
        self.row, self.ends, self.keys = (
            grown(each, room) for each in (self.row, self.ends, self.keys)
        )
        self.room = room
        self.draws[place, :count, :2], self.draws[place, :count, 2] = rows.draws, STEP
        self.timesteps_of[place, :count] = timesteps
        table = rows.table(rows.depth)
        self.c_in[place, 0] = rows.columns.c_in[0]
        self.c_in[place, 1:count] = table[:-1, _NEXT_C_IN]
        self.deviations[place, :count] = table[:, _NOISE]
        keys = run.source if isinstance(run.source, np.ndarray) else None
        self.keys[place] = 0 if keys is None else keys[0]
        self.row[place], self.ends[place] = 0, count
        self.held[place] = Held(run.plan, run.meaning, rows, keys)
        self.ahead = None  # which may be of a sample that had this place
        self.hold(place, run.x)
        # Behind what may lack memory: the sample has not joined then, and its place is free.
        self.places[ticket] = heapq.heappop(self.free)
        if rows.learned:
            self.learned.add(place)

    def leave(self, ticket: int) -> Array:
        """Remove a sample, and return its x."""
        place = self.places.pop(ticket)
        heapq.heappush(self.free, place)
        del self.held[place]
        self.learned.discard(place)
        return self.x_of(place)

    def input(self, tickets: list[int]) -> Array:
        """Return the network's next input, (B, ...), as new memory."""
        places = self._of(tickets)
        ahead, self.ahead = self.ahead, None  # the network may write to it
        if ahead is not None and ahead[0] is places:
            return ahead[1]
        return self.given(places, self.c_in[places, self.row[places]])

    def timesteps(self, tickets: list[int]) -> Array:
        """Return the timesteps that are passed to the network with it, (B,)."""
        places = self._of(tickets)
        values = self.timesteps_of[places, self.row[places]]
        if isinstance(self.like, np.ndarray):
            return values.astype(self.timestep, copy=False)
        return self.sent(values, self.timestep)

    def takes_variance(self, tickets: list[int]) -> bool:
        """Return whether a row of one of them takes a learned variance."""
        places = [place for place in self._of(tickets).tolist() if place in self.learned]
        return bool(places and self.deviations[places, self.row[places]].any())

    def take(self, tickets: list[int], output: Array, variance: Array | None) -> list[int]:
        """Take samples through their next rows, and return those that are finished."""
        places = self._of(tickets)
        model_input = self.taken(places, output, variance)
        self.torn = True
        self.ahead = None if model_input is None else (places, model_input)
        self.row[places] += 1
        ended = np.flatnonzero(self.row[places] == self.ends[places])
        return [tickets[i] for i in ended]

    def takes(self, *arrays: Array | None) -> bool:
        """Whether such an x can be held, and samples advanced with such outputs and variances."""
        return True

    def apart(self) -> dict[int, Run]:
        """Return a run of each sample, by ticket, at the row that it is in."""
        runs = {}
        for ticket in self.tickets:
            place = self.places[ticket]
            plan, meaning, rows, keys = self.held[place]
            x, k = self.x_of(place)[None, ...], int(self.row[place])
            memories = tuple(
                self.memory_of(place, j)[None, ...] for j in range(max(k - rows.depth, 0), k)
            )
            runs[ticket] = Run(
                plan,
                meaning,
                None,
                rows,
                backend_for(x),
                x,
                keys,
                reuse=True,
                row=k,
                memories=memories,
            )
        return runs

    def _of(self, tickets: list[int]) -> np.ndarray:
        """Return the places of samples, in the order of the tickets."""
        if tickets != self._batch[0]:
            self._batch = tickets, np.array([self.places[ticket] for ticket in tickets])
        return self._batch[1]

    def next_c_in(self, places: np.ndarray) -> np.ndarray:
        """Return c_in of the rows that follow, (B,); 1 after the last."""
        row = self.row[places] + 1
        there = row < self.ends[places]
        return np.where(there, self.c_in[places, np.where(there, row, 0)], 1.0)

    def normal(self, places: np.ndarray) -> Array:
        """Return the noise of the rows that samples are in, (B, ...), half precision as float32."""
        like = namespace(self.like).empty(
            (len(places), *self.shape), dtype=self.like.dtype, device=device(self.like)
        )
        words = self.draws[places, self.row[places]]
        return keyed_normal(like, self.keys[places], words, rounded=False)

    def sent(self, values: np.ndarray, dtype: Any = None) -> Array:
        """Return numbers of the host on the samples' device, by default in their own dtype."""
        return known(self.like).sent(values, dtype, self.like)

    @abstractmethod
    def hold(self, place: int, x: Array) -> None:
        """Make room, and hold a sample at its place: its first x, (1, ...)."""

    @abstractmethod
    def x_of(self, place: int) -> Array:
        """Return a copy of x at a place, (...)."""

    @abstractmethod
    def memory_of(self, place: int, k: int) -> Array:
        """Return a copy of what row k of a place remembered, (...), one of its last rows."""

    @abstractmethod
    def given(self, places: np.ndarray, c_in: np.ndarray) -> Array:
        """Return c_in x, the network's input, for samples at places, (B, ...), as new memory."""

    @abstractmethod
    def taken(self, places: np.ndarray, output: Array, variance: Array | None) -> Array | None:
        """Take the x of places through the rows that they are in.

        It sets `torn` when it begins to change what is held.

        Returns:
            The network's next input for these places, as new memory; None if it was not computed.
        """


def grown(array: np.ndarray, *sizes: int) -> np.ndarray:
    """Return an array, padded with zeros to at least these sizes."""
    needed = tuple(map(max, array.shape, (*sizes, *array.shape[len(sizes) :])))
    if needed == array.shape:
        return array
    grown = np.zeros(needed, array.dtype)
    grown[tuple(map(slice, array.shape))] = array
    return grown
