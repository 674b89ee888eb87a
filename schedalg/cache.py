"""`Cache`: results for the next call with equal arguments, as many as fit a number of bytes.

What follows from values alone need not be made twice. A key is made of values only: of what a
caller could change afterwards, or what compares by identity, nothing is cached.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from schedalg.forks import awaited

Result = TypeVar("Result")


class Cache(Generic[Result]):
    """The results made last, as many as fit a number of bytes; safe to share between threads.

    A fork waits for its lock, and so it is kept for the life of the process.

    Args:
        limit: How many bytes all results may take.
        size: Returns the bytes of one, which are those of all results for an equal key. A result of
            more than the limit is not cached.
    """

    def __init__(self, limit: int, size: Callable[[Result], float]) -> None:
        self.limit = limit
        self.size = size
        self.used = 0.0
        self._results: OrderedDict[Hashable, tuple[Result, float]] = OrderedDict()
        self._latest = 0  # the id of what is at the end; whatever is new is put there
        self._lock = awaited(threading.RLock())

    def get(self, key: Hashable | None, make: Callable[[], Result]) -> Result:
        """Return the result for a key: one that was made before, or what `make()` returns.

        Args:
            key: What the result follows from; None: it is made, and not cached.
            make: Makes it. Called without the lock, so that two threads may make the same.
        """
        if key is None:
            return make()
        with self._lock:
            found = self._results.get(key)
            if found is not None:
                if id(found) != self._latest:
                    self._results.move_to_end(key)  # which hashes the key once more
                    self._latest = id(found)
                return found[0]
        result = make()
        size = self.size(result)
        if size <= self.limit:
            entry = result, size
            with self._lock:
                before = len(self._results)
                self._results[key] = entry  # without a look, which would hash the key once more
                self._latest = id(entry)
                if len(self._results) > before:  # and no other thread's equal one was replaced
                    self.used += size
                while self.used > self.limit:
                    _, (_, freed) = self._results.popitem(last=False)
                    self.used -= freed
        return result

    def __len__(self) -> int:
        return len(self._results)
