"""Results that are cached for the next call with equal arguments: plans, and their rows.

What follows from values alone need not be made twice. A key is made of values only: of what a
caller could change afterwards, or what compares by identity, nothing is cached.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields
from typing import Any, Generic, TypeVar

from schedalg.forks import awaited
from schedalg.parameterization import PARAMETERIZATIONS, Parameterization
from schedalg.schedule import Schedule

Result = TypeVar("Result")


class Cache(Generic[Result]):
    """The results made last, as many as fit a number of bytes; safe to share between threads.

    A fork waits for its lock, and so it is kept for the life of the process.

    Args:
        limit: How many bytes all results may take.
        size: Returns the bytes of one.
    """

    def __init__(self, limit: int, size: Callable[[Result], int]) -> None:
        self.limit = limit
        self.size = size
        self.used = 0
        self._results: OrderedDict[Hashable, tuple[Result, int]] = OrderedDict()
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
                self._results.move_to_end(key)
                return found[0]
        result = make()
        size = self.size(result)
        if size <= self.limit:
            with self._lock:
                if key not in self._results:
                    self._results[key] = result, size
                    self.used += size
                while self.used > self.limit:
                    _, (_, freed) = self._results.popitem(last=False)
                    self.used -= freed
        return result

    def __len__(self) -> int:
        return len(self._results)


_PLAIN = (bool, int, str, type(None))
_NAMED = tuple(PARAMETERIZATIONS.values())


def key_of(value: Any) -> Hashable | None:
    """Return what a value is equal by, or None if it may change or is equal to itself alone.

    Numbers, strings, tuples and schedules are equal by value, and so are instances of frozen
    dataclasses that hold nothing but fields which are: the samplers of this library, and `edm`. A
    class that is derived from such a class and is no dataclass itself is none.
    """
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is float:
        return float, value.hex()
    if kind is Schedule:
        return value if value.is_constant else None
    if kind is tuple:
        parts = tuple(map(key_of, value))
        return None if None in parts else (tuple, parts)
    if kind is Parameterization and any(value is named for named in _NAMED):
        return value  # type: ignore[no-any-return]
    if "__dataclass_params__" in vars(kind) and kind.__dataclass_params__.frozen:
        names = [field.name for field in fields(kind)]
        if not set(getattr(value, "__dict__", ())) <= set(names):
            return None  # it holds something that is no field
        parts = tuple([key_of(getattr(value, name)) for name in names])
        return None if None in parts else (kind, parts)
    return None
