"""What the benchmarks share: times taken in turns, peaks of memory, and tables of text."""

import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Timed:
    """Something to time, and what has to be done before each time, untimed."""

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing


def interleaved(
    *functions: Callable[[], object], blocks: int = 100, calls: int = 20
) -> list[float]:
    """Return the median seconds of a call, the functions taking turns in blocks of calls.

    So that what disturbs the machine disturbs all of them alike.
    """
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(blocks):
        for function, mine in zip(functions, times, strict=True):
            start = time.perf_counter()
            for _ in range(calls):
                function()
            mine.append((time.perf_counter() - start) / calls)
    return [float(np.median(mine)) for mine in times]


def in_turns(
    *entries: Timed,
    finish: Callable[[], object] = _nothing,
    rounds: tuple[int, int] = (5, 80),
    seconds: float = 1.5,
) -> np.ndarray:
    """Return the seconds that each entry takes in each round, (rounds, entries).

    They take turns, one call each a round, after a round that does not count.

    Args:
        *entries: What to time.
        finish: Called before and at the end of each time, to wait for a device.
        rounds: The least and the largest number of them.
        seconds: How long to go on between the two.
    """
    times: list[list[float]] = []
    begin = time.perf_counter()
    while len(times) < rounds[0] + 1 or (
        len(times) < rounds[1] + 1 and time.perf_counter() - begin < seconds
    ):
        times.append([_seconds(entry, finish) for entry in entries])
    return np.array(times[1:])


def _seconds(entry: Timed, finish: Callable[[], object]) -> float:
    """Return what one call takes."""
    entry.prepare()
    finish()
    start = time.perf_counter()
    entry.run()
    finish()
    return time.perf_counter() - start


def ratio(above: np.ndarray, below: np.ndarray) -> float:
    """Return the median over the rounds of the ratio of two times taken in the same round."""
    return float(np.median(above / below))


def peak_of_numpy(run: Callable[[], object]) -> int:
    """Return the most bytes that Python and NumPy hold in a call beside those held before."""
    run()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_of_torch(run: Callable[[], object], prepare: Callable[[], object] = _nothing) -> int:
    """Return the most bytes that torch holds on the CPU in a call beside those held before."""
    from torch.profiler import ProfilerActivity, profile

    prepare()
    run()
    prepare()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        (event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"
    )
    return int(np.cumsum([0, *(change for _, change in changes)]).max())


def peak_of_cuda(run: Callable[[], object], prepare: Callable[[], object] = _nothing) -> int:
    """Return the most bytes of a CUDA device that a call holds beside those held before."""
    import torch

    prepare()
    run()
    prepare()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def kernels_launched(run: Callable[[], object], prepare: Callable[[], object] = _nothing) -> int:
    """Return the number of kernels that a call runs on a CUDA device, copies not counted."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    prepare()
    run()
    prepare()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    on_device = [e for e in profiler.events() or () if e.device_type.name == "CUDA"]
    return sum(not event.name.startswith(("Memcpy", "Memset")) for event in on_device)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, the first columns to the left and the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    print(f"\n{title}\n")
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
