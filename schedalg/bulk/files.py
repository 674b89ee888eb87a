"""Files that are there whole or not at all, whenever the process or the machine stops."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

#: What the names of files begin with that are still being written.
TEMPORARY = ".tmp-"

#: So many files are synchronized at once, which a disk takes together.
AT_ONCE = 16

#: What writing fails with where there is no room: on the device, for the user, for one file.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(files: Iterable[tuple[Path, Iterable[bytes]]], *, replace: bool = True) -> None:
    """Write files under other names, have them reach the disk, and give them their own names.

    The names themselves reach the disk with `sync_folder`.

    Args:
        files: Each file, and what it holds.
        replace: Whether a file of the name is replaced. If not, it stays, and nothing is said.

    Raises:
        OSError: The file system has no room, or another fault.
    """
    begun: dict[Path, Path] = {}
    try:
        for path, chunks in files:
            temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
            begun[temporary] = path
            with temporary.open("xb", buffering=0) as file:
                for chunk in chunks:
                    _write_whole(file.fileno(), chunk)
        if len(begun) == 1:
            _synchronize(*begun)
        else:  # the disk takes them together
            with ThreadPoolExecutor(min(len(begun), AT_ONCE)) as pool:
                list(pool.map(_synchronize, begun))
        for temporary, path in begun.items():
            if replace:
                os.replace(temporary, path)
            else:
                _put(temporary, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(error, [*begun.values()][-1]) from error
    finally:
        for temporary in begun:
            temporary.unlink(missing_ok=True)


def _synchronize(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        os.fsync(file.fileno())


def append_line(path: Path, line: bytes) -> None:
    """Add a line to the end of a file, and have it reach the disk.

    Raises:
        OSError: The file system has no room, or another fault. The file may then end within the
            line.
    """
    try:
        with path.open("ab", buffering=0) as file:
            _write_whole(file.fileno(), line)
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(error, path) from error


def no_room(error: OSError, path: Path) -> OSError:
    """Return what is said where there is no room for a file."""
    return OSError(
        error.errno,
        "there is no room for the file. What is done is kept: make room, and call the same again",
        str(path),
    )


def _write_whole(file: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(file, left) :]


def _put(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is one of that name: of two at once, the first wins."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno in FULL:
            raise
        if not path.exists():  # a file system without links
            os.replace(temporary, path)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove_temporary(folder: Path, names: Iterable[str]) -> None:
    """Remove what was begun and not finished of the files with these names."""
    wanted = set(names)
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.name.removeprefix(TEMPORARY).rpartition("-")[0] in wanted:
            path.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Yield whether no other call, of this or another process, is within this for the same path.

    The system holds the lock, and gives it up when a process ends in whatever way: a file that a
    killed one has left behind locks nothing. Where the file system or the system has no locks, it
    is True.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        held = _locked(lock)
    except BlockingIOError:
        yield False
        return
    except (OSError, ImportError):
        yield True
        return
    try:
        yield True
    finally:
        lock.unlink(missing_ok=True)
        os.close(held)


def _locked(lock: Path) -> int:
    """Return a descriptor of a file that is locked until it is closed.

    Raises:
        BlockingIOError: Another one has locked it.
        OSError: It cannot be made or locked.
        ImportError: The system is not of POSIX.
    """
    import fcntl

    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise
        except OSError:  # a file system without locks
            lock.unlink(missing_ok=True)
            os.close(held)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held), lock.stat()):
                return held
        os.close(held)  # whoever had it before has removed it meanwhile
