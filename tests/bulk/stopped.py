"""`generate` stopped in every way, in processes of its own; run by `test_stopped.py`.

It prints a number for each way, which ends with the folder of an undisturbed call, byte for byte.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schedalg import DDIM, generate, sweep
from tests.bulk.few import RECIPE, held, network

#: What changes a file system; the process is killed at each call of each.
CALLS = ("open", "write", "fsync", "replace", "link", "unlink", "mkdir", "rmdir", "truncate")


def make(out: Path, form: str, count: int = 5, model: Any = network) -> None:
    """Make samples of a format, or a table."""
    if form in ("csv", "table.parquet"):
        recipes = {"DDPM": RECIPE, "DDIM, with a comma": replace(RECIPE, sampler=DDIM())}
        table = out / f"table.{form.removeprefix('table.')}"
        sweep(model, recipes, range(count), mean, table, batch_size=2)
    else:
        generate(RECIPE, model, range(count), out, batch_size=2, format=form)


def mean(samples: Any, seeds: list[int]) -> dict[str, float]:
    """Return what a table holds."""
    return {"mean": float(samples.mean()), "square": float((samples**2).mean())}


def forked(work: Callable[[], object]) -> int:
    """Return how a process ended that did the work: its exit status, or minus a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(moment: int, work: Callable[[], object]) -> None:
    """Do the work in this process, and kill it before a call that changes the file system.

    A call that writes has written half.
    """
    calls = 0

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal calls
            if calls == moment:
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return call(*arguments, **keywords)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))
    work()


def killed_at_every_moment(folder: Path, form: str) -> int:
    """Return at how many moments a call was killed, and taken up again."""
    make(folder / "whole", form)
    whole, moment = held(folder / "whole"), 0
    while True:
        out = folder / str(moment)
        end = forked(lambda: killed_at(moment, lambda: make(out, form)))  # noqa: B023
        if end == 0:
            return moment
        assert end == -signal.SIGKILL, end
        make(out, form)
        assert held(out) == whole, (form, moment, sorted(held(out)))
        moment += 1


def killed_again_and_again(folder: Path, form: str) -> int:
    """Return how often a call was killed at a random moment before it came to its end."""

    def slow(x: Any, timesteps: Any) -> Any:
        time.sleep(0.001)
        return network(x, timesteps)

    begun = time.monotonic()
    make(folder / "whole", form, 40, slow)
    lasts = time.monotonic() - begun
    out, kills, chosen = folder / "killed", 0, random.Random(form)
    while True:
        child = os.fork()
        if child == 0:
            make(out, form, 40, slow)
            os._exit(0)
        time.sleep(chosen.uniform(0.0, lasts / 2))
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        kills += 1
        if kills == 25:
            make(out, form, 40, slow)
            break
    assert held(out) == held(folder / "whole")
    return kills


def check_no_room(work: Callable[[], object]) -> None:
    """Check that the work fails, and what it says."""
    with pytest.raises(OSError, match=r"there is no room for the file\. What is done is kept"):
        work()


def full(folder: Path, form: str) -> int:
    """Return how many files there are after two calls for which there was no room.

    The size of files is limited, at first below that of `recipe.json`, then below that of a block.
    """
    make(folder / "whole", form)
    out = folder / "full"

    def limited(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        check_no_room(lambda: make(out, form))

    def broken(x: Any, timesteps: Any) -> Any:
        raise RuntimeError("the network is broken, as it is meant to be")

    assert forked(lambda: limited(100)) == 0
    assert held(out) == {}
    assert forked(lambda: make(out, form, model=broken)) == 1
    assert list(held(out)) == ["recipe.json"]
    assert forked(lambda: limited(40)) == 0
    assert list(held(out)) == ["recipe.json"]
    make(out, form)
    assert held(out) == held(folder / "whole")
    return len(held(out))


def full_device(folder: Path, form: str) -> int:
    """Return how many files there were when a small file system was full; -1 where none can be."""
    small, whole = folder / "small", folder / "whole"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        return -1
    try:
        make(whole, form, 100)
        out = small / "out"
        check_no_room(lambda: make(out, form, 100))
        done = len(held(out))
        assert done > 1
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        make(out, form, 100)
        assert held(out) == held(whole)
        return done
    finally:
        subprocess.run(["umount", str(small)], check=True)


#: What is tried of which formats. Tables are made by `sweep`.
WAYS: dict[str, tuple[Callable[[Path, str], int], ...]] = {
    "npy": (killed_at_every_moment, killed_again_and_again, full, full_device),
    "npz": (killed_at_every_moment, full),
    "png": (killed_at_every_moment, full),
    "csv": (killed_at_every_moment, killed_again_and_again),
    "table.parquet": (killed_at_every_moment, killed_again_and_again),
}

if __name__ == "__main__":
    found = {}
    for way in WAYS[sys.argv[1]]:
        with tempfile.TemporaryDirectory() as place:
            found[way.__name__] = way(Path(place), sys.argv[1])
    print(json.dumps(found))
