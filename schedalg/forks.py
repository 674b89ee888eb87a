"""Locks that a fork waits for.

A fork copies the thread that calls it alone. What another thread is about to import or to compile
is never finished in the child, which waits for ever when it comes to need it.
"""

import os
import threading
from typing import Protocol, TypeVar


class Lock(Protocol):
    """A lock that the thread which holds it may take again, as `threading.RLock` is."""

    def acquire(self) -> object:
        """Wait until no other thread holds it."""
        ...

    def release(self) -> object:
        """Give it back."""
        ...


_Lock = TypeVar("_Lock", bound=Lock)
_locks: list[Lock] = []
_held: list[Lock] = []


def awaited(lock: _Lock) -> _Lock:
    """Return the lock, which is taken for every fork from now on."""
    _locks.append(lock)
    return lock


#: Held while something is imported or compiled. It is the first that a fork takes: whoever holds it
#: may wait for the others.
WORK = awaited(threading.RLock())


def _take() -> None:
    for lock in tuple(_locks):
        lock.acquire()
        _held.append(lock)


def _free() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_take, after_in_parent=_free, after_in_child=_free)
