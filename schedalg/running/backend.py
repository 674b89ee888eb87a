"""What runs plans on an array library: the contract, and how the one for an array is found.

A package offers a backend by an entry point (see `schedalg.plugins`). Arrays of a library that
nobody serves are run by plain array-API operations.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from schedalg.arrays import Array
from schedalg.libraries import constant, serving_names
from schedalg.plotting.markup import block, table
from schedalg.plugins import entries, load, offers, package
from schedalg.running.reference import ReferenceBackend

if TYPE_CHECKING:
    from schedalg.running.rows import Rows
    from schedalg.running.stack import Stack


class Update(Protocol):
    """Takes x through the rows of one run, in their order. It owns what it writes to.

    All samples are at one row, an int; or each is at a row of its own, and k is an int64 array of
    NumPy, (B,). Then the rows of every sample follow one another: after row k[i], sample i goes
    on to k[i] + 1, stays, or begins again at 0. A run takes ints or arrays, not both.
    `schedalg.running.per_sample.PerSample` does it by plain operations.
    """

    def input(self, k: "int | np.ndarray", x: Array, /) -> Array:
        """Return the network's input in row k: c_in x."""
        ...

    def __call__(
        self,
        k: "int | np.ndarray",
        x: Array,
        output: Array,
        x0: Array | None,
        variance: Array | None,
        noise: Array | None,
        /,
    ) -> Array:
        """Return x after row k.

        Args:
            k: The row, or the row of each sample.
            x: x before it: what was given to begin with, or what this returned last.
            output: The network's output, like x. It may share memory with x or with the input.
            x0: The bounded x0 prediction, like x, where it was bounded outside of the rows; else
                None.
            variance: Where the row has `log_variance`: what is between its bounds, like x.
            noise: Where the row has noise, and the run no keys: standard normal, like x.
        """
        ...

    def memory(self, k: "int | np.ndarray", /) -> Array:
        """Return a copy, like x, of what row k remembered, one of the last `depth` rows."""
        ...

    def restore(self, k: "int | np.ndarray", memories: Sequence[Array], /) -> None:
        """Go on at row k, where the rows just before it remembered these, the oldest first."""
        ...


class Backend(Protocol):
    """Runs plans on the arrays of one library: three operations, and two questions.

    A backend does nothing but the arithmetic: the same rows on the same noise give the same x on
    every library, up to rounding (`schedalg.testing.check_backend`).
    """

    def unavailable(self) -> str | None:
        """Return why the backend cannot run on this machine; None if it can."""
        ...

    def check(self, x: Array, /) -> None:
        """Raise unless x can be run.

        Raises:
            TypeError: Not in this dtype.
            ValueError: Not on this device.
        """
        ...

    def timesteps(self, values: np.ndarray, x: Array, /) -> Sequence[Array]:
        """Return the timesteps of each row for the network, on x's device: (B,) each.

        Args:
            values: A timestep a row: int64, or float64.
            x: (B, ...); see `schedule.timesteps.timestep_dtype` for the dtype.
        """
        ...

    def normal(self, x: Array, keys: np.ndarray, words: Sequence[int], /) -> Array:
        """Return the noise that `philox` defines, like x.

        Args:
            x: (B, ...).
            keys: (B, 2), uint64.
            words: The level, visit and domain of the draw.
        """
        ...

    def update(self, rows: "Rows", x: Array, keys: np.ndarray | None, /, *, reuse: bool) -> Update:
        """Return what takes x through the rows.

        Args:
            rows: The rows.
            x: (B, ...), what they start from; not to be written to.
            keys: (B, 2), uint64: make the noise from these. None: it will be given.
            reuse: Whether arrays that were returned may be written to in later rows. Otherwise the
                user keeps them.
        """
        ...


#: The network in a captured step: its input and the timesteps → its output, and its variance.
Network: TypeAlias = Callable[[Array, Array], tuple[Array, Array | None]]


@runtime_checkable
class Replaying(Protocol):
    """A backend that can capture a step, the network included, and replay it for every row."""

    def replay(
        self,
        rows: "Rows",
        values: np.ndarray,
        x: Array,
        keys: np.ndarray | None,
        network: Network,
        /,
    ) -> Array:
        """Return x after the last row.

        Args:
            rows: The rows.
            values: The timestep of each.
            x: (B, ...), what they start from.
            keys: The keys of the noise; None if no row has any.
            network: The network, called as often as capturing needs.

        Raises:
            ValueError: Nothing can be captured where x is.
        """
        ...


