"""A bar that shows how far a loop is."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from schedalg.plugins import imported

Walked = TypeVar("Walked")


def progress_bar(walk: Iterator[Walked], steps: int) -> Iterator[Walked]:
    """Return an iterator over the same, with a bar (tqdm) of how many of the steps are done.

    Raises:
        ImportError: tqdm is not installed, or cannot be imported.
    """
    tqdm = imported("tqdm.auto", "progress=True", "progress").tqdm
    bar: Iterable[Walked] = tqdm(walk, total=steps, unit="step")
    return iter(bar)
