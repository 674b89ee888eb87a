"""Which run a call of a pipeline is for."""

import weakref
from typing import Any

from schedalg.checks import real_number, shown
from schedalg.interop.diffusers.tables import State, Table


class Runs:
    """The runs of a scheduler, each found by the tensor with which it continues.

    Attributes:
        begin: The row at which the next new run begins, or None if it was not set.
        latest: The state of the run that was stepped last since points were selected, or None.
    """

    def __init__(self) -> None:
        self.begin: int | None = None
        self.latest: State | None = None
        self._before: State | None = None
        #: The state of each run, by the id of the tensor.
        self._by_tensor: dict[int, tuple[weakref.ref[Any], State]] = {}

    def select(self) -> None:
        """Let the next run be a new one, from the first row on; runs in progress stay."""
        self.begin, self.latest, self._before = None, None, None

    def at(self, sample: Any) -> State | None:
        """Return the run that continues with this tensor object, or None."""
        found = self._by_tensor.get(id(sample))
        return found[1] if found is not None and found[0]() is sample else None

    def found(self, table: Table, timestep: Any, own: Any) -> State:
        """Return the run for a tensor that no step returned; see `DiffusersScheduler`.

        Args:
            table: The rows of the next run.
            timestep: The timestep passed to the network, or None.
            own: The scheduler's tensor of timesteps, or None if nobody asked for it.

        Raises:
            ValueError: The timestep is not the next one of any run.
        """
        latest = self.latest
        if timestep is None:
            return latest or table.start()
        t = real_number("timestep", timestep)
        new = latest is None or latest.row >= len(latest.table)
        # The first two calls may have the same timestep.
        repeated = latest is not None and latest.row == 1 and _is(latest.table, 1, t)
        if not new and len(table) and _is(table, 0, t) and not repeated:
            new = True
        if not new and latest is not None:
            check_next(latest, t)
            return latest
        begin = _place(own, timestep) if self.begin is None else self.begin
        row = begin if begin is not None and _begins(table, begin, t) else self._first(table, t)
        if row is None:
            raise ValueError(f"timestep is {t:g}, which is not one of {table.timesteps.tolist()}")
        return table.from_row(row).start()

    def stepped(self, before: State, after: State, sample: Any) -> None:
        """Store the state of a run after a step, which returned this tensor."""
        self.latest, self._before = after, before
        if after.row == len(after.table):
            return
        key = id(sample)

        def forget(dead: Any) -> None:
            found = self._by_tensor.get(key)
            if found is not None and found[0] is dead:
                del self._by_tensor[key]

        self._by_tensor[key] = (weakref.ref(sample, forget), after)

    def next_row(self, table: Table) -> int | None:
        """Return the row of the next call in the run that was stepped last, or None."""
        if self.latest is None:
            return None
        return len(table) - len(self.latest.table) + self.latest.row

    def step_back(self, table: Table, row: int) -> None:
        """Let the run that was stepped last take its last step again.

        Raises:
            ValueError: The row is not that of the last step.
        """
        following = self.next_row(table)
        if following is None or self._before is None or row != following - 1:
            raise ValueError(
                f"_step_index can be set to the call that was made last, before {following}; got "
                f"{shown(row)}"
            )
        self.latest, self._before = self._before, None

    def row(self, table: Table, t: float) -> int | None:
        """Return the row that calls the network at a timestep: the next one, if it does."""
        now = self.begin if self.latest is None else self.next_row(table)
        return now if now is not None and _begins(table, now, t) else self._first(table, t)

    def _first(self, table: Table, t: float) -> int | None:
        """Return the first row from `begin` on with a timestep, one that starts a step."""
        rows = [row for row in range(self.begin or 0, len(table)) if _is(table, row, t)]
        return next((row for row in rows if table.starts_step(row)), rows[0] if rows else None)


def check_next(run: State, t: float) -> None:
    """Raise unless a run calls the network at this timestep next.

    Raises:
        ValueError: It calls it at another timestep.
    """
    if not _is(run.table, run.row, t):
        raise ValueError(
            f"timestep is {t:g}, and the run of this sample, or that was stepped last, goes on at "
            f"{run.table.row_timesteps[run.row]:g}"
        )


def _place(own: Any, timestep: Any) -> int | None:
    """Return the index in a tensor of one of its own elements, or None; reads no values."""
    if own is None or not isinstance(timestep, type(own)) or timestep.ndim > 0:
        return None
    here, there = own.untyped_storage(), timestep.untyped_storage()
    return int(timestep.storage_offset()) if here.data_ptr() == there.data_ptr() else None


def _begins(table: Table, row: int, t: float) -> bool:
    return 0 <= row < len(table) and _is(table, row, t)


def _is(table: Table, row: int, t: float) -> bool:
    return abs(table.row_timesteps[row] - t) <= 1e-6 * max(abs(t), 1.0)