@runtime_checkable
class Whole(Protocol):
    """A backend that can take x through all rows of a plan at once."""

    def whole(
        self,
        rows: "Rows",
        values: np.ndarray,
        source: Any,
        network: Network,
        bounded: Callable[[Array], Array] | None,
        /,
    ) -> Callable[[Array], Array] | None:
        """Return a function from x before the first row to x after the last one.

        It is asked where nobody looks at x between the rows. None: they are taken one by one.

        Args:
            rows: The rows, of which there is at least one.
            values: The timestep of each.
            source: The noise, as `noise_for` returns it: keys, or a function of x.
            network: The network, called as often as the backend likes.
            bounded: Bounds the x0 prediction, where the rows do not.
        """
        ...


def whole_of(backend: Backend) -> Whole | None:
    """Return the backend if it can take x through all rows at once, else None."""
    kind: Any = type(backend)
    return cast(Whole, backend) if _is_whole(kind) else None


@constant
def _is_whole(kind: type[Any]) -> bool:
    """Whether a type is `Whole`, which takes Python as long to find out as a step takes."""
    found = _WHOLE.get(kind)
    if found is None:
        found = _WHOLE[kind] = issubclass(kind, Whole)
    return found


@runtime_checkable
class Stacking(Protocol):
    """A backend that advances samples of several plans, each at a row of its own, in one pass."""

    def stack(
        self, shape: tuple[int, ...], like: Array, clip: tuple[float, float] | None, /
    ) -> "Stack | None":
        """Return a stack for samples. Each ends as in a run of it alone, to the last bit.

        Args:
            shape: That of a sample.
            like: An array of the samples' library, device and dtype.
            clip: The bounds of x0 predictions, or None.

        Returns:
            The stack; or None: the samples are advanced one by one.
        """
        ...


@runtime_checkable
class Reporting(Protocol):
    """A backend that uses optional packages where it can, and runs without them."""

    def faults(self) -> str:
        """Return which of them are installed and cannot be used, and why; empty if none."""
        ...


class BackendStatus(NamedTuple):
    """A backend that is installed.

    Attributes:
        name: The library that it serves; "array-api" for the one that serves all others.
        version: Of the package that brings it.
        available: Whether it can run on this machine.
        reason: Why not; or, if it can, what it runs without because that is broken. Empty if all
            is well.

    Example:
        >>> from schedalg import BackendStatus
        >>> BackendStatus("cupy", "0.1.0", False, "no CUDA driver").available
        False
    """

    name: str
    version: str
    available: bool
    reason: str


class _Statuses(tuple[BackendStatus, ...]):
    """What `backends` returns: a tuple, which notebooks show as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [(*each[:2], "yes" if each.available else "no", each.reason) for each in self]
        return block(table(("library", "version", "runs here", "reason"), rows, "left"))


def backends() -> tuple[BackendStatus, ...]:
    """Return all backends that are installed, the core's own first.

    Those of other libraries are imported to see whether they can run. One that cannot is reported
    with the reason, and does not keep the others from running; so is one that is not used, because
    another one has its name, or no array library has.

    Example:
        >>> from schedalg import backends
        >>> core = backends()[0]
        >>> core.name, core.available
        ('array-api', True)
    """
    from importlib.metadata import version

    found = [BackendStatus("array-api", version("schedalg"), True, "")]
    for name, entry in sorted(entries().items()):
        try:
            backend = load(name)
            reason = backend.unavailable()
            faults = backend.faults() if isinstance(backend, Reporting) else ""
        except (Exception, SystemExit) as error:
            reason = f"it could not be loaded: {type(error).__name__}: {error}"
        available = reason is None
        said = faults if available else reason
        found.append(BackendStatus(name, package(entry)[1], available, said))
    found += [BackendStatus(name, brought, False, reason) for name, brought, reason in offers()[1]]
    return _Statuses(found)


def backend_for(x: Array) -> Backend:
    """Return the backend that runs x.

    Raises:
        RuntimeError: There is one for its library, which cannot be loaded or cannot run.
        TypeError: It does not run x's dtype.
        ValueError: It does not run on x's device.
    """
    if isinstance(x, np.ndarray):
        return _REFERENCE
    kind: Any = type(x)
    backend = _serving(kind)
    backend.check(x)
    return backend


@constant
def _serving(kind: type[Any]) -> Backend:
    """Return the backend for a type of array, or one of the types that it derives from."""
    try:
        return _SERVING[kind]
    except KeyError:
        backend = _SERVING[kind] = _found(kind)
        return backend


def _found(kind: type[Any]) -> Backend:
    for name in serving_names(kind):
        if name not in entries():
            continue
        try:
            backend: Backend = load(name)
            reason = backend.unavailable()
        except (Exception, SystemExit) as error:
            raise RuntimeError(f"the backend for {name} cannot be loaded: {error}") from error
        if reason is not None:
            raise RuntimeError(f"the backend for {name} cannot run here: {reason}")
        return backend
    return _REFERENCE


_REFERENCE = ReferenceBackend()
_SERVING: dict[type[Any], Backend] = {}
_WHOLE: dict[type[Any], bool] = {}
