"""Locks that a fork waits for.

A fork copies the thread that calls it alone. What another thread is about to import or to compile
is never finished in the child, which waits for ever when it comes to need it.
"""

import os
import threading
import weakref
from typing import Protocol, TypeVar


class Lock(Protocol):
    """A lock that the thread which holds it may take again, as `threading.RLock` is."""

    def acquire(self) -> object:
        """Wait until no other thread holds it."""
        ...

    def release(self) -> object:
        """Give it back."""
        ...


class Owner(Protocol):
    """An object with a lock of its own."""

    @property
    def _lock(self) -> Lock: ...

    def _forked(self) -> None:
        """Forget, in the child of a fork, what other threads have begun: they are not there."""
        ...


_Lock = TypeVar("_Lock", bound=Lock)
_locks: list[Lock] = []
_owners: weakref.WeakValueDictionary[int, Owner] = weakref.WeakValueDictionary()
_held: list[Lock] = []


def awaited(lock: _Lock) -> _Lock:
    """Return the lock, which is taken for every fork from now on."""
    _locks.append(lock)
    return lock


def awaited_of(owner: Owner) -> None:
    """Have forks take the lock of an object from now on, as long as the object is there.

    It is taken before the others, since whoever holds it may wait for them.
    """
    _owners[id(owner)] = owner


def _there() -> list[Owner]:
    found = [reference() for reference in _owners.valuerefs()]
    return [owner for owner in found if owner is not None]


#: Held while something is imported or compiled. It is the first of those that last which a fork
#: takes: whoever holds it may wait for the others.
WORK = awaited(threading.RLock())


def _take() -> None:
    for lock in (*(owner._lock for owner in _there()), *_locks):
        lock.acquire()
        _held.append(lock)


def _free() -> None:
    while _held:
        _held.pop().release()


def _free_in_child() -> None:
    for owner in _there():
        owner._forked()
    _free()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_take, after_in_parent=_free, after_in_child=_free_in_child)
