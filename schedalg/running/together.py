"""How the samples of a pool go from row to row: each by itself, or all in one pass."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from schedalg.arrays import Array, compiling, namespace
from schedalg.network.bounds import Clamp
from schedalg.running.array_stack import ArrayStack
from schedalg.running.backend import Stacking, backend_for
from schedalg.running.numpy_stack import NumpyStack
from schedalg.running.stack import Stack
from schedalg.running.state import Run


class Together(Protocol):
    """Holds samples by their tickets. A batch is a list of them.

    Attributes:
        torn: Whether `take` has begun to change samples, or samples have begun to leave behind
            their last rows. Whoever calls them sets it to False when all is done; where it is still
            True afterwards, an interrupt has left samples between two rows.
    """

    torn: bool

    @property
    def tickets(self) -> list[int]:
        """All samples, in the order in which a batch of them costs least."""
        ...

    def join(self, ticket: int, run: Run, /) -> None:
        """Take over a sample from its run, which is at the first of one row or more."""
        ...

    def leave(self, ticket: int, /) -> Array:
        """Remove a sample, and return its x, (...)."""
        ...

    def input(self, tickets: list[int], /) -> Array:
        """Return what the network is to be given, (B, ...), in memory of its own."""
        ...

    def timesteps(self, tickets: list[int], /) -> Array:
        """Return the timesteps that it is to be given, (B,)."""
        ...

    def takes_variance(self, tickets: list[int], /) -> bool:
        """Return whether a row of one of them takes a learned variance."""
        ...

    def take(self, tickets: list[int], output: Array, variance: Array | None, /) -> list[int]:
        """Take samples through their next rows; where it raises untorn, nothing has changed.

        Args:
            tickets: The samples.
            output: The network's output for them, (B, ...).
            variance: The learned variance, or None.

        Returns:
            Those that are behind their last rows.
        """
        ...


def together(
    shape: tuple[int, ...], like: Array, bound: Callable[[Array], Array] | None
) -> Together:
    """Return what holds samples of a shape.

    Args:
        shape: That of a sample.
        like: An array of the samples' library, device and dtype.
        bound: The bounds of x0 predictions as a function, or None.
    """
    clip = (bound.low, bound.high) if type(bound) is Clamp else None
    if bound is not None and clip is None:
        return Each({})
    if type(like) is np.ndarray:
        return NumpyStack(shape, like, clip)
    backend = backend_for(like)
    if isinstance(backend, Stacking):
        return backend.stack(shape, like, clip) or Each({})
    return Each({}) if compiling(like) else ArrayStack(shape, like, clip)


def fitting(held: Together, *arrays: Array | None) -> Together:
    """Return what holds the samples; a run of each, if a stack cannot take these arrays."""
    return Each(held.apart()) if isinstance(held, Stack) and not held.takes(*arrays) else held


class Each:
    """Samples of any library that are advanced one by one.

    Args:
        runs: The run of each sample, by ticket.
    """

    def __init__(self, runs: dict[int, Run]) -> None:
        self.runs = runs
        self.torn = False

    @property
    def tickets(self) -> list[int]:
        """All samples, in the order in which they joined."""
        return list(self.runs)

    def join(self, ticket: int, run: Run) -> None:
        """Take over a sample from its run."""
        self.runs[ticket] = run

    def leave(self, ticket: int) -> Array:
        """Remove a sample, and return its x."""
        return self.runs.pop(ticket).x[0, ...]

    def input(self, tickets: list[int]) -> Array:
        """Return what the network is to be given, (B, ...), in memory of its own."""
        return _joined([self.runs[ticket].input for ticket in tickets])

    def timesteps(self, tickets: list[int]) -> Array:
        """Return the timesteps that it is to be given, (B,)."""
        return _joined([self.runs[ticket].timesteps for ticket in tickets])

    def takes_variance(self, tickets: list[int]) -> bool:
        """Return whether a row of one of them takes a learned variance."""
        return any(self.runs[ticket].takes_variance for ticket in tickets)

    def take(self, tickets: list[int], output: Array, variance: Array | None) -> list[int]:
        """Take samples through their next rows, and return those that are finished."""
        parts = []
        for i, run in enumerate([self.runs[ticket] for ticket in tickets]):
            own = slice(i, i + 1), ...
            x0 = run.bounded(output[own])  # by a function of the user's, which may raise
            parts.append((run, output[own], x0, None if variance is None else variance[own]))
        self.torn = bool(parts)
        for run, said, x0, of in parts:
            run.take(said, x0, of)
        # The function may have cancelled some.
        return [ticket for ticket in tickets if ticket in self.runs and self.runs[ticket].done]


def _joined(parts: list[Array]) -> Array:
    return namespace(parts[0]).concat(parts, axis=0)
